"""Live: the camera's faces, followed and judged by one network or two."""

import streamlit as st

from dashboard.app_pages.live import sections
from dashboard.components import empty_state, model_picker
from dashboard.state import run_cache

st.title("Live", anchor=False)
runs = model_picker.networks(run_cache.list_runs())
model_picker.explain_missing("networks")
if not runs:
    empty_state.no_runs(model_picker.NO_NETWORK)
    st.stop()

view = sections.controls(runs)
if not view.networks:
    st.info("Choose at least one network above.", icon=":material/hub:")
    st.stop()

left, right = st.columns([3, 2], gap="medium")
with left:
    stream, playing = sections.video(view)
    st.caption(
        "Pictures go from the browser to this machine and nowhere else. A camera needs this "
        "machine's own address (localhost), or HTTPS."
    )
with right:
    sections.watch(view, stream, playing)
sections.keep(view, stream)
sections.history(view, stream, playing)
