"""Live: the camera's faces, followed and judged by one network or two."""

import streamlit as st

from dashboard import asking, cached, camera, pieces

st.title("Live", anchor=False)
runs = asking.networks(cached.list_runs())
asking.explain_missing("networks")
if not runs:
    pieces.no_runs(asking.NO_NETWORK)
    st.stop()

view = camera.controls(runs)
if not view.networks:
    st.info("Choose at least one network above.", icon=":material/hub:")
    st.stop()

left, right = st.columns([3, 2], gap="medium")
with left:
    stream, playing = camera.video(view)
    st.caption(
        "Pictures go from the browser to this machine and nowhere else. A camera needs this "
        "machine's own address (localhost), or HTTPS."
    )
with right:
    camera.watch(view, stream, playing)
camera.keep(view, stream)
camera.history(view, stream, playing)
