"""The Webcam page: track the faces of a camera and classify them with one or two networks."""

import streamlit as st

from dashboard.app_pages.live import sections
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

left, right = st.columns([3, 2], gap="medium")
with left:
    stream, is_playing = sections.video(view)
    st.caption(
        "The video is sent from the browser to this machine and nowhere else. Browsers allow the "
        "camera on localhost or over HTTPS only."
    )
with right:
    sections.current_predictions(view, stream, is_playing)
sections.downloads(view, stream)
sections.history(view, stream, is_playing)
