"""Published results on the Paper reproductions page."""

from collections import Counter
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
from fercore.reproduction import papers, published_figures
from fercore.reproduction.papers import Comparison, Reproduction
from fercore.reproduction.published_figures import System

_STATUS_COLORS = ["#1a7f4b", "#3f6fb5", "#ad5d17", "#66717d", "#66717d"]
_BADGES = {"reached": "green", "within": "blue", "short": "orange", "missing": "gray"}
_SIDE_BY_SIDE = 3
# These columns fit a window of 1440 pixels. The others are in a section of their own.
_MAIN_COLUMNS = [
    *("Result", "Paper", "Ours", "Spread", "95% interval", "Difference", "Status", "n", "Seeds"),
    *("Leakage-free", "Leakage-free interval"),
]
_DETAIL_COLUMNS = [
    *("Result", "Difference interval", "Groups", "Runs"),
    *("Leakage-free n", "Leakage-free groups", "Leakage-free runs"),
    "Network size",
]


def verdicts(rows: Sequence[Comparison]) -> None:
    """Draw one line for each paper: how many of its accuracies we match, and the main finding."""
    lines = []
    for system in published_figures.systems():
        statuses = [row.status for row in rows if row.row.system == system.key and row.row.overall]
        badges = " ".join(
            f":{color}-badge[{statuses.count(status)} {papers.STATUS_WORDS[status]}]"
            for status, color in _BADGES.items()
            if status in statuses
        )
        lines.append(f"- **{system.short_title}** {badges} {formats.markdown(system.verdict)}")
    st.markdown("\n".join(lines))


def tiles(rows: Sequence[Comparison]) -> None:
    """Draw the counts of matched results and of missing experiments."""
    overall = [row for row in rows if row.row.overall]
    counts = Counter(row.status for row in overall)
    first = sum(row.first_reaches for row in overall)
    missing = papers.untrained(rows)
    remaining = (
        f"experiments: about {formats.duration(60 * sum(missing.values()))} on two CPU cores, see "
        "the commands below"
        if missing
        else "experiments: every row has its runs"
    )
    with st.grid(4, min_column_width=165, gap="small"):
        tile.tile(
            "Matched or exceeded",
            f"{counts['reached']} of {len(overall)}",
            f"published accuracies, by our mean over the seeds; {first} by the first seed alone",
        )
        tile.tile(
            "Within 95% CI",
            str(counts["within"]),
            "lower than published, by less than the confidence interval",
        )
        tile.tile("Below", str(counts["short"]), "lower than published, by more than the interval")
        tile.tile("Not trained yet", str(len(missing)), remaining)


def general_notes() -> None:
    """Draw the section that explains protocols, statuses and intervals."""
    opened = expander.expander("How the results are compared", "how-compared", ":material/help:")
    if opened is not None:
        opened.markdown("\n".join(f"- {note}" for note in published_figures.general_notes()))


def section(system: System, rows: Sequence[Comparison]) -> None:
    """Draw one paper: results, commands for missing runs, notes, classes and our matrices."""
    st.subheader(system.citation, anchor=system.key)
    overall = [row for row in rows if not row.row.class_name]
    table = overall_table(overall)
    st.dataframe(
        table[_MAIN_COLUMNS],
        hide_index=True,
        column_config=_columns(),
        placeholder=formats.DASH,
        height="content",
        key=f"rows-{system.key}",
    )
    _commands(rows)
    with st.container(gap="xsmall"):
        _notes(system, overall)
        _details(system, table)
        _class_results(system, [row for row in rows if row.row.class_name])
        _confusion_matrices(system, overall)


