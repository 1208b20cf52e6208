"""Trainings in progress, with their validation accuracy so far; refreshed by themselves."""

from collections.abc import Sequence

import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties, training_progress
from dashboard.components import (
    page_links,
    training_curves,
)
from dashboard.state import run_cache
from fercore.runs.reader import Run


def show(runs: Sequence[Run]) -> None:
    """Draw the running trainings; a new run, or a new state of one, redraws the page."""
    states, just_read = _states(runs), [runs]

    @st.fragment(run_every=training_curves.REFRESH_SECONDS)
    def watch() -> None:
        runs = just_read.pop() if just_read else run_cache.refreshed_runs()
        if _states(runs) != states:
            st.rerun()
        for run in runs:
            if run.is_active:
                _live_card(run)

    watch()


def _states(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return what changes when the table has to be drawn again."""
    return [(run.id, run.state) for run in runs]


def _live_card(run: Run) -> None:
    log = run_cache.log(run)
    with st.container(border=True, key=f"live-{run.id}"):
        left, right = st.columns([3, 2], vertical_alignment="center", gap="medium")
        with left:
            st.markdown(f"**{formats.markdown(run_properties.title(run))}**")
            st.progress(training_progress.progress(run), text=training_curves.time_left(run, log))
        with right, st.container(horizontal=True, vertical_alignment="center"):
            last = log[-1] if log else None
            st.metric(
                "Validation accuracy",
                formats.percent(last.val_accuracy if last else None),
                chart_data=[row.val_accuracy for row in log] if len(log) > 1 else None,
                width="stretch",
            )
            st.page_link(
                page_links.RUN_PAGE,
                label="Open",
                icon=":material/monitoring:",
                query_params={"run": run.id},
            )
