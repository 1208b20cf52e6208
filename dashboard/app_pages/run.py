"""Run: one run in full, live while it trains."""

import streamlit as st

from dashboard import cached, facts, formats, linked, pieces, report

runs = cached.list_runs()
if not runs:
    st.title("Run", anchor=False)
    pieces.no_runs()
    st.stop()

names = facts.labels(runs)
wanted = linked.said("run")
if wanted and wanted not in names:
    st.warning(
        f"There is no run called {formats.markdown(wanted)}; it may have been removed. "
        "Choose another one below.",
        icon=":material/search_off:",
    )
run_id = linked.pick("Run", names, key="run")
run = cached.find_run(run_id) if run_id else None
if run is None:
    st.stop()

report.header(run)
report.export(run)
if run.config:
    report.figures(run)
    if run.experiment:
        report.training(run)
    report.classes(run)
    report.mistakes(run)
    report.trust(run)
    report.details(run)
