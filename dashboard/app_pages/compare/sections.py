"""The sections of the Compare page."""

from collections.abc import Sequence

import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts import accuracy_charts
from dashboard.components import (
    column_formats,
    compared_runs,
    expander,
    plot,
    url_widgets,
)
from dashboard.components.compared_runs import Compared, images_caption
from dashboard.state import run_cache
from dashboard.tables import compare_tables, run_details_tables
from fercore.runs.reader import Run
from fercore.runs.schema import LayerSummary


def test_metrics(view: Compared) -> None:
    """Draw the metrics with their intervals, as a table and as a chart."""
    st.subheader(f"Test metrics ({view.split_title})", anchor=False)
    images_caption(view)
    st.dataframe(
        compare_tables.headline_table(
            view.runs, view.labels, view.colors, view.evaluations.results
        ),
        hide_index=True,
        column_config=column_formats.metrics(),
        placeholder=formats.DASH,
        alt="Metrics of the compared runs",
    )
    if view.drawn:
        st.caption(f"Accuracy on {view.split_title} with 95 % CI")
        plot.plot(
            accuracy_charts.accuracy_forest(view.drawn), "forest", "Accuracy with 95% intervals"
        )


def costs(view: Compared) -> None:
    """Draw accuracy against the size and the latency of the networks."""
    by_size, by_time = compared_runs.cost_points(view)
    if len(by_size) < 2 and len(by_time) < 2:
        return
    st.subheader("Accuracy vs. model size and latency", anchor=False)
    plot.legend({run.id: view.labels[run.id] for run, _ in view.evaluated}, view.colors)
    with st.grid(2, min_column_width=340, gap="medium"):
        if by_size:
            figure = accuracy_charts.cost_scatter(by_size, "Parameters")
            plot.plot(figure, "parameters", "Accuracy vs. number of parameters")
        if by_time:
            figure = accuracy_charts.cost_scatter(by_time, "Latency (ms per image)")
            plot.plot(figure, "latency", "Accuracy vs. latency")
    machines = sorted(
        {run_properties.latency(run).device for run, _ in view.evaluated if run.latency}
    )
    not_timed = [run.id for run, _ in view.evaluated if not run.latency and run.onnx_path]
    st.caption(
        "Dotted line: Pareto front."
        + (f" Latency of one image on one core of {' and '.join(machines)}." if machines else "")
    )
    if not_timed:
        st.caption("Without a latency measurement yet:")
        st.code(f"fercore bench inference {' '.join(not_timed)}", language="bash", wrap_lines=True)


def networks(view: Compared, baseline: Run | None) -> None:
    """Draw the sizes of the networks and their layer tables, or the differences to the baseline."""
    st.subheader("Architectures", anchor=False)
    layers = {run.id: run_cache.layers(run) for run in view.runs}
    st.dataframe(
        compare_tables.network_table(view.runs, view.labels, view.colors, layers),
        hide_index=True,
        column_config=column_formats.metrics(),
        placeholder=formats.DASH,
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
        st.dataframe(
            run_details_tables.layer_table(layers),
            hide_index=True,
            column_config=column_formats.layers(),
        )
        return
    table = compare_tables.layer_differences(baseline, layers)
    if table.empty:
        st.caption("Identical layers.")
    else:
        st.dataframe(table, hide_index=True, column_config=column_formats.layers())


def differences(view: Compared) -> None:
    """Draw the differences of the configurations and environments."""
    st.subheader("Config diff", anchor=False)
    identical = url_widgets.toggle("Show identical fields", key="equal")
    table = compare_tables.differences_table(view.runs, view.labels, equal=identical)
    if table.empty:
        st.caption("No differences: the same configuration, machine and commit.")
    else:
        st.dataframe(table, hide_index=True)
