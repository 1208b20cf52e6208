"""Published results on the Paper reproductions page."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts import confusion_matrix
from dashboard.components import column_formats, expander, page_links, plot, tile, url_widgets
from dashboard.state import run_cache
from fercore.metrics import positive_predictive_value
from fercore.reproduction import papers
from fercore.reproduction.papers import Comparison, Reproduction
from fercore.reproduction.published_figures import System

_STATUS_COLORS = ["#1a7f4b", "#3f6fb5", "#ad5d17", "#66717d", "#66717d"]
_TILES = {
    "reached": ("Reached or exceeded", "by our mean over the seeds"),
    "within": ("Within 95 % CI", "below the paper, but the difference is within the interval"),
    "short": ("Below", "below the paper by more than the interval"),
    "missing": ("Not trained yet", "see the commands below"),
}
_SIDE_BY_SIDE = 3
# Columns that are hidden if no row of a paper has a value.
_OPTIONAL = ("Difference interval", "Groups", "Leakage-free groups")


def short_title(system: System) -> str:
    """Return the title of a system in the selection: `Le 2019` for `le2019`."""
    return f"{system.key[:-4].capitalize()} {system.key[-4:]}"


def summary(rows: Sequence[Comparison]) -> None:
    """Draw the counts of reached results and an explanation of the two protocols."""
    overall = [row for row in rows if row.row.overall]
    st.markdown(
        f"{len(overall)} published accuracies of five systems, each compared with two of ours. One "
        "follows **the paper's protocol** with its leakage, so that the two are comparable. The "
        "other is **leakage-free**: no tested image was trained on or used to select the "
        "checkpoint, except for 26 images of FER2013's PrivateTest that also occur in PublicTest."
    )
    with st.grid(4, min_column_width=190, gap="small"):
        for status, (label, caption) in _TILES.items():
            if status == "reached":
                first = sum(row.first_reaches for row in overall)
                caption = f"{caption}; {first} by the first seed alone"
            tile.tile(label, str(sum(row.status == status for row in overall)), caption)


def section(system: System, rows: Sequence[Comparison]) -> None:
    """Draw one paper: notes, results, commands for missing runs, classes and our matrices."""
    st.subheader(system.citation, anchor=system.key)
    st.markdown(formats.markdown(system.found))
    if system.key == "rath2021":
        _bayes()
    overall = [row for row in rows if not row.row.class_name]
    table = overall_table(overall).drop(columns="Remark")
    empty = [name for name in _OPTIONAL if table[name].isna().all()]
    st.dataframe(
        table.drop(columns=empty),
        hide_index=True,
        column_config=_columns(),
        placeholder=formats.DASH,
        height="content",
        key=f"rows-{system.key}",
    )
    remarks = [f"{_label(row)}: {row.row.remark}." for row in overall if row.row.remark]
    if remarks:
        st.caption("\n".join(f"- {formats.markdown(remark)}" for remark in remarks))
    _commands(rows)
    with_classes = [row for row in rows if row.row.class_name]
    if with_classes:
        opened = expander.expander(
            "Per-class results", f"by-class-{system.key}", ":material/format_list_numbered:"
        )
        if opened is not None:
            with opened:
                _class_tables(with_classes)
    _confusion_matrices(system, overall)


def overall_table(rows: Sequence[Comparison]) -> pd.DataFrame:
    """Return one row for each published result; accuracies in percent."""
    return pd.DataFrame(
        [
            {
                "Result": _label(comparison),
                "Paper": comparison.row.figure,
                "Ours": _mean(comparison.paper),
                "Difference": comparison.difference,
                "Status": [papers.STATUS_WORDS[comparison.status]],
                "95% interval": _interval(comparison.paper),
                "Difference interval": _difference_interval(comparison),
                "n": comparison.paper.n or None if comparison.paper else None,
                "Groups": _grouping(comparison.paper),
                "Runs": _runs(comparison.paper),
                "Leakage-free": _mean(comparison.leak_free),
                "Leakage-free interval": _interval(comparison.leak_free),
                "Leakage-free n": comparison.leak_free.n or None if comparison.leak_free else None,
                "Leakage-free groups": _grouping(comparison.leak_free),
                "Leakage-free runs": _runs(comparison.leak_free),
                "Parameters (paper)": comparison.row.parameters or None,
                "Parameters": comparison.paper.parameters if comparison.paper else None,
                "Remark": comparison.row.remark or None,
            }
            for comparison in rows
        ]
    )


def exported(rows: Sequence[Comparison]) -> pd.DataFrame:
    """Return one row for each shown result, those of single classes included, with its system."""
    table = overall_table(rows)
    table.insert(0, "System", [row.row.system for row in rows])
    table.insert(2, "Class", [row.row.class_name or None for row in rows])
    return table


def class_table(rows: Sequence[Comparison]) -> pd.DataFrame:
    """Return one column for each class, and rows for the paper and for ours; in percent."""
    lines: dict[str, dict[str, float | None]] = {
        "paper": {row.row.class_name: row.row.figure for row in rows},
        "ours": {row.row.class_name: _mean(row.paper) for row in rows},
        "ours, leakage-free": {row.row.class_name: _mean(row.leak_free) for row in rows},
    }
    return pd.DataFrame([{"": name, **values} for name, values in lines.items()])


def _bayes() -> None:
    accuracy, prevalence, printed = 0.98, 0.0007, 0.025
    precision = positive_predictive_value(accuracy, accuracy, prevalence)
    # On two lines, to fit on a phone. The phantom makes the box high enough for the fraction.
    st.latex(
        r"\begin{gathered}"
        rf"\vphantom{{\Bigg|}} P(C \mid D) = \tfrac{{{accuracy} \cdot {prevalence}}}"
        rf"{{{accuracy} \cdot {prevalence} + {1 - accuracy:.2f} \cdot {1 - prevalence}}} \\[6pt]"
        rf"= {precision:.3f} \quad (\text{{printed: }} {printed})"
        r"\end{gathered}"
    )
    st.caption(
        f"C: the face shows contempt (1 in {1 / prevalence:,.0f} faces). D: contempt is detected, "
        f"with an accuracy of {accuracy}."
    )


def _columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "Result": config.TextColumn("Result", width=280),
        "Status": config.MultiselectColumn(
            "Status",
            options=list(papers.STATUS_WORDS.values()),
            color=_STATUS_COLORS,
            width=140,
            help="Noted: an accuracy on training images, where higher is not better.",
        ),
        "Paper": column_formats.percent("Paper", width=76),
        "Ours": column_formats.percent(
            "Ours", "Mean over the runs, under the paper's protocol.", width=76
        ),
        "Difference": config.NumberColumn(
            "Difference", format="%+.2f", help="Ours minus the paper's, in percentage points."
        ),
        "95% interval": config.TextColumn(
            "95 % CI of ours",
            help=f"{column_formats.INTERVAL_HELP} It ignores the sampling error of the paper's "
            "result.",
            width=140,
        ),
        "Difference interval": config.TextColumn(
            "Difference, 95 % CI",
            help="Newcombe's interval in percentage points, with the sampling errors of both "
            "results. Only where the paper used another test set of known size.",
        ),
        "Groups": column_formats.groups(),
        "n": config.NumberColumn("n", format="localized", help="Number of test images."),
        "Runs": config.TextColumn("Runs", help="Seeds, folds, and the SD over them."),
        "Leakage-free": column_formats.percent(
            "Leakage-free", "Ours with a leakage-free protocol.", width=96
        ),
        "Leakage-free interval": config.TextColumn("Leakage-free, 95 % CI", width=112),
        "Leakage-free n": config.NumberColumn("Leakage-free, n", format="localized"),
        "Leakage-free groups": config.TextColumn("Leakage-free, groups"),
        "Leakage-free runs": config.TextColumn("Leakage-free, runs"),
        "Parameters (paper)": config.TextColumn("Parameters (paper)"),
        "Parameters": config.NumberColumn("Parameters (ours)", format="localized"),
    }


def _commands(rows: Sequence[Comparison]) -> None:
    missing = papers.untrained(rows)
    if not missing:
        return
    total = formats.duration(60 * sum(missing.values()))
    st.caption(
        f"Not trained yet, about {total} in total on two CPU cores. Each command can be stopped "
        "and resumed:"
    )
    width = max(map(len, missing))
    commands = [
        f"fercore papers --train {name:{width}}  # {formats.duration(60 * minutes)}"
        for name, minutes in sorted(missing.items(), key=lambda entry: entry[1])
    ]
    st.code("\n".join(commands), language="bash")


def _class_tables(rows: Sequence[Comparison]) -> None:
    for title in dict.fromkeys(f"{row.row.label}, {row.row.metric}" for row in rows):
        of_table = [row for row in rows if f"{row.row.label}, {row.row.metric}" == title]
        st.markdown(f"**{formats.markdown(title)}**")
        table = class_table(of_table)
        config = {name: column_formats.percent(name) for name in table.columns[1:]}
        st.dataframe(
            table,
            hide_index=True,
            column_config={"": st.column_config.TextColumn("", pinned=True, width=96), **config},
            placeholder=formats.DASH,
            key=f"classes-{of_table[0].row.system}-{title}",
        )


def _confusion_matrices(system: System, rows: Sequence[Comparison]) -> None:
    shown: dict[str, tuple[str, Reproduction, str]] = {}
    for comparison in rows:
        for protocol, ours, view in (
            ("paper's protocol", comparison.paper, comparison.row.view),
            ("leakage-free", comparison.leak_free, comparison.row.leak_free_view),
        ):
            if ours and comparison.row.overall:
                title = f"{comparison.row.label}, {protocol}"
                shown.setdefault(title, (title, ours, view))
    if not shown:
        return
    key = f"matrices-{system.key}"
    opened = expander.expander(
        "Our confusion matrices", f"our-{key}", ":material/grid_on:", address=key
    )
    if opened is None:
        return
    with opened:
        # Numbers, since titles would make the URL long.
        titles = {str(place): title for place, title in enumerate(shown, start=1)}
        places = url_widgets.multiselect(
            "Rows",
            titles,
            key=key,
            limit=_SIDE_BY_SIDE,
            default=list(titles)[:2],
        )
        if not places:
            return
        with st.grid(len(places), min_column_width=340, gap="medium"):
            for place in places:
                _matrix(*shown[titles[place]])


def _matrix(title: str, ours: Reproduction, view: str) -> None:
    run_id = ours.runs[0]
    run = run_cache.find_run(run_id)
    result = run_properties.result_of(run, view) if run else None
    if run is None or run.results is None or result is None:
        return
    with st.container(gap="xsmall"):
        st.markdown(f"**{formats.markdown(title)}**")
        figure = confusion_matrix.confusion(result, run.results.class_names, plot.theme_mode())
        plot.plot(figure, f"matrix-{title}", f"Confusion matrix: {title}")
        st.page_link(
            page_links.RUN_PAGE,
            label=f"Open {run_id}",
            icon=":material/monitoring:",
            query_params={"run": run_id},
        )
        if len(ours.runs) > 1:
            st.caption(f"The first of the {len(ours.runs)} runs of this result.")


def _label(comparison: Comparison) -> str:
    row = comparison.row
    if row.metric == "accuracy":
        return row.label
    return f"{row.label} ({row.metric.removesuffix(' accuracy')})"


def _mean(ours: Reproduction | None) -> float | None:
    return None if ours is None else ours.mean


def _interval(ours: Reproduction | None) -> str | None:
    if ours is None or ours.low is None or ours.high is None:
        return None
    return formats.interval(ours.low / 100, ours.high / 100)


def _difference_interval(comparison: Comparison) -> str | None:
    interval = comparison.difference_interval
    if interval is None:
        return None
    return " to ".join(formats.points(end / 100).removesuffix(" points") for end in interval)


def _grouping(ours: Reproduction | None) -> str | None:
    return (ours.grouping if ours else "") or None


def _runs(ours: Reproduction | None) -> str | None:
    if ours is None:
        return None
    text = f"{ours.seeds} seed{'s' if ours.seeds > 1 else ''}"
    if ours.folds > 1:
        text += f" x {ours.folds} folds"
    return text if ours.spread is None else f"{text}, \u00b1{ours.spread:.2f}"
