"""Runs: the table of all runs, running trainings, and links to Compare and Run details."""

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.app_pages.runs import run_actions, sections
from dashboard.components import active_trainings, empty_state, run_picker, url_widgets
from dashboard.state import run_cache
from dashboard.tables import runs_table

runs = run_cache.list_runs()

sections.restore_selection()
st.title("Runs", anchor=False)
if not runs:
    run_actions.undo()
    empty_state.no_runs()
    run_actions.deleted()
    active_trainings.show(runs)
    st.stop()

run_actions.undo()
sections.summary(runs)
active_trainings.show(runs)

readable = [run for run in runs if run.config]
unreadable = [run for run in runs if not run.config]
listing = sections.controls(readable)
shown = listing.runs
real = [run for run in shown if not run_properties.is_synthetic(run)]
synthetic = [run for run in shown if run_properties.is_synthetic(run)]
bar = st.container()
exported = pd.DataFrame()

ticked: list[str] = []
if real:
    title = run_cache.split_titles(real).get("test", "Test")
    groups, exported = sections.table_of(real, listing)
    ticked += sections.selectable_table(groups, exported, "real", f"{title} accuracy")
    if any(run_properties.dropped_classes(run) for run in real):
        st.caption(
            "An orange badge marks a run that leaves classes out: its accuracy is on fewer images. "
            "“Accuracy (all classes)” is on every test image and can be compared. To select a run, "
            "sort by validation accuracy: selecting by test accuracy makes that accuracy too high."
        )
elif not any(not run_properties.is_synthetic(run) for run in readable):
    st.info(
        "No run on real faces yet. Add FER2013 with `fercore data add fer2013 PATH`, then "
        "`fercore train katkar2021-model1-original`.",
        icon=":material/info:",
    )
elif not synthetic:
    st.info("No run matches the filters.", icon=":material/filter_alt_off:")

if synthetic:
    st.subheader("Synthetic faces", anchor=False)
    st.caption("Drawn by code, to try out the app and for tests. Never ranked with real faces.")
    groups, table = sections.table_of(synthetic, listing)
    ticked += sections.selectable_table(groups, table, "synthetic", "Test accuracy")
    exported = pd.concat([exported, table])

# Selected runs that a filter hides stay selected.
visible = {run.id for run in shown}
before = [
    run_id for run_id in run_picker.selected_runs() if run_id not in visible or run_id in ticked
]
run_picker.select_runs([*before, *(run_id for run_id in ticked if run_id not in before)])
url_widgets.sync_query("runs", run_picker.selected_runs())
with bar:
    sections.actions(readable, exported)

if unreadable:
    st.subheader("Unreadable run folders", anchor=False)
    st.dataframe(runs_table.problems_table(unreadable), hide_index=True, placeholder=formats.DASH)

run_actions.deleted()
