"""Photo: every face of a photo, and what one or several networks say of it."""

import streamlit as st

from dashboard import asking, cached, linked, photo, pieces

st.title("Photo", anchor=False)
runs = asking.networks(cached.list_runs())
asking.explain_missing("networks")
if not runs:
    pieces.no_runs(asking.NO_NETWORK)
    st.stop()

given = photo.photos()
view = photo.controls(runs)
if not view.runs:
    st.info("Choose at least one network above.", icon=":material/hub:")
    st.stop()
if not given:
    photo.nothing_yet()
    st.stop()

said = photo.judge(given, view)
readable = [entry for entry in given if entry.digest in said]
if readable:
    place = linked.page(len(readable), "photo") if len(readable) > 1 else 1
    shown = readable[min(place, len(readable)) - 1]
    photo.show(shown, said[shown.digest], view)
    photo.everything(readable, said, view)
