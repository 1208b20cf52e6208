"""The sections of the Papers page."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts import confusion_matrix
from dashboard.components import column_formats, expander, page_links, plot, url_widgets
from dashboard.state import run_cache
from fercore.metrics import positive_predictive_value
from fercore.reproduction import papers
from fercore.reproduction.papers import Comparison, Reproduction
from fercore.reproduction.published_figures import System

_STATUS_COLORS = ["#1a7f4b", "#3f6fb5", "#ad5d17", "#66717d", "#66717d"]
_TILES = {
    "reached": ("Reached or exceeded", "by our mean over the seeds"),
    "within": ("Within the interval", "short by less than the 95 % interval reaches"),
    "short": ("Short", "by more than that"),
    "missing": ("Not trained yet", "the commands stand below"),
}
_SIDE_BY_SIDE = 3
# Columns that are left out where no row of a paper has a value.
_OPTIONAL = ("Difference interval", "Groups", "Honest groups")


def short(system: System) -> str:
    """`Le 2019` of `le2019`."""
    return f"{system.key[:-4].capitalize()} {system.key[-4:]}"


def summary(rows: Sequence[Comparison]) -> None:
    """How many figures of whole test sets are reached, and what the two protocols are."""
    overall = [row for row in rows if row.row.overall]
    st.markdown(
        f"{len(overall)} published accuracies of five systems, each beside ours twice: under "
        "**the paper's protocol**, faults included, so that the two can be compared, and under an "
        "**honest** one: nothing that is tested was trained on or chose the checkpoint, but for 26 "
        "images of FER2013's PrivateTest that stand in PublicTest, too."
    )
    with st.grid(4, min_column_width=190, gap="small"):
        for status, (label, below) in _TILES.items():
            with st.container(border=True, height="stretch", gap="xxsmall"):
                st.metric(label, sum(row.status == status for row in overall))
                if status == "reached":
                    first = sum(row.first_reaches for row in overall)
                    below = f"{below}; {first} by the first seed alone"
                st.caption(below)


def section(system: System, rows: Sequence[Comparison]) -> None:
    """One paper: what was found, its figures, its classes, our matrices."""
    st.subheader(system.citation, anchor=system.key)
    st.markdown(formats.markdown(system.found))
    if system.key == "rath2021":
        _bayes()
    whole = [row for row in rows if not row.row.class_name]
    table = overall_table(whole).drop(columns="Remark")
    empty = [name for name in _OPTIONAL if table[name].isna().all()]
    st.dataframe(
        table.drop(columns=empty),
        hide_index=True,
        column_config=_columns(),
        placeholder=formats.DASH,
        height="content",
        key=f"rows-{system.key}",
    )
    remarks = [f"{_label(row)}: {row.row.remark}." for row in whole if row.row.remark]
    if remarks:
        st.caption("\n".join(f"- {formats.markdown(remark)}" for remark in remarks))
    _commands(rows)
    with_classes = [row for row in rows if row.row.class_name]
    if with_classes:
        opened = expander.expander(
            "Class by class", f"by-class-{system.key}", ":material/format_list_numbered:"
        )
        if opened is not None:
            with opened:
                _classes(with_classes)
    _matrices(system, whole)


def overall_table(rows: Sequence[Comparison]) -> pd.DataFrame:
    """One line a figure; percent throughout."""
    return pd.DataFrame(
        [
            {
                "Figure": _label(comparison),
                "Paper": comparison.row.figure,
                "Ours": _mean(comparison.paper),
                "Difference": comparison.difference,
                "Status": [papers.STATUS_WORDS[comparison.status]],
                "95% interval": _interval(comparison.paper),
                "Difference interval": _difference_interval(comparison),
                "n": comparison.paper.n or None if comparison.paper else None,
                "Groups": _grouping(comparison.paper),
                "Runs": _runs(comparison.paper),
                "Honest": _mean(comparison.leak_free),
                "Honest interval": _interval(comparison.leak_free),
                "Honest n": comparison.leak_free.n or None if comparison.leak_free else None,
                "Honest groups": _grouping(comparison.leak_free),
                "Honest runs": _runs(comparison.leak_free),
                "Printed": comparison.row.parameters or None,
                "Parameters": comparison.paper.parameters if comparison.paper else None,
                "Remark": comparison.row.remark or None,
            }
            for comparison in rows
        ]
    )


def exported(rows: Sequence[Comparison]) -> pd.DataFrame:
    """Every figure that is shown, those of single classes included, each with its system."""
    table = overall_table(rows)
    table.insert(0, "System", [row.row.system for row in rows])
    table.insert(2, "Class", [row.row.class_name or None for row in rows])
    return table


def class_table(rows: Sequence[Comparison]) -> pd.DataFrame:
    """Classes as columns; the paper's line and ours, in percent."""
    lines: dict[str, dict[str, float | None]] = {
        "paper": {row.row.class_name: row.row.figure for row in rows},
        "ours": {row.row.class_name: _mean(row.paper) for row in rows},
        "ours, honest": {row.row.class_name: _mean(row.leak_free) for row in rows},
    }
    return pd.DataFrame([{"": name, **values} for name, values in lines.items()])


