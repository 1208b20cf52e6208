"""Run details: one run, updated live while it trains."""

import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.app_pages.run import ranking_section, sections
from dashboard.components import empty_state, url_widgets
from dashboard.state import run_cache

runs = run_cache.list_runs()
if not runs:
    st.title("Run details", anchor=False)
    empty_state.no_runs()
    st.stop()

names = run_properties.labels(runs)
requested = url_widgets.query_value("run")
if requested and requested not in names:
    st.warning(
        f"There is no run called {formats.markdown(requested)}. It may have been deleted. "
        "Select another run below.",
        icon=":material/search_off:",
    )
run_id = url_widgets.selectbox("Run", names, key="run")
run = run_cache.find_run(run_id) if run_id else None
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
