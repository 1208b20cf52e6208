"""Confusion: what runs mistake for what, and the faces behind every cell."""

import streamlit as st

from dashboard import cached, comparison, confusions, pieces

st.title("Confusion", anchor=False)
readable = {run.id: run for run in cached.list_runs() if run.results}
if not readable:
    pieces.no_runs("No run here has figures yet: a training has them when it ends.")
    st.stop()

picked = pieces.pick_runs(readable)
if not picked:
    st.info("Choose a run above, or tick rows on the Runs page.", icon=":material/grid_on:")
    st.page_link(pieces.RUNS_PAGE, label="Go to Runs", icon=":material/table_rows:")
    st.stop()

with st.container(horizontal=True, gap="medium"):
    view = comparison.compared([readable[run_id] for run_id in picked])
    shown = confusions.scale()
comparison.cautions(view)
if not view.evaluated:
    st.info("None of these runs has figures on this evaluation.", icon=":material/info:")
    st.stop()
comparison.say_images(view)
confusions.matrices(view, shown)
confusions.faces(view)
confusions.pair(view, shown)
confusions.quality(view)
