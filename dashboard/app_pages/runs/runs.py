"""Runs: every run in one table, what trains now, and the way to Compare and Run."""

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.app_pages.runs import run_actions, sections
from dashboard.components import active_trainings, empty_state, run_picker, url_widgets
from dashboard.state import run_cache
from dashboard.tables import runs_table

runs = run_cache.list_runs()

sections.ticks_from_address()
st.title("Runs", anchor=False)
if not runs:
    run_actions.undo()
    empty_state.no_runs()
    run_actions.deleted()
    active_trainings.show(runs)
    st.stop()

run_actions.undo()
sections.tiles(runs)
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
    ticked += sections.selectable(groups, exported, "real", f"{title} accuracy")
    if any(run_properties.dropped_classes(run) for run in real):
        st.caption(
            "An orange badge marks a run that leaves classes out: its accuracy is of fewer images. "
            "“All classes” counts every test image and can be compared. To choose a run, sort by "
            "validation accuracy: a choice by a test figure makes that figure too high."
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
    st.caption("Drawn by code, for the first minute and for tests. Never ranked with real faces.")
    groups, drawn = sections.table_of(synthetic, listing)
    ticked += sections.selectable(groups, drawn, "synthetic", "Test accuracy")
    exported = pd.concat([exported, drawn])

# Ticks that a filter hides stay ticked.
visible = {run.id for run in shown}
kept = [
    run_id for run_id in run_picker.selected_runs() if run_id not in visible or run_id in ticked
]
run_picker.select_runs([*kept, *(run_id for run_id in ticked if run_id not in kept)])
url_widgets.sync_query("runs", run_picker.selected_runs())
with bar:
    sections.actions(readable, exported)

if unreadable:
    st.subheader("Folders that are not runs", anchor=False)
    st.dataframe(runs_table.problems_table(unreadable), hide_index=True, placeholder=formats.DASH)

run_actions.deleted()
