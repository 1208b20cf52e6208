"""The sections of the Compare page: metrics, matrices, costs, architectures, configurations."""

import html
from collections.abc import Sequence
from urllib.parse import quote

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts import accuracy_charts, confusion_matrix, matrix_image, theme
from dashboard.charts.confusion_matrix import Scale
from dashboard.charts.matrix_image import Panel
from dashboard.components import (
    column_formats,
    compared_runs,
    confusion_scale,
    expander,
    page_links,
    plot,
    url_widgets,
)
from dashboard.components.compared_runs import Compared, images_caption
from dashboard.state import run_cache
from dashboard.tables import compare_tables, run_details_tables
from fercore.runs.reader import Run
from fercore.runs.schema import LayerSummary

# The sections of the page in order: anchor and title.
_SECTIONS = {
    "metrics": "Metrics",
    "significance": "Significance",
    "curves": "Curves",
    "matrices": "Confusion",
    "per-class": "Per class",
    "ranking": "PR and ROC",
    "cost": "Cost",
    "architectures": "Architectures",
    "hyper-parameters": "Hyper-parameters",
    "config": "Config diff",
}
_MATRIX_STYLE = (
    "display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));gap:1rem;margin:.2rem 0"
)


def contents(left_out: Sequence[str]) -> None:
    """Draw links to the sections of the page.

    Args:
        left_out: anchors of sections that these runs do not have.
    """
    shown = {anchor: title for anchor, title in _SECTIONS.items() if anchor not in left_out}
    st.markdown(" · ".join(f"[{title}](#{anchor})" for anchor, title in shown.items()))


def test_metrics(view: Compared) -> None:
    """Draw the metrics with their intervals, as a table and as a chart."""
    st.subheader(f"Metrics on {view.split_title}", anchor="metrics")
    images_caption(view)
    st.dataframe(
        metrics_table(view),
        hide_index=True,
        column_config=column_formats.metrics(),
        placeholder=formats.DASH,
        alt="Metrics of the compared runs",
    )
    if view.evaluated:
        st.caption(f"Accuracy on {view.split_title} with 95 % CI")
        rows = [(view.labels[run.id], view.colors[run.id], r) for run, r in view.evaluated]
        plot.plot(
            accuracy_charts.accuracy_forest(rows),
            "forest",
            "Accuracy of each run with its 95% interval",
            file_name=f"accuracy-{view.file_stem}",
        )


def metrics_table(view: Compared) -> pd.DataFrame:
    """Return the table of metrics."""
    results = view.evaluations.results
    return compare_tables.headline_table(view.runs, view.labels, view.colors, results)


def matrices(view: Compared) -> None:
    """Draw the confusion matrices as small multiples on one scale."""
    st.subheader("Confusion matrices", anchor="matrices")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        scale = confusion_scale.select_scale()
        st.page_link(
            page_links.CONFUSION_PAGE,
            label="Larger, with samples",
            icon=":material/grid_on:",
            query_params={
                "runs": [run.id for run in view.runs],
                "split": view.split,
                "cells": scale,
            },
        )
    panels = [
        Panel(view.labels[run.id], result, run.results.class_names)
        for run, result in view.charted
        if run.results
    ]
    top = confusion_matrix.max_cell_value([panel.result for panel in panels], scale)
    images = "".join(_matrix_html(panel, scale, top, plot.theme_mode()) for panel in panels)
    st.html(f'<div class="matrices" style="{_MATRIX_STYLE}">{images}</div>')
    st.caption(f"{confusion_matrix.UNITS[scale]}. All matrices have the same colour scale.")


def _matrix_html(panel: Panel, scale: Scale, top: float, mode: theme.Mode) -> str:
    drawing = matrix_image.matrices_svg([panel], scale, top, 60, mode, on_page=True)
    alt = html.escape(f"Confusion matrix of {panel.title}")
    source = f"data:image/svg+xml,{quote(drawing)}"
    return f'<img src="{source}" alt="{alt}" style="width:100%;max-width:340px">'


def costs(view: Compared) -> bool:
    """Draw accuracy against the size of the networks, their operations and their latency.

    Returns:
        Whether there are two runs with one of these costs; nothing is drawn otherwise.
    """
    points = compared_runs.cost_points(view)
    if all(len(own) < 2 for own in points.values()):
        return False
    st.subheader("Accuracy vs. model size and latency", anchor="cost")
    with st.grid(len(points), min_column_width=320, gap="medium"):
        for title, own in points.items():
            name = title.partition(" ")[0].lower()
            plot.plot(
                accuracy_charts.cost_scatter(own, title),
                name,
                f"Accuracy vs. {title[0].lower()}{title[1:]}",
                file_name=f"accuracy-vs-{name}-{view.file_stem}",
            )
    machines = sorted(
        {run_properties.latency(run).device for run, _ in view.charted if run.latency}
    )
    st.caption(
        "Operations are of all members and views."
        + (f" Latency of one image on one core of {' and '.join(machines)}." if machines else "")
    )
    not_timed = [run.id for run, _ in view.charted if not run.latency and run.onnx_path]
    if not_timed:
        st.caption("Without a latency measurement yet:")
        st.code(f"fercore bench inference {' '.join(not_timed)}", language="bash", wrap_lines=True)
    return True


def networks(view: Compared, baseline: Run | None) -> None:
    """Draw the sizes of the networks and their layer tables, or the differences to the baseline."""
    st.subheader("Architectures", anchor="architectures")
    layers = {run.id: run_cache.layers(run) for run in view.runs}
    macs = {run.id: run_cache.macs(run) for run in view.runs}
    st.dataframe(
        compare_tables.network_table(view.runs, view.labels, view.colors, layers, macs),
        hide_index=True,
        column_config=column_formats.metrics(),
        placeholder=formats.DASH,
        alt="Sizes of the networks",
    )
    if not any(layers.values()):
        return
    opened = expander.expander("Layer tables", "layers", ":material/layers:", "layer_diff")
    if opened is None:
        return
    with opened:
        differing = url_widgets.toggle("Show only differences to the baseline", key="layer_diff")
        first = baseline or view.runs[0]
        with st.grid(2, min_column_width=340, gap="medium"):
            for run in view.runs:
                if not differing or run.id != first.id:
                    with st.container(gap="xsmall"):
                        plot.legend({run.id: view.labels[run.id]}, view.colors)
                        _layer_table(layers[run.id], layers[first.id] if differing else None)


def _layer_table(layers: Sequence[LayerSummary], baseline: Sequence[LayerSummary] | None) -> None:
    if not layers:
        st.caption("No layer table is stored.")
        return
    if baseline is None:
        table = run_details_tables.layer_table(layers)
    else:
        table = compare_tables.layer_differences(baseline, layers)
    if table.empty:
        st.caption("Identical layers.")
        return
    st.dataframe(
        table, hide_index=True, column_config=column_formats.layers(), alt="Layers of the network"
    )


def differences(view: Compared) -> None:
    """Draw the differences of the configurations and environments."""
    st.subheader("Config diff", anchor="config")
    identical = url_widgets.toggle("Show identical fields", key="equal")
    table = compare_tables.differences_table(view.runs, view.labels, equal=identical)
    if table.empty:
        st.caption("No differences: the same configuration, machine and commit.")
        return
    st.dataframe(
        table,
        hide_index=True,
        column_config={"Field": st.column_config.TextColumn("Field", pinned=True)},
        height="content" if len(table) <= 20 else 720,
        alt="Fields in which the configurations differ",
    )
