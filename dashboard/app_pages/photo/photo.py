"""Photo: every face of a photo, and what one or several networks say of it."""

import streamlit as st

from dashboard.app_pages.photo import sections
from dashboard.components import empty_state, model_picker, url_widgets
from dashboard.state import run_cache

st.title("Photo", anchor=False)
runs = model_picker.networks(run_cache.list_runs())
model_picker.explain_missing("networks")
if not runs:
    empty_state.no_runs(model_picker.NO_NETWORK)
    st.stop()

given = sections.uploaded_photos()
view = sections.controls(runs)
if not view.runs:
    st.info("Choose at least one network above.", icon=":material/hub:")
    st.stop()
if not given:
    sections.nothing_yet()
    st.stop()

said = sections.predict_photos(given, view)
readable = [entry for entry in given if entry.digest in said]
if readable:
    place = url_widgets.page(len(readable), "photo") if len(readable) > 1 else 1
    shown = readable[min(place, len(readable)) - 1]
    sections.show(shown, said[shown.digest], view)
    sections.everything(readable, said, view)
