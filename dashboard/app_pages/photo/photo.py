"""The Photo page: detect the faces of photos and classify them with one or more networks."""

import streamlit as st

from dashboard.app_pages.photo import sections, upload_section
from dashboard.components import empty_state, model_picker, url_widgets
from dashboard.state import run_cache

st.title("Photo", anchor=False)
runs = model_picker.networks(run_cache.list_runs())
model_picker.explain_missing("networks")
if not runs:
    empty_state.no_runs(model_picker.NO_NETWORK)
    st.stop()

photos = upload_section.collect_photos()
view = sections.controls(runs)
if not view.runs:
    st.info("Select at least one model above.", icon=":material/hub:")
    st.stop()
if not photos:
    upload_section.show_examples()
    st.stop()

predictions = sections.predict_photos(photos, view)
readable = [photo for photo in photos if photo.digest in predictions]
if readable:
    page = url_widgets.page(len(readable), "photo") if len(readable) > 1 else 1
    photo = readable[min(page, len(readable)) - 1]
    sections.photo_predictions(photo, predictions[photo.digest], view)
    sections.all_faces(readable, predictions, view)
model_picker.how_to_add_yunet()
