"""The sections of the Photo page: controls, predictions on each face, tables."""

import html
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import formats
from dashboard.app_pages.photo import uploads
from dashboard.app_pages.photo.saliency import (
    MAX_CACHED,
    SALIENCY_HELP,
    SALIENCY_METHODS,
    drop_oldest,
    heatmap,
    supports_grad_cam,
)
from dashboard.app_pages.photo.uploads import Listing, UploadedPhoto
from dashboard.app_pages.photo.view import View
from dashboard.charts.data_urls import jpeg_data_url, png_data_url
from dashboard.components import (
    column_formats,
    export_menu,
    model_picker,
    probability_bars,
    url_widgets,
)
from dashboard.state import network_cache, run_cache
from fercore.errors import UserError
from fercore.faces import geometry
from fercore.images.decoding import IMAGE_SUFFIXES
from fercore.inference.media.photos import decode_photo
from fercore.inference.predictor import Prediction, Predictor
from fercore.runs.reader import Run

MAX_NETWORKS = 4
_FACES_PER_PAGE = 12
# Keys of the session state: listings by file, predictions by photo and settings, errors by photo,
# pictures by photo, and the last table with its key.
_LISTINGS, _PREDICTIONS = "photo:listed", "photo:kept"
_UNREADABLE, _PICTURES, _TABLE = "photo:unreadable", "photo:pictures", "photo:table"
# Names and files of the snapshots from the Live page.
SHOTS = "photo:shots"
_MAX_MESSAGES = 100
_MAX_PICTURES = 40  # of about 150 kB each
# Decoding an image takes up to 300 MB: one at a time for all visitors together.
_DECODING = threading.Lock()
# Longer side of a picture in pixels.
_PICTURE_SIDE = 1100
# Number of faces above which their numbers are drawn small, as they would cover the faces.
_CROWD = 30


@dataclass(frozen=True)
class Picture:
    """A reduced copy of a photo.

    Attributes:
        address: data URL of a JPEG.
        width: of the decoded photo in pixels, to which the boxes refer.
        height: likewise.
    """

    address: str
    width: int
    height: int


def controls(runs: Mapping[str, Run]) -> View:
    """Draw the widgets for networks, detector, minimum confidence and saliency maps."""
    selected = model_picker.pick_networks(
        runs, MAX_NETWORKS, f"Choose up to {MAX_NETWORKS} networks"
    )
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        detector = model_picker.pick_detector()
        min_confidence = url_widgets.slider(
            "Minimum confidence", "least", 0.0, 1.0, 0.05, 0.5, format="percent", width=220
        )
        is_cropped = url_widgets.toggle(
            "Each photo is one face", key="whole", help="For images that are cropped already."
        )
        saliency_method = url_widgets.segmented_control(
            "Saliency map", SALIENCY_METHODS, key="heat", help=SALIENCY_HELP
        )
        explained = None
        if saliency_method != "off" and selected:
            explained = selected[0]
            if len(selected) > 1:
                labels = run_cache.labels(list(runs.values()))
                options = {run_id: labels[run_id] for run_id in selected}
                explained = url_widgets.selectbox(
                    "Saliency map of", options, key="of", implied=True, width=260
                )
        if explained and saliency_method == "grad-cam" and not supports_grad_cam(runs[explained]):
            explained = None
    model_picker.how_to_add_yunet()
    return View(
        {run_id: runs[run_id] for run_id in selected},
        detector,
        is_cropped,
        min_confidence,
        explained,
        saliency_method,
    )


