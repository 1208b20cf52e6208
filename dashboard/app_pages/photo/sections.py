"""The sections of the Photo page: controls, predictions on each face, tables."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import formats
from dashboard.app_pages.photo import upload_section, uploads
from dashboard.app_pages.photo.face_html import Picture, boxed_photo, face_cards, summary
from dashboard.app_pages.photo.saliency import (
    MAX_CACHED,
    SALIENCY_HELP,
    SALIENCY_METHODS,
    drop_oldest,
    runs_with_maps,
)
from dashboard.app_pages.photo.upload_section import (
    PICTURES,
    PREDICTIONS,
    TABLE,
    UNREADABLE,
    show_unreadable,
)
from dashboard.app_pages.photo.uploads import UploadedPhoto
from dashboard.app_pages.photo.view import View
from dashboard.charts.data_urls import jpeg_data_url
from dashboard.components import column_formats, export_menu, model_picker, url_widgets
from dashboard.state import network_cache, run_cache
from fercore.errors import UserError
from fercore.faces import geometry
from fercore.inference.media.photos import decode_photo
from fercore.inference.predictor import Prediction, Predictor
from fercore.runs.reader import Run

MAX_NETWORKS = 4
_FACES_PER_PAGE = 12
_MAX_PICTURES = 40  # of about 150 kB each
# Decoding an image takes up to 300 MB: one at a time for all visitors together.
_DECODING = threading.Lock()
# Longer side of a picture in pixels.
_PICTURE_SIDE = 1100
# The photo stays in view beside a long list of faces, where the two are side by side.
_STICKY_STYLE = (
    "<style>@media (min-width: 641px) {"
    '[data-testid="stLayoutWrapper"]:has(> .st-key-photo-in-view) {position: sticky; top: 4.5rem;}'
    "}</style>"
)


def controls(runs: Mapping[str, Run]) -> View:
    """Draw the widgets for networks, detector, minimum confidence and saliency maps."""
    selected = model_picker.pick_networks(runs, MAX_NETWORKS, f"Select up to {MAX_NETWORKS} models")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        detector = model_picker.pick_detector()
        min_confidence = url_widgets.slider(
            "Confidence threshold",
            "least",
            0.0,
            1.0,
            0.05,
            0.5,
            format="percent",
            width=220,
            help="Predictions with a lower probability are marked as low confidence.",
        )
        saliency_method = url_widgets.segmented_control(
            "Explanation (saliency)", SALIENCY_METHODS, key="heat", help=SALIENCY_HELP
        )
        is_cropped = url_widgets.toggle(
            "Skip face detection",
            key="whole",
            help="For images that are cropped already: each photo is one face.",
        )
    chosen = {run_id: runs[run_id] for run_id in selected}
    explained = runs_with_maps(chosen, saliency_method)
    return View(
        chosen,
        detector,
        is_cropped,
        min_confidence,
        explained,
        saliency_method,
    )


def predict_photos(photos: Sequence[UploadedPhoto], view: View) -> dict[str, list[Prediction]]:
    """Return the predictions for every readable photo, by digest.

    Predictions are cached in the session. Photos that cannot be read are named with the reason and
    not tried again.
    """
    unreadable: dict[str, str] = st.session_state.setdefault(UNREADABLE, {})
    cache: dict[tuple[Any, ...], list[Prediction]] = st.session_state.setdefault(PREDICTIONS, {})
    signatures = tuple(map(network_cache.network_signature, view.runs.values()))
    settings = (signatures, view.detector, view.is_cropped)
    predictions = {
        photo.digest: cache[photo.digest, *settings]
        for photo in photos
        if (photo.digest, *settings) in cache
    }
    count = sum(map(len, predictions.values()))
    missing = [p for p in photos if p.digest not in predictions and p.digest not in unreadable]
    if missing and count < uploads.MAX_FACES:
        try:
            predictor = _load_predictor(view)
        except UserError as error:
            st.error(formats.markdown(str(error)), icon=":material/error:")
            return {}
        predictions |= _predict_missing(missing, predictor, view, uploads.MAX_FACES - count)
        for photo in photos:
            if photo.digest in predictions:  # moved to the end, so that they are dropped last
                cache.pop((photo.digest, *settings), None)
                cache[photo.digest, *settings] = predictions[photo.digest]
        drop_oldest(cache, max(MAX_CACHED, len(photos)))
        drop_oldest(unreadable, max(MAX_CACHED, len(photos)))
    show_unreadable(
        [
            unreadable.get(photo.digest)
            or f"{photo.name} is one too many: expected {uploads.MAX_FACES:,} faces at most"
            for photo in photos
            if photo.digest not in predictions
        ]
    )
    return {
        photo.digest: predictions[photo.digest] for photo in photos if photo.digest in predictions
    }


def _predict_missing(
    photos: Sequence[UploadedPhoto], predictor: Predictor, view: View, max_faces: int
) -> dict[str, list[Prediction]]:
    """Predict on photos until `max_faces` faces are reached; store the errors of unreadable ones.

    Returns:
        The predictions by digest.
    """
    unreadable: dict[str, str] = st.session_state.setdefault(UNREADABLE, {})
    predictions: dict[str, list[Prediction]] = {}
    count = 0
    bar = st.progress(0.0, "Detecting faces") if len(photos) > 3 else None
    for number, photo in enumerate(photos):
        if count >= max_faces:
            break
        try:
            with _DECODING:
                image = _decode(photo)
                faces = [geometry.full_image_face(image)] if view.is_cropped else None
                predictions[photo.digest] = predictor.predict(image, faces)
                _store_picture(photo, image)
                del image
        except UserError as error:
            unreadable[photo.digest] = str(error)
            continue
        count += len(predictions[photo.digest])
        if bar:
            bar.progress((number + 1) / len(photos), formats.markdown(photo.name))
    if bar:
        bar.empty()
    return predictions


def photo_predictions(photo: UploadedPhoto, predictions: Sequence[Prediction], view: View) -> None:
    """Draw one photo with its boxes, beside a summary and the details of each face.

    The photo stays in view while the visitor scrolls through a long list of faces.
    """
    picture = _get_picture(photo)
    pages = -(-len(predictions) // _FACES_PER_PAGE)
    labels = run_cache.labels(list(view.runs.values()))
    st.html(_STICKY_STYLE)
    left, right = st.columns([1, 1], gap="medium")
    with left, st.container(key="photo-in-view", gap="small"):
        st.html(boxed_photo(picture, predictions, view, photo.name))
        st.caption(_photo_caption(photo, picture, len(predictions), list(labels.values())))
    with right:
        if not predictions:
            st.info(
                "No face was found. The Haar cascade detects frontal, upright faces of at least 24 "
                "pixels. If the photo is a cropped face, switch on “Skip face detection”.",
                icon=":material/face:",
            )
            return
        page = url_widgets.page(pages, f"faces-{photo.digest[:8]}") if pages > 1 else 1
        start = (page - 1) * _FACES_PER_PAGE
        shown = list(enumerate(predictions, start=1))[start : start + _FACES_PER_PAGE]
        st.html(summary(shown, view, labels))
        with st.expander("Details of each face", expanded=True, icon=":material/face:"):
            with st.spinner("Computing saliency maps", show_time=True):
                cards = face_cards(shown, view, labels)
            st.html(cards)


def _photo_caption(
    photo: UploadedPhoto, picture: Picture, num_faces: int, labels: Sequence[str]
) -> str:
    """Return the name or source of a photo, its size, and whose predictions the boxes show."""
    count = f"{num_faces} faces" if num_faces != 1 else "1 face"
    source = upload_section.example_caption(photo) or f"{formats.markdown(photo.name)}:"
    boxes = f" Boxes: {formats.markdown(labels[0])}." if len(labels) > 1 and num_faces else ""
    return f"{source} {picture.width} × {picture.height} pixels, {count}.{boxes}"


def table(
    photos: Sequence[UploadedPhoto], predictions: Mapping[str, Sequence[Prediction]], view: View
) -> pd.DataFrame:
    """Return a table with one row per face and network; probabilities in percent."""
    labels = run_cache.labels(list(view.runs.values()))
    return pd.DataFrame(
        [
            {
                "Photo": photo.name,
                "Face": number,
                "Model": labels[run_id],
                "Expression": prediction.top(run_id)[0],
                "Confidence": 100 * prediction.top(run_id)[1],
                "Low confidence": prediction.label(run_id, view.min_confidence) is None,
                "Box": ", ".join(map(str, prediction.face.box)),
            }
            | {
                f"p {name}": 100 * float(probability)
                for name, probability in zip(
                    prediction.class_names[run_id], prediction.probabilities[run_id], strict=True
                )
            }
            for photo in photos
            for number, prediction in enumerate(predictions.get(photo.digest, []), start=1)
            for run_id in view.runs
        ]
    )


def all_faces(
    photos: Sequence[UploadedPhoto], predictions: Mapping[str, Sequence[Prediction]], view: View
) -> None:
    """Draw the table of every face of every photo, with its export menu."""
    faces = _get_table(photos, predictions, view)
    if faces.empty:
        return
    st.subheader("All faces", anchor=False)
    calibration = "calibrated by temperature scaling on the validation split"
    if len(view.runs) > 1:
        listed = [
            prediction for photo in photos for prediction in predictions.get(photo.digest, [])
        ]
        unanimous = sum(prediction.is_unanimous for prediction in listed)
        st.caption(
            f"The models agree on {unanimous:,} of {len(listed):,} faces. Confidence: probability "
            f"{calibration}."
        )
    else:
        st.caption(f"Confidence: probability {calibration}.")
    export_menu.menu("faces", lambda: faces)
    percentages = [
        str(name) for name in faces if str(name).startswith("p ") or name == "Confidence"
    ]
    st.dataframe(
        faces,
        hide_index=True,
        column_config={name: column_formats.percent(name) for name in percentages},
        placeholder=formats.DASH,
        alt="Predictions of each model for each face",
    )


def _decode(photo: UploadedPhoto) -> NDArray[np.uint8]:
    """Read and decode a photo, within the page's limits."""
    return decode_photo(photo.read(), photo.name, max_pixels=uploads.MAX_PIXELS, reduce_jpeg=True)


