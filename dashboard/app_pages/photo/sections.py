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
    MAX_KEPT,
    SALIENCY_HELP,
    SALIENCY_METHODS,
    heatmap,
    shorten,
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
_FACES_A_PAGE = 12
_LISTED = "photo:listed"
_KEPT = "photo:kept"
_UNREADABLE, _PICTURES, _TABLE = "photo:unreadable", "photo:pictures", "photo:table"
_MOST_REASONS = 100
_MOST_PICTURES = 40  # of some 150 kB each
# One image is decoded at a time, for all visitors together: it takes up to 300 MB.
_ONE_IMAGE = threading.Lock()
_SHOWN_SIDE, _CROWD = 1100, 30
# Pictures that the Live page took: name and file.
SHOTS = "photo:shots"


@dataclass(frozen=True)
class Picture:
    """A photo as the page shows it: reduced, as the address of a JPEG.

    Attributes:
        address: a data URL.
        width: in pixels, of the decoded photo, which the boxes are in.
        height: likewise.
    """

    address: str
    width: int
    height: int


def controls(runs: Mapping[str, Run]) -> View:
    """Let the reader choose networks, the finder, and when a network is unsure."""
    picked = model_picker.pick_networks(runs, MAX_NETWORKS, f"Choose up to {MAX_NETWORKS} networks")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        kind = model_picker.pick_detector()
        least = url_widgets.slider(
            "Unsure below", "least", 0.0, 1.0, 0.05, 0.5, format="percent", width=220
        )
        whole = url_widgets.toggle(
            "Each photo is one face", key="whole", help="For images that are cut already."
        )
        explain = url_widgets.segmented_control(
            "What it looked at", SALIENCY_METHODS, key="heat", help=SALIENCY_HELP
        )
        explained = None
        if explain != "off" and picked:
            explained = picked[0]
            if len(picked) > 1:
                labels = run_cache.labels(list(runs.values()))
                options = {run_id: labels[run_id] for run_id in picked}
                explained = url_widgets.selectbox("Of", options, key="of", implied=True, width=260)
        if explained and explain == "grad-cam" and not supports_grad_cam(runs[explained]):
            explained = None
    model_picker.how_to_add_yunet()
    return View(
        {run_id: runs[run_id] for run_id in picked},
        kind,
        whole,
        least,
        explained,
        explain,
    )


def uploaded_photos() -> list[UploadedPhoto]:
    """What the visitor has handed in; files that are not read are named with the reason."""
    suffixes = [suffix.removeprefix(".") for suffix in (*IMAGE_SUFFIXES, ".zip")]
    files = st.file_uploader(
        "Photos, or a ZIP of them",
        type=suffixes,
        accept_multiple_files=True,
        key="photos",
        max_upload_size=uploads.MAX_FILE_BYTES >> 20,
        help="They stay in this machine's memory: nothing is stored, nothing is sent on.",
    )
    st.caption(uploads.LIMITS)
    # A file is listed once; what is taken away is forgotten.
    known: dict[str, Listing] = st.session_state.get(_LISTED, {})
    listed = {
        file.file_id: known.get(file.file_id) or uploads.listing(file) for file in files or []
    }
    st.session_state[_LISTED] = listed
    given, refused = uploads.within_limits([(file, listed[file.file_id]) for file in files or []])
    _say_not_read(refused)
    given += [uploads.given(name, content) for name, content in st.session_state.get(SHOTS, [])]
    if url_widgets.toggle("Take one with the camera", key="camera"):
        taken = st.camera_input("Camera", label_visibility="collapsed")
        if taken:
            given.append(uploads.given("camera.jpg", taken.getvalue()))
    return given


def predict_photos(given: Sequence[UploadedPhoto], view: View) -> dict[str, list[Prediction]]:
    """Return what the networks predict for every photo, by digest.

    Photos that are not read are named with the reason, and not tried again.
    """
    kept: dict[tuple[Any, ...], list[Prediction]] = st.session_state.setdefault(_KEPT, {})
    unreadable: dict[str, str] = st.session_state.setdefault(_UNREADABLE, {})
    setting = (
        tuple(map(network_cache.network_signature, view.runs.values())),
        view.finder,
        view.whole,
    )
    found = {
        photo.digest: kept[photo.digest, *setting]
        for photo in given
        if (photo.digest, *setting) in kept
    }
    count = sum(map(len, found.values()))
    missing = [p for p in given if p.digest not in found and p.digest not in unreadable]
    if missing and count < uploads.MAX_FACES:
        try:
            predictor = _predictor(view)
        except UserError as error:
            st.error(formats.markdown(str(error)), icon=":material/error:")
            return {}
        bar = st.progress(0.0, "Looking for faces") if len(missing) > 3 else None
        for number, photo in enumerate(missing):
            if count >= uploads.MAX_FACES:
                break
            try:
                with _ONE_IMAGE:
                    image = _decoded(photo)
                    whole = [geometry.full_image_face(image)] if view.whole else None
                    found[photo.digest] = predictor.predict(image, whole)
                    _keep_picture(photo, image)
                    del image
            except UserError as error:
                unreadable[photo.digest] = str(error)
                continue
            count += len(found[photo.digest])
            if bar:
                bar.progress((number + 1) / len(missing), formats.markdown(photo.name))
        if bar:
            bar.empty()
        for photo in given:
            if photo.digest in found:  # the last to go are those that are shown
                kept.pop((photo.digest, *setting), None)
                kept[photo.digest, *setting] = found[photo.digest]
        shorten(kept, max(MAX_KEPT, len(given)))
        shorten(unreadable, max(MAX_KEPT, len(given)))
    _say_not_read(
        [
            unreadable.get(photo.digest)
            or f"{photo.name} is one too many: expected {uploads.MAX_FACES:,} faces at most"
            for photo in given
            if photo.digest not in found
        ]
    )
    return {photo.digest: found[photo.digest] for photo in given if photo.digest in found}


