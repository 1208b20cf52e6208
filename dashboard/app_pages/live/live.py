"""The Webcam page: track the faces of a camera and classify them with one or two networks."""

import streamlit as st

from dashboard.app_pages.live import sections, video_section
from dashboard.components import empty_state, model_picker
from dashboard.state import run_cache

st.title("Webcam", anchor=False)
runs = model_picker.networks(run_cache.list_runs())
model_picker.explain_missing("networks")
if not runs:
    empty_state.no_runs(model_picker.NO_NETWORK)
    st.stop()

view = sections.controls(runs)
if not view.networks:
    st.info("Select at least one model above.", icon=":material/hub:")
    st.stop()

left, right = st.columns([1, 1], gap="medium")
with left:
    video = video_section.video(view)
with right:
    video_section.demonstration_button(video)
    sections.current_predictions(view, video)
sections.downloads(view, video)
sections.history(view, video)