def overall_table(rows: Sequence[Comparison]) -> pd.DataFrame:
    """Return one row for each published result; accuracies in percent."""
    return pd.DataFrame(
        [
            {
                "Result": _label(comparison),
                "Paper": comparison.row.figure,
                "Ours": _mean(comparison.paper),
                "Spread": comparison.paper.spread if comparison.paper else None,
                "Difference": comparison.difference,
                "Status": [papers.STATUS_WORDS[comparison.status]],
                "95% interval": _interval(comparison.paper),
                "Difference interval": _difference_interval(comparison),
                "n": comparison.paper.n or None if comparison.paper else None,
                "Groups": _grouping(comparison.paper),
                "Seeds": comparison.paper.seeds if comparison.paper else None,
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


def _notes(system: System, rows: Sequence[Comparison]) -> None:
    opened = expander.expander(
        "Reproduction notes", f"notes-{system.key}", ":material/sticky_note_2:"
    )
    if opened is None:
        return
    notes = [f"- {note}" for note in system.notes]
    notes += [
        f"- **{formats.markdown(_label(row))}**: {formats.markdown(row.row.remark)}."
        for row in rows
        if row.row.remark
    ]
    with opened:
        st.markdown("\n".join(notes))
        if system.key == "rath2021":
            _bayes()


def _details(system: System, table: pd.DataFrame) -> None:
    opened = expander.expander(
        "Image groups, folds and parameters", f"details-{system.key}", ":material/data_table:"
    )
    if opened is not None:
        sizes = zip(table["Parameters (paper)"], table["Parameters"], strict=True)
        table["Network size"] = [_sizes(published, ours) for published, ours in sizes]
        shown = table[_DETAIL_COLUMNS]
        opened.dataframe(
            shown.drop(columns=[name for name in shown if shown[name].isna().all()]),
            hide_index=True,
            column_config=_columns(),
            placeholder=formats.DASH,
            height="content",
            key=f"details-table-{system.key}",
        )


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
    percent, text = column_formats.percent, config.TextColumn
    return {
        "Result": text("Result", width=282),
        "Paper": percent("Published", width=88),
        "Ours": percent("Ours", "Mean over the seeds, under the paper's protocol.", width=84),
        "Spread": config.NumberColumn(
            "± SD",
            format="%.2f",
            width=62,
            help="Standard deviation over seeds or folds, in percentage points.",
        ),
        "95% interval": text(
            "95% CI",
            help=f"{column_formats.INTERVAL_HELP} It ignores the sampling error of the published "
            "result.",
            width=116,
        ),
        "Difference": config.NumberColumn(
            "Difference",
            format="%+.2f",
            width=88,
            help="Ours minus the published result, in percentage points.",
        ),
        "Status": config.MultiselectColumn(
            "Status",
            options=list(papers.STATUS_WORDS.values()),
            color=_STATUS_COLORS,
            width=132,
            help="Reported only: an accuracy on training images, where higher is not better, or a "
            "row without a published result.",
        ),
        "n": config.NumberColumn("n", format="localized", help="Number of test images.", width=64),
        "Seeds": config.NumberColumn("Seeds", format="%d", width=60),
        "Leakage-free": percent("Leakage-free", "Ours with a leakage-free protocol.", width=106),
        "Leakage-free interval": text("Leakage-free CI", help="95% CI.", width=118),
        "Difference interval": text(
            "Difference, 95% CI",
            help="Newcombe's interval in percentage points, with the sampling errors of both "
            "results. Only if the paper used another test set of known size.",
            width=130,
        ),
        "Groups": text("Groups", width=160, help=column_formats.GROUPS_HELP),
        "Runs": text("Seeds and folds", help="With the SD over them, in points.", width=116),
        "Leakage-free n": config.NumberColumn("Leakage-free n", format="localized", width=104),
        "Leakage-free groups": text("Leakage-free groups", width=160),
        "Leakage-free runs": text("Leakage-free seeds", width=158),
        "Network size": text("Parameters", width=140, help="Published / ours."),
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


def _class_results(system: System, rows: Sequence[Comparison]) -> None:
    if not rows:
        return
    opened = expander.expander(
        "Per-class results", f"by-class-{system.key}", ":material/format_list_numbered:"
    )
    if opened is not None:
        with opened:
            _class_tables(rows)


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


def _sizes(published: str | None, ours: float | None) -> str | None:
    """Return the published and our number of parameters as one text; missing ones may be NaN."""
    if pd.isna(published) and pd.isna(ours):
        return None
    return " / ".join(
        (
            formats.DASH if pd.isna(published) else str(published),
            formats.DASH if pd.isna(ours) else f"{ours:,.0f}",
        )
    )


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
