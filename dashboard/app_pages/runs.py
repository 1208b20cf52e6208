"""Runs: every run in one table, what trains now, and the way to Compare and Run."""

import pandas as pd
import streamlit as st

from dashboard import cached, care, facts, formats, linked, pieces, run_list, tables

runs = cached.list_runs()

run_list.ticks_from_address()
st.title("Runs", anchor=False)
if not runs:
    care.undo()
    pieces.no_runs()
    care.deleted()
    run_list.live(runs)
    st.stop()

care.undo()
run_list.tiles(runs)
run_list.live(runs)

readable = [run for run in runs if run.config]
unreadable = [run for run in runs if not run.config]
listing = run_list.controls(readable)
shown = listing.runs
real = [run for run in shown if not facts.is_synthetic(run)]
synthetic = [run for run in shown if facts.is_synthetic(run)]
bar = st.container()
exported = pd.DataFrame()

ticked: list[str] = []
if real:
    title = facts.split_titles(real).get("test", "Test")
    groups, exported = run_list.table_of(real, listing)
    ticked += run_list.selectable(groups, exported, "real", f"{title} accuracy")
    if any(facts.dropped_classes(run) for run in real):
        st.caption(
            "An orange badge marks a run that leaves classes out: its accuracy is of fewer images. "
            "“All classes” counts every test image and can be compared. To choose a run, sort by "
            "validation accuracy: a choice by a test figure makes that figure too high."
        )
elif not any(not facts.is_synthetic(run) for run in readable):
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
    groups, drawn = run_list.table_of(synthetic, listing)
    ticked += run_list.selectable(groups, drawn, "synthetic", "Test accuracy")
    exported = pd.concat([exported, drawn])

# Ticks that a filter hides stay ticked.
visible = {run.id for run in shown}
kept = [run_id for run_id in pieces.chosen() if run_id not in visible or run_id in ticked]
pieces.choose([*kept, *(run_id for run_id in ticked if run_id not in kept)])
linked.write("runs", pieces.chosen())
with bar:
    run_list.actions(readable, exported)

if unreadable:
    st.subheader("Folders that are not runs", anchor=False)
    st.dataframe(tables.problems_table(unreadable), hide_index=True, placeholder=formats.DASH)

care.deleted()