def uploaded_photos() -> list[UploadedPhoto]:
    """Draw the upload widgets; return the photos, and name the files that are not read."""
    suffixes = [suffix.removeprefix(".") for suffix in (*IMAGE_SUFFIXES, ".zip")]
    files = st.file_uploader(
        "Photos, or a ZIP of them",
        type=suffixes,
        accept_multiple_files=True,
        key="photos",
        max_upload_size=uploads.MAX_FILE_BYTES >> 20,
        help="Photos stay in the memory of this machine. They are neither stored nor sent on.",
    )
    st.caption(uploads.LIMITS)
    # Each file is listed once; listings of removed files are dropped.
    previous: dict[str, Listing] = st.session_state.get(_LISTINGS, {})
    listings = {
        file.file_id: previous.get(file.file_id) or uploads.list_photos(file)
        for file in files or []
    }
    st.session_state[_LISTINGS] = listings
    photos, refused = uploads.within_limits(
        [(file, listings[file.file_id]) for file in files or []]
    )
    _show_unreadable(refused)
    photos += [
        uploads.photo_from_bytes(name, content) for name, content in st.session_state.get(SHOTS, [])
    ]
    if url_widgets.toggle("Take one with the camera", key="camera"):
        picture = st.camera_input("Camera", label_visibility="collapsed")
        if picture:
            photos.append(uploads.photo_from_bytes("camera.jpg", picture.getvalue()))
    return photos