def show(photo: UploadedPhoto, said: Sequence[Prediction], view: View) -> None:
    """One photo with its boxes, beside what was said of each face."""
    picture = _picture(photo)
    pages = -(-len(said) // _FACES_A_PAGE)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        st.html(_boxed(picture, said, photo.name))
        st.caption(
            f"{formats.markdown(photo.name)}, {picture.width} × {picture.height}: "
            + (f"{len(said)} faces" if len(said) != 1 else "1 face")
        )
    with right:
        if not said:
            st.info(
                "No face was found. Frontal, upright faces of at least 24 pixels are; if the photo "
                "is a face that was cut already, switch on “Each photo is one face”.",
                icon=":material/face:",
            )
            return
        place = url_widgets.page(pages, f"faces-{photo.digest[:8]}") if pages > 1 else 1
        start = (place - 1) * _FACES_A_PAGE
        shown = list(enumerate(said, start=1))[start : start + _FACES_A_PAGE]
        with st.spinner("Looking at what the answers rest on", show_time=True):
            cards = [_card(number, entry, view) for number, entry in shown]
        st.html("".join(cards))


def table(
    given: Sequence[UploadedPhoto], said: Mapping[str, Sequence[Prediction]], view: View
) -> pd.DataFrame:
    """One row a face and network, shares in percent."""
    labels = run_cache.labels(list(view.runs.values()))
    return pd.DataFrame(
        [
            {
                "Photo": photo.name,
                "Face": number,
                "Network": labels[run_id],
                "Expression": entry.label(run_id, view.least) or "unsure",
                "Probability": 100 * entry.top(run_id)[1],
                "Box": ", ".join(map(str, entry.face.box)),
            }
            | {
                f"p {name}": 100 * float(share)
                for name, share in zip(
                    entry.class_names[run_id], entry.probabilities[run_id], strict=True
                )
            }
            for photo in given
            for number, entry in enumerate(said.get(photo.digest, []), start=1)
            for run_id in view.runs
        ]
    )


def everything(
    given: Sequence[UploadedPhoto], said: Mapping[str, Sequence[Prediction]], view: View
) -> None:
    """Every face of every photo as a table, and as a file."""
    found = _kept_table(given, said, view)
    if found.empty:
        return
    st.subheader("All faces", anchor=False)
    entries = [entry for photo in given for entry in said.get(photo.digest, [])]
    if len(view.runs) > 1:
        same = sum(entry.agree for entry in entries)
        st.caption(
            f"The networks say the same of {same:,} of {len(entries):,} faces. Probabilities are "
            "scaled by the temperature that fits each run's validation split."
        )
    else:
        st.caption(
            "Probabilities are scaled by the temperature that fits the run's validation split."
        )
    export_menu.menu("faces", lambda: found)
    shares = [str(name) for name in found if str(name).startswith("p ") or name == "Probability"]
    st.dataframe(
        found,
        hide_index=True,
        column_config={name: column_formats.percent(name) for name in shares},
        placeholder=formats.DASH,
    )


def nothing_yet() -> None:
    """What to do first."""
    st.info(
        "Drop photos here, or a ZIP of them, or take one with the camera. Every face is boxed and "
        "judged by the networks above; nothing leaves this machine.",
        icon=":material/add_a_photo:",
    )


def _decoded(photo: UploadedPhoto) -> NDArray[np.uint8]:
    """Read and decode a photo; the one place of this page that does."""
    return decode_photo(photo.read(), photo.name, max_pixels=uploads.MAX_PIXELS, reduce_jpeg=True)


def _picture(photo: UploadedPhoto) -> Picture:
    pictures: dict[str, Picture] = st.session_state.setdefault(_PICTURES, {})
    if photo.digest not in pictures:
        with _ONE_IMAGE:
            _keep_picture(photo, _decoded(photo))
    return pictures[photo.digest]


def _keep_picture(photo: UploadedPhoto, image: NDArray[np.uint8]) -> None:
    import cv2

    pictures: dict[str, Picture] = st.session_state.setdefault(_PICTURES, {})
    height, width = image.shape[:2]
    scale = max(1.0, max(height, width) / _SHOWN_SIDE)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    address = jpeg_data_url(np.asarray(reduced), quality=88)
    pictures[photo.digest] = Picture(address, width, height)
    shorten(pictures, _MOST_PICTURES)


def _kept_table(
    given: Sequence[UploadedPhoto], said: Mapping[str, Sequence[Prediction]], view: View
) -> pd.DataFrame:
    """Return the table of all faces, made anew when photos or settings change."""
    networks = tuple(map(network_cache.network_signature, view.runs.values()))
    digests = tuple(photo.digest for photo in given)
    key = (digests, networks, view.finder, view.whole, view.least)
    last: tuple[object, pd.DataFrame] | None = st.session_state.get(_TABLE)
    if last is None or last[0] != key:
        last = st.session_state[_TABLE] = (key, table(given, said, view))
    return last[1]


def _say_not_read(reasons: Sequence[str]) -> None:
    if not reasons:
        return
    lines = [f"- {formats.markdown(reason)}" for reason in reasons[:_MOST_REASONS]]
    if len(reasons) > len(lines):
        lines.append(f"- and {len(reasons) - len(lines):,} more")
    # A long list scrolls.
    with st.container(height=260 if len(lines) > 8 else "content", border=False):
        title = f"Not read ({len(reasons):,}):\n" if len(reasons) > 1 else ""
        text = title + "\n".join(lines) if title else lines[0].removeprefix("- ")
        st.error(text, icon=":material/broken_image:")


def _predictor(view: View) -> Predictor:
    loaded = [network_cache.network(run) for run in view.runs.values()]
    return Predictor(loaded, network_cache.detector(view.finder))


def _boxed(picture: Picture, said: Sequence[Prediction], name: str) -> str:
    width, height = picture.width, picture.height
    # In a crowd the numbers would hide the faces.
    letters = 0.75 if len(said) <= _CROWD else 0.5
    boxes = "".join(
        f'<div style="position:absolute;left:{100 * entry.face.left / width:.2f}%;'
        f"top:{100 * entry.face.top / height:.2f}%;width:{100 * entry.face.side / width:.2f}%;"
        f"aspect-ratio:1;transform:rotate({entry.face.angle:.3f}rad);"
        "border:2px solid #0b84b0;border-radius:3px;"
        'box-shadow:0 0 0 1px rgba(255,255,255,.6)">'
        '<span style="position:absolute;left:-2px;top:-1.45em;background:#0b84b0;color:#fff;'
        f'font-size:{letters}rem;line-height:1.4;padding:0 .4em;border-radius:3px">'
        f"{number}</span></div>"
        for number, entry in enumerate(said, start=1)
    )
    alt = html.escape(f"{name} with {len(said)} faces boxed")
    shown = f'<img src="{picture.address}" alt="{alt}" style="width:100%;display:block">'
    return (
        '<div class="photo" style="position:relative;overflow:hidden;border-radius:.5rem">'
        f"{shown}{boxes}</div>"
    )


def _card(number: int, entry: Prediction, view: View) -> str:
    first = next(iter(view.runs))
    pictures = [(entry.crops[first], "what the network sees")]
    if view.explained:
        pictures.append((heatmap(entry, view), "what it rests on"))
    shown = "".join(
        f'<figure style="margin:0"><img src="{png_data_url(picture)}" alt="{alt}" '
        'style="width:104px;aspect-ratio:1;image-rendering:pixelated;border-radius:.4rem;'
        f'display:block"><figcaption style="font-size:.72rem;opacity:.65">{alt}</figcaption>'
        "</figure>"
        for picture, alt in pictures
    )
    labels = run_cache.labels(list(view.runs.values()))
    said = "".join(
        probability_bars.bars(
            labels[run_id],
            entry.class_names[run_id],
            entry.probabilities[run_id],
            entry.label(run_id, view.least),
        )
        for run_id in view.runs
    )
    disagree = "" if entry.agree else probability_bars.chip("networks disagree")
    return (
        '<section class="face" style="border:1px solid color-mix(in srgb,currentColor 18%,'
        'transparent);border-radius:.5rem;padding:.7rem .8rem;margin-bottom:.7rem">'
        '<div style="display:flex;gap:.8rem;flex-wrap:wrap;align-items:flex-start">'
        f'<div style="display:flex;gap:.4rem">{shown}</div>'
        '<div style="flex:1;min-width:230px">'
        f'<div style="font-weight:600;margin-bottom:.2rem">Face {number} {disagree}</div>{said}'
        "</div></div></section>"
    )
