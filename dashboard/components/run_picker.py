"""The selection of runs that several pages share."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.charts import theme
from dashboard.components import url_widgets
from dashboard.state import run_cache
from fercore.runs.reader import Run

_CHOSEN = "chosen_runs"


def selected_runs() -> list[str]:
    """The runs picked for comparison in this session, by id, in order."""
    return list(st.session_state.get(_CHOSEN, []))


def select_runs(run_ids: Sequence[str]) -> None:
    """Remember the runs picked for comparison."""
    st.session_state[_CHOSEN] = list(run_ids)


def pick_runs(readable: Mapping[str, Run]) -> list[str]:
    """Let the reader pick up to eight runs; those ticked elsewhere, unless the address says."""
    picked = url_widgets.multiselect(
        "Runs",
        run_cache.labels(list(readable.values())),
        key="runs",
        limit=theme.MAX_COMPARED,
        remembered=selected_runs(),
        placeholder="Choose up to eight runs",
    )
    # What this page cannot show, such as a run that still trains, stays picked for the others.
    elsewhere = {run.id for run in run_cache.known_runs()} - set(readable)
    select_runs([*picked, *(run_id for run_id in selected_runs() if run_id in elsewhere)])
    return picked