def predict_photos(photos: Sequence[UploadedPhoto], view: View) -> dict[str, list[Prediction]]:
    """Return the predictions for every readable photo, by digest.

    Predictions are cached in the session. Photos that cannot be read are named with the reason and
    not tried again.
    """
    unreadable: dict[str, str] = st.session_state.setdefault(_UNREADABLE, {})
    cache: dict[tuple[Any, ...], list[Prediction]] = st.session_state.setdefault(_PREDICTIONS, {})
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
    _show_unreadable(
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
    unreadable: dict[str, str] = st.session_state.setdefault(_UNREADABLE, {})
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
    """Draw one photo with its boxes, beside the predictions for each face."""
    picture = _get_picture(photo)
    pages = -(-len(predictions) // _FACES_PER_PAGE)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        st.html(_boxed_photo(picture, predictions, photo.name))
        st.caption(
            f"{formats.markdown(photo.name)}, {picture.width} × {picture.height}: "
            + (f"{len(predictions)} faces" if len(predictions) != 1 else "1 face")
        )
    with right:
        if not predictions:
            st.info(
                "No face was found. The Haar cascade detects frontal, upright faces of at least 24 "
                "pixels. If the photo is a cropped face, switch on “Each photo is one face”.",
                icon=":material/face:",
            )
            return
        page = url_widgets.page(pages, f"faces-{photo.digest[:8]}") if pages > 1 else 1
        start = (page - 1) * _FACES_PER_PAGE
        shown = list(enumerate(predictions, start=1))[start : start + _FACES_PER_PAGE]
        with st.spinner("Computing saliency maps", show_time=True):
            cards = [_face_card(number, prediction, view) for number, prediction in shown]
        st.html("".join(cards))


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
                "Network": labels[run_id],
                "Expression": prediction.label(run_id, view.min_confidence) or "unsure",
                "Probability": 100 * prediction.top(run_id)[1],
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
            f"The networks agree on {unanimous:,} of {len(listed):,} faces. Probabilities are "
            f"{calibration} of each run."
        )
    else:
        st.caption(f"Probabilities are {calibration} of the run.")
    export_menu.menu("faces", lambda: faces)
    percentages = [
        str(name) for name in faces if str(name).startswith("p ") or name == "Probability"
    ]
    st.dataframe(
        faces,
        hide_index=True,
        column_config={name: column_formats.percent(name) for name in percentages},
        placeholder=formats.DASH,
    )


def upload_hint() -> None:
    """Draw the instructions to upload photos."""
    st.info(
        "Drop photos here, or a ZIP of them, or take one with the camera. Every face is boxed and "
        "classified by the networks above. Nothing leaves this machine.",
        icon=":material/add_a_photo:",
    )


def _decode(photo: UploadedPhoto) -> NDArray[np.uint8]:
    """Read and decode a photo, within the page's limits."""
    return decode_photo(photo.read(), photo.name, max_pixels=uploads.MAX_PIXELS, reduce_jpeg=True)


def _get_picture(photo: UploadedPhoto) -> Picture:
    """Return the picture of a photo; decode the photo if it is no longer stored."""
    pictures: dict[str, Picture] = st.session_state.setdefault(_PICTURES, {})
    if photo.digest not in pictures:
        with _DECODING:
            _store_picture(photo, _decode(photo))
    return pictures[photo.digest]


def _store_picture(photo: UploadedPhoto, image: NDArray[np.uint8]) -> None:
    import cv2

    pictures: dict[str, Picture] = st.session_state.setdefault(_PICTURES, {})
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
    last: tuple[object, pd.DataFrame] | None = st.session_state.get(_TABLE)
    if last is None or last[0] != key:
        last = st.session_state[_TABLE] = (key, table(photos, predictions, view))
    return last[1]


def _show_unreadable(reasons: Sequence[str]) -> None:
    """Draw one message that lists the files that are not read."""
    if not reasons:
        return
    lines = [f"- {formats.markdown(reason)}" for reason in reasons[:_MAX_MESSAGES]]
    if len(reasons) > len(lines):
        lines.append(f"- and {len(reasons) - len(lines):,} more")
    # A long list scrolls.
    with st.container(height=260 if len(lines) > 8 else "content", border=False):
        title = f"Not read ({len(reasons):,}):\n" if len(reasons) > 1 else ""
        text = title + "\n".join(lines) if title else lines[0].removeprefix("- ")
        st.error(text, icon=":material/broken_image:")


def _load_predictor(view: View) -> Predictor:
    networks = [network_cache.network(run) for run in view.runs.values()]
    return Predictor(networks, network_cache.detector(view.detector))


def _boxed_photo(picture: Picture, predictions: Sequence[Prediction], name: str) -> str:
    """Return the HTML of a photo with numbered boxes around its faces."""
    width, height = picture.width, picture.height
    font_size = 0.75 if len(predictions) <= _CROWD else 0.5
    boxes = "".join(
        f'<div style="position:absolute;left:{100 * face.left / width:.2f}%;'
        f"top:{100 * face.top / height:.2f}%;width:{100 * face.side / width:.2f}%;"
        f"aspect-ratio:1;transform:rotate({face.angle:.3f}rad);"
        "border:2px solid #0b84b0;border-radius:3px;"
        'box-shadow:0 0 0 1px rgba(255,255,255,.6)">'
        '<span style="position:absolute;left:-2px;top:-1.45em;background:#0b84b0;color:#fff;'
        f'font-size:{font_size}rem;line-height:1.4;padding:0 .4em;border-radius:3px">'
        f"{number}</span></div>"
        for number, face in enumerate((prediction.face for prediction in predictions), start=1)
    )
    alt = html.escape(f"{name} with {len(predictions)} faces boxed")
    image = f'<img src="{picture.address}" alt="{alt}" style="width:100%;display:block">'
    return (
        '<div class="photo" style="position:relative;overflow:hidden;border-radius:.5rem">'
        f"{image}{boxes}</div>"
    )


def _face_card(number: int, prediction: Prediction, view: View) -> str:
    """Return the HTML of a face: its crop, its saliency map and each network's probabilities."""
    first = next(iter(view.runs))
    pictures = [(prediction.crops[first], "network input")]
    if view.explained:
        pictures.append((heatmap(prediction, view), "saliency map"))
    figures = "".join(
        f'<figure style="margin:0"><img src="{png_data_url(picture)}" alt="{alt}" '
        'style="width:104px;aspect-ratio:1;image-rendering:pixelated;border-radius:.4rem;'
        f'display:block"><figcaption style="font-size:.72rem;opacity:.65">{alt}</figcaption>'
        "</figure>"
        for picture, alt in pictures
    )
    labels = run_cache.labels(list(view.runs.values()))
    bars = "".join(
        probability_bars.bars(
            labels[run_id],
            prediction.class_names[run_id],
            prediction.probabilities[run_id],
            prediction.label(run_id, view.min_confidence),
        )
        for run_id in view.runs
    )
    disagreement = "" if prediction.is_unanimous else probability_bars.chip("networks disagree")
    return (
        '<section class="face" style="border:1px solid color-mix(in srgb,currentColor 18%,'
        'transparent);border-radius:.5rem;padding:.7rem .8rem;margin-bottom:.7rem">'
        '<div style="display:flex;gap:.8rem;flex-wrap:wrap;align-items:flex-start">'
        f'<div style="display:flex;gap:.4rem">{figures}</div>'
        '<div style="flex:1;min-width:230px">'
        f'<div style="font-weight:600;margin-bottom:.2rem">Face {number} {disagreement}</div>{bars}'
        "</div></div></section>"
    )
