"""Confusion: what runs mistake for what, and the faces behind every cell."""

import streamlit as st

from dashboard.app_pages.confusion import sections
from dashboard.components import compared_runs, empty_state, page_links, run_picker
from dashboard.state import run_cache

st.title("Confusion", anchor=False)
readable = {run.id: run for run in run_cache.list_runs() if run.results}
if not readable:
    empty_state.no_runs("No run here has figures yet: a training has them when it ends.")
    st.stop()

picked = run_picker.pick_runs(readable)
if not picked:
    st.info("Choose a run above, or tick rows on the Runs page.", icon=":material/grid_on:")
    st.page_link(page_links.RUNS_PAGE, label="Go to Runs", icon=":material/table_rows:")
    st.stop()

with st.container(horizontal=True, gap="medium"):
    view = compared_runs.compared([readable[run_id] for run_id in picked])
    shown = sections.scale()
compared_runs.cautions(view)
if not view.evaluated:
    st.info("None of these runs has figures on this evaluation.", icon=":material/info:")
    st.stop()
compared_runs.say_images(view)
sections.matrices(view, shown)
sections.faces(view)
sections.pair(view, shown)
sections.quality(view)