def _get_picture(photo: UploadedPhoto) -> Picture:
    """Return the picture of a photo; decode the photo if it is no longer stored."""
    pictures: dict[str, Picture] = st.session_state.setdefault(PICTURES, {})
    if photo.digest not in pictures:
        with _DECODING:
            _store_picture(photo, _decode(photo))
    return pictures[photo.digest]


def _store_picture(photo: UploadedPhoto, image: NDArray[np.uint8]) -> None:
    import cv2

    pictures: dict[str, Picture] = st.session_state.setdefault(PICTURES, {})
    height, width = image.shape[:2]
    scale = max(1.0, max(height, width) / _PICTURE_SIDE)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    address = jpeg_data_url(np.asarray(reduced), quality=88)
    pictures[photo.digest] = Picture(address, width, height)
    drop_oldest(pictures, _MAX_PICTURES)


def _get_table(
    photos: Sequence[UploadedPhoto], predictions: Mapping[str, Sequence[Prediction]], view: View
) -> pd.DataFrame:
    """Return the table of all faces, from the session unless photos or settings have changed."""
    networks = tuple(map(network_cache.network_signature, view.runs.values()))
    digests = tuple(photo.digest for photo in photos)
    key = (digests, networks, view.detector, view.is_cropped, view.min_confidence)
    last: tuple[object, pd.DataFrame] | None = st.session_state.get(TABLE)
    if last is None or last[0] != key:
        last = st.session_state[TABLE] = (key, table(photos, predictions, view))
    return last[1]


def _load_predictor(view: View) -> Predictor:
    networks = [network_cache.network(run) for run in view.runs.values()]
    return Predictor(networks, network_cache.detector(view.detector))