def _bayes() -> None:
    accuracy, prevalence, printed = 0.98, 0.0007, 0.025
    right = positive_predictive_value(accuracy, accuracy, prevalence)
    # On two lines: it has to fit a phone. The phantom keeps the box from cutting the fraction.
    st.latex(
        r"\begin{gathered}"
        rf"\vphantom{{\Bigg|}} P(C \mid D) = \tfrac{{{accuracy} \cdot {prevalence}}}"
        rf"{{{accuracy} \cdot {prevalence} + {1 - accuracy:.2f} \cdot {1 - prevalence}}} \\[6pt]"
        rf"= {right:.3f} \quad (\text{{printed: }} {printed})"
        r"\end{gathered}"
    )
    st.caption(
        f"C: the face shows contempt, one in {1 / prevalence:,.0f}; D: contempt is detected, at an "
        f"accuracy of {accuracy}."
    )


def _columns() -> dict[str, Any]:
    config = st.column_config
    points = config.NumberColumn("Difference", format="%+.2f", help="Points, ours less theirs.")
    return {
        "Figure": config.TextColumn("Figure", width=280),
        "Status": config.MultiselectColumn(
            "Status",
            options=list(papers.STATUS_WORDS.values()),
            color=_STATUS_COLORS,
            width=140,
            help="Noted: a figure of the training images, of which more is not better.",
        ),
        "Paper": column_formats.percent("Paper", width=76),
        "Ours": column_formats.percent(
            "Ours", "Mean over the runs, under the paper's protocol.", width=76
        ),
        "Difference": points,
        "95% interval": config.TextColumn(
            "95 % interval of ours",
            help=f"{column_formats.INTERVAL_HELP} It does not contain the error of the printed "
            "figure.",
            width=140,
        ),
        "Difference interval": config.TextColumn(
            "95 % interval of the difference",
            help="Newcombe's, in points, with the sampling errors of both figures: where the "
            "paper's test set is known to be another one, and its size is known.",
        ),
        "Groups": column_formats.groups(),
        "n": config.NumberColumn("n", format="localized", help="Samples tested."),
        "Runs": config.TextColumn("Runs", help="Seeds, folds and the spread over them."),
        "Honest": column_formats.percent("Honest", "Ours under an honest protocol.", width=76),
        "Honest interval": config.TextColumn("Its interval", width=112),
        "Honest n": config.NumberColumn("Its n", format="localized"),
        "Honest groups": config.TextColumn("Its groups"),
        "Honest runs": config.TextColumn("Its runs"),
        "Printed": config.TextColumn("Parameters printed"),
        "Parameters": config.NumberColumn("Parameters", format="localized"),
    }


def _commands(rows: Sequence[Comparison]) -> None:
    absent = papers.untrained(rows)
    if not absent:
        return
    total = formats.duration(60 * sum(absent.values()))
    st.caption(
        f"Not trained yet, about {total} in all on two CPU cores; each can be stopped and resumed:"
    )
    width = max(map(len, absent))
    commands = [
        f"fercore papers --train {name:{width}}  # {formats.duration(60 * minutes)}"
        for name, minutes in sorted(absent.items(), key=lambda entry: entry[1])
    ]
    st.code("\n".join(commands), language="bash")


def _classes(rows: Sequence[Comparison]) -> None:
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


def _matrices(system: System, rows: Sequence[Comparison]) -> None:
    shown: dict[str, tuple[str, Reproduction, str]] = {}
    for comparison in rows:
        for protocol, ours, view in (
            ("paper's protocol", comparison.paper, comparison.row.view),
            ("honest", comparison.leak_free, comparison.row.leak_free_view),
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
        # By their places: titles would make a long address.
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
            st.caption(f"The first of the {len(ours.runs)} runs behind the figure.")


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
    found = comparison.difference_interval
    if found is None:
        return None
    return " to ".join(formats.points(end / 100).removesuffix(" points") for end in found)


def _grouping(ours: Reproduction | None) -> str | None:
    return (ours.grouping if ours else "") or None


def _runs(ours: Reproduction | None) -> str | None:
    if ours is None:
        return None
    text = f"{ours.seeds} seed{'s' if ours.seeds > 1 else ''}"
    if ours.folds > 1:
        text += f" x {ours.folds} folds"
    return text if ours.spread is None else f"{text}, \u00b1{ours.spread:.2f}"
