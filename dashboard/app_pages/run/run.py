"""Run details: one run, updated live while it trains."""

import streamlit as st

from dashboard import formats
from dashboard.app_pages.run import ranking_section, sections
from dashboard.components import empty_state, run_picker, url_widgets
from dashboard.state import run_cache

runs = run_cache.list_runs()
if not runs:
    st.title("Run details", anchor=False)
    empty_state.no_runs()
    st.stop()

requested = url_widgets.query_value("run")
if requested and requested not in {run.id for run in runs}:
    st.warning(
        f"There is no run called {formats.markdown(requested)}. It may have been deleted. "
        "Select another run below.",
        icon=":material/search_off:",
    )
run = run_picker.pick_run(runs)
if run is None:
    st.stop()

sections.header(run)
sections.export(run)
if run.config:
    sections.test_metrics(run)
    if run.experiment:
        sections.training(run)
    sections.classes(run)
    ranking_section.section(run, sections.selected_split(run))
    sections.top_errors(run)
    sections.precision_at_prevalence(run)
    sections.details(run)
