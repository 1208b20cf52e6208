"""The sections of the Runs page: tiles, running trainings, the table and its selection."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties, training_progress
from dashboard.analysis.leaderboard import BEST_HELP, RECOMMENDED_HELP, Entry
from dashboard.app_pages.runs import run_actions
from dashboard.charts import theme
from dashboard.components import (
    column_formats,
    export_menu,
    page_links,
    run_picker,
    url_widgets,
)
from dashboard.state import comparison_cache, run_cache
from dashboard.tables import runs_table
from fercore.metrics import PairedDifference
from fercore.runs.reader import Run

_OPEN = ":material/open_in_full:"
_VISIT = "runs page visit"


def summary(runs: Sequence[Run]) -> None:
    """Draw the numbers of runs, and links to the recommended and to the most accurate one."""
    real = [run for run in runs if not run_properties.is_synthetic(run) and run.state != "broken"]
    counts = {
        "finished": sum(run.state == "finished" for run in real),
        "in progress": sum(run.is_active for run in runs),
        "failed or stopped": sum(run.state in training_progress.HALTED for run in runs),
    }
    parts = [f"{count:,} {words}" for words, count in counts.items() if count]
    noun = "run" if len(real) == 1 else "runs"
    board = comparison_cache.main_board(runs)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.caption(f"{len(real):,} {noun} on real faces: {', '.join(parts) or 'none finished'}.")
        if board and board.recommended:
            _link("Recommended", ":material/star:", board.recommended, RECOMMENDED_HELP)
        if board and board.best:
            _link("Most accurate", ":material/trophy:", board.best, BEST_HELP)


def _link(words: str, icon: str, entry: Entry, explanation: str) -> None:
    st.page_link(
        page_links.RUN_PAGE,
        label=f"{words}: {formats.markdown(entry.title)}, {formats.percent(entry.accuracy, 1)}",
        icon=icon,
        query_params={"run": entry.run.id},
        help=explanation,
    )


@dataclass(frozen=True)
class Listing:
    """What the table of runs shows.

    Attributes:
        runs: those that match the filters.
        grouped: whether the seeds of an experiment share a row.
        sort: one of `dashboard.tables.runs_table.SORTS`.
        reverse: whether the order is reversed.
        baseline: the run that the others are compared with, if any.
    """

    runs: list[Run]
    grouped: bool
    sort: str
    reverse: bool
    baseline: Run | None


def controls(runs: Sequence[Run]) -> Listing:
    """Draw the filters, the order, the baseline and the grouping, and apply the filters."""
    datasets = sorted({run.config.dataset for run in runs if run.config})
    states_of_runs = {run.state for run in runs}
    present = [state for state in theme.STATES if state in states_of_runs]
    archived = any(run.notes.archived for run in runs)
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        text = url_widgets.text_input(
            "Search",
            key="q",
            placeholder="title, model, tag, note, s1 …",
            icon=":material/search:",
            width=260,
        )
        dataset = ""
        if len(datasets) > 1:
            dataset = url_widgets.segmented_control(
                "Dataset", {"": "All"} | {name: name for name in datasets}, key="dataset"
            )
        states = []
        if len(present) > 1:
            states = url_widgets.pills("State", {state: state for state in present}, key="state")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        labels = {key: sort.label for key, sort in runs_table.SORTS.items()}
        sort = (
            url_widgets.selectbox("Sort by", labels, key="sort", implied=True, width=190)
            or "newest"
        )
        evaluated = [run for run in runs if run_properties.result_of(run, "test")]
        options = {"": "none"} | run_cache.labels(evaluated)
        baseline_id = url_widgets.selectbox(
            "Baseline", options, key="baseline", implied=True, width=240
        )
        reverse = url_widgets.toggle("Reverse order", key="reverse")
        grouped = url_widgets.toggle(
            "Group by experiment",
            key="group",
            help="One row for each experiment: mean ± SD over its seeds and folds. If a seed was "
            "trained again, the newest run counts. Older runs have separate rows.",
        )
        trials = sum(map(run_properties.is_trial, runs))
        show_trials = 0 < trials < len(runs) and url_widgets.toggle(
            f"Ablation studies ({trials})",
            key="ablations",
            help="Show also the runs that were evaluated on validation images or on a fold of the "
            "training images, as those of ablation studies are. They have no test accuracy.",
        )
        show_archived = archived and url_widgets.toggle("Show archived", key="archived")
    shown = runs_table.select_runs(runs, text, dataset, states)
    if trials < len(runs) and not (show_trials or text):
        shown = [run for run in shown if run.is_active or not run_properties.is_trial(run)]
    if not show_archived:
        shown = [run for run in shown if not run.notes.archived]
    baseline = next((run for run in evaluated if run.id == baseline_id), None)
    return Listing(shown, grouped, sort, reverse, baseline)


def table_of(runs: Sequence[Run], listing: Listing) -> tuple[list[Sequence[Run]], pd.DataFrame]:
    """Return the runs of each row, in order, and the table."""
    groups = (
        run_properties.group_by_experiment(runs) if listing.grouped else [[run] for run in runs]
    )
    deltas = _deltas(runs, listing.baseline)
    ordered = runs_table.sorted_groups(groups, listing.sort, deltas, reverse=listing.reverse)
    return ordered, runs_table.runs_table(ordered, deltas)


def selectable_table(
    groups: Sequence[Sequence[Run]], table: pd.DataFrame, key: str, test_title: str
) -> list[str]:
    """Draw the table of runs, and return the ids of the runs in the selected rows."""
    ids = [[run.id for run in group] for group in groups]
    selected = set(run_picker.selected_runs())
    st.session_state[f"{key}-ids"] = [group[0] for group in ids]
    visit = st.session_state.get(_VISIT, 0)
    shown = table.copy()
    shown.insert(1, "Open", _OPEN)
    if all(states == ["finished"] for states in shown["State"]):
        del shown["State"]
    recommended = comparison_cache.recommended_run(run_cache.known_runs())
    if recommended and recommended.id in shown.index:
        shown.loc[recommended.id, "Experiment"] = f"★ {shown.loc[recommended.id, 'Experiment']}"
    # A new key when the rows change: the selection is by run, not by the position of a row.
    event = st.dataframe(
        shown.dropna(axis="columns", how="all"),
        hide_index=True,
        column_config=column_formats.runs(test_title, f"{key}-open", _open_row),
        key=f"{key}-{visit}-{hash(tuple(map(tuple, ids)))}",
        on_select=_on_select,
        selection_mode="multi-row",
        selection_default={
            "selection": {"rows": [i for i, group in enumerate(ids) if selected.issuperset(group)]}
        },
        placeholder=formats.DASH,
        height="content" if len(groups) <= 15 else 560,
        alt="Training runs and their figures",
    )
    return [run_id for row in event.selection.rows if row < len(ids) for run_id in ids[row]]


def restore_selection() -> None:
    """Select the runs of the URL, if a link or the back button changed it."""
    run_ids = url_widgets.pending_value("runs")
    if run_ids is None or run_ids == run_picker.selected_runs():
        return
    run_picker.select_runs(run_ids)
    # A new key for the tables: an existing table keeps its own selection.
    st.session_state[_VISIT] = st.session_state.get(_VISIT, 0) + 1


def actions(runs: Sequence[Run], table: pd.DataFrame) -> None:
    """Draw the buttons for the selected runs and for the table."""
    names = run_cache.labels(runs)
    picked = [run_id for run_id in run_picker.selected_runs() if run_id in names]
    fit = 2 <= len(picked) <= theme.MAX_COMPARED
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        compare = st.button(
            f"Compare selected ({len(picked)})" if picked else "Compare selected",
            type="primary",
            icon=":material/compare_arrows:",
            disabled=not fit,
        )
        confusion = st.button(
            "Confusion matrix",
            icon=":material/grid_on:",
            disabled=not 1 <= len(picked) <= theme.MAX_COMPARED,
        )
        show = st.button("Open run", icon=":material/monitoring:", disabled=len(picked) != 1)
        run_actions.buttons([run for run in runs if run.id in picked])
        rows = table[table.index.isin(picked)]
        export_menu.menu("runs", lambda: table, selected=None if rows.empty else lambda: rows)
        st.caption(_selection_hint(len(picked)))
    if compare:
        st.switch_page(page_links.COMPARE_PAGE, query_params={"runs": picked})
    if confusion:
        st.switch_page(page_links.CONFUSION_PAGE, query_params={"runs": picked})
    if show:
        st.switch_page(page_links.RUN_PAGE, query_params={"run": picked[0]})


def _on_select() -> None:
    url_widgets.mark_changed("runs")


def _deltas(runs: Sequence[Run], baseline: Run | None) -> dict[str, PairedDifference | None]:
    if baseline is None or baseline.config is None:
        return {}
    dataset = baseline.config.dataset
    comparable = [
        run
        for run in runs
        if run.id != baseline.id and run.results and run.config and run.config.dataset == dataset
    ]
    with st.spinner(f"Pairing {len(comparable):,} runs with the baseline"):
        return comparison_cache.accuracy_deltas(baseline, comparable)


def _selection_hint(picked: int) -> str:
    if picked == 0:
        return f"Select 2–{theme.MAX_COMPARED} runs to compare, or one to open."
    if picked == 1:
        return "Select at least one more run to compare."
    if picked > theme.MAX_COMPARED:
        return f"Select at most {theme.MAX_COMPARED} runs to compare."
    return ""


def _open_row(key: str) -> None:
    ids = st.session_state.get(key.removesuffix("open") + "ids", [])
    event = st.session_state.get(key)
    if event is not None and event.row < len(ids):
        st.switch_page(page_links.RUN_PAGE, query_params={"run": ids[event.row]})
