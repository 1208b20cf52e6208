"""Runs: every run in one table, what trains now, and the way to Compare and Run."""

import streamlit as st

from dashboard import cached, facts, formats, pieces, run_list, tables

runs = cached.list_runs()
run_list_stamp = run_list.stamp(runs)

st.title("Runs", anchor=False)
if not runs:
    pieces.no_runs()
    run_list.live(run_list_stamp)
    st.stop()

run_list.tiles(runs)
run_list.live(run_list_stamp)

readable = [run for run in runs if run.config]
unreadable = [run for run in runs if not run.config]
shown = run_list.filters(readable)
real = [run for run in shown if not facts.is_synthetic(run)]
synthetic = [run for run in shown if facts.is_synthetic(run)]
bar = st.container()

ticked: list[str] = []
if real:
    title = facts.split_titles(real).get("test", "Test")
    ticked += run_list.selectable(real, "real", f"{title} accuracy")
    if any(facts.dropped_classes(run) for run in real):
        st.caption(
            "An orange badge marks a run that leaves classes out: its accuracy is of fewer images. "
            "“All classes” is the figure to rank by; it counts every test image."
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
    ticked += run_list.selectable(synthetic, "synthetic", "Test accuracy")

# Ticks that a filter hides stay ticked.
visible = {run.id for run in shown}
kept = [run_id for run_id in pieces.chosen() if run_id not in visible or run_id in ticked]
pieces.choose([*kept, *(run_id for run_id in ticked if run_id not in kept)])
with bar:
    run_list.actions(readable)

if unreadable:
    st.subheader("Folders that are not runs", anchor=False)
    st.dataframe(tables.problems_table(unreadable), hide_index=True, placeholder=formats.DASH)
