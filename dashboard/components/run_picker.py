"""The selection of runs, which several pages share."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.charts import theme
from dashboard.components import url_widgets
from dashboard.state import run_cache
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

    Without runs in the URL, the runs selected on other pages are selected.
    """
    picked = url_widgets.multiselect(
        "Runs",
        run_cache.labels(list(readable.values())),
        key="runs",
        limit=theme.MAX_COMPARED,
        remembered=selected_runs(),
        placeholder=f"Select up to {theme.MAX_COMPARED} runs",
    )
    # Runs that this page cannot show, such as a running one, stay selected for other pages.
    not_here = {run.id for run in run_cache.known_runs()} - set(readable)
    select_runs([*picked, *(run_id for run_id in selected_runs() if run_id in not_here)])
    return picked
