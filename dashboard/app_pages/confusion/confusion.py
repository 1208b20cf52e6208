"""Confusion matrix: confusion matrices of runs, and the samples of each cell."""

import streamlit as st

from dashboard.app_pages.confusion import exports, sections, side_by_side_section
from dashboard.components import (
    class_metrics,
    compared_runs,
    confusion_scale,
    empty_state,
    page_links,
    run_picker,
)
from dashboard.state import run_cache

st.title("Confusion matrix", anchor=False)
readable = {run.id: run for run in run_cache.list_runs() if run.results}
if not readable:
    empty_state.no_runs(
        "No run here has results yet. A run has results when its training has ended."
    )
    st.stop()

picked = run_picker.pick_runs(readable)
if not picked:
    st.info("Select a run above or on the Runs page.", icon=":material/grid_on:")
    st.page_link(page_links.RUNS_PAGE, label="Go to Runs", icon=":material/table_rows:")
    st.stop()

with st.container(horizontal=True, gap="medium"):
    view = compared_runs.compare([readable[run_id] for run_id in picked])
    scale = confusion_scale.select_scale()
compared_runs.cautions(view)
if not view.evaluated:
    st.info("None of these runs has results on this split.", icon=":material/info:")
    st.stop()
with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
    exports.menu(view, scale)
    st.page_link(
        page_links.COMPARE_PAGE,
        label="Compare the runs",
        icon=":material/compare_arrows:",
        query_params={"runs": picked, "split": view.split},
    )
compared_runs.images_caption(view)
sections.matrices(view, scale)
class_metrics.class_metrics(view)
sections.samples(view)
side_by_side_section.section(view)
sections.pair(view, scale)
sections.calibration(view)
