"""The selection of runs, which several pages share."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.charts import theme
from dashboard.components import url_widgets
from dashboard.state import comparison_cache, run_cache
from fercore.runs.reader import Run

_SELECTED = "chosen_runs"


def selected_runs() -> list[str]:
    """Return the ids of the runs selected in this session, in order."""
    return list(st.session_state.get(_SELECTED, []))


def select_runs(run_ids: Sequence[str]) -> None:
    """Set the runs selected in this session."""
    st.session_state[_SELECTED] = list(run_ids)


def pick_runs(readable: Mapping[str, Run]) -> list[str]:
    """Draw the selection of up to `theme.MAX_COMPARED` runs, and return their ids.

    Without runs in the URL, the runs selected on other pages are selected. Without any of those,
    the runs at the top of the leaderboard are.
    """
    remembered = selected_runs()
    top = [] if remembered else comparison_cache.top_runs(run_cache.known_runs())
    top = [run_id for run_id in top if run_id in readable]
    picked = url_widgets.multiselect(
        "Runs",
        run_cache.labels(list(readable.values())),
        key="runs",
        limit=theme.MAX_COMPARED,
        default=top,
        remembered=remembered,
        placeholder=f"Select up to {theme.MAX_COMPARED} runs",
    )
    if top and picked == top:
        st.caption(
            f"These are the {len(top)} most accurate experiments of the leaderboard. Select others "
            "above, on the Overview or on the Runs page."
        )
        return picked
    # Runs that this page cannot show, such as a running one, stay selected for other pages.
    not_here = {run.id for run in run_cache.known_runs()} - set(readable)
    select_runs([*picked, *(run_id for run_id in selected_runs() if run_id in not_here)])
    return picked


def pick_run(runs: Sequence[Run]) -> Run | None:
    """Draw the selection of one run, and return it.

    Without a run in the URL it is the first of the runs selected on other pages, and without any
    of those the recommended one. The selected runs are the first options.
    """
    names = run_cache.labels(runs)
    recommended = comparison_cache.recommended_run(runs)
    first = [run_id for run_id in selected_runs() if run_id in names]
    first += [recommended.id] if recommended else []
    options = {run_id: names[run_id] for run_id in dict.fromkeys([*first, *names])}
    run_id = url_widgets.selectbox("Run", options, key="run")
    return run_cache.find_run(run_id) if run_id else None
