"""The pieces of the Photo page: photos in, every face boxed, what each network says of it."""

import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard import asking, cached, columns, exports, formats, linked
from dashboard.gallery import jpeg_address, png_address
from fercore import faces
from fercore.errors import UserError
from fercore.explain import occlusion
from fercore.image_decoding import IMAGE_SUFFIXES
from fercore.photos import MAX_ARCHIVE_BYTES, decode_photo, photos_in_zip
from fercore.predict import Prediction, Predictor
from fercore.runs import Run

MAX_NETWORKS = 4
_FACES_A_PAGE = 12
_READ, _KEPT, _MAPS = "photo:read", "photo:kept", "photo:maps"
_MOST_KEPT = 600
_SHOWN_SIDE, _CROWD = 1100, 30
# Blue, green, red: what speaks for the class, and against it.
_FOR, _AGAINST = np.array([30.0, 90.0, 240.0]), np.array([220.0, 120.0, 20.0])
_EXPLAINED = {"off": "Off", "occlusion": "Occlusion", "grad-cam": "Grad-CAM"}
_EXPLAINED_HELP = (
    "Occlusion: where the probability of the answer falls (red) or rises (blue) when the image is "
    "blurred there. Grad-CAM: which places of the last feature map speak for the answer; coarse, "
    "for that map has few places."
)
# Pictures that the Live page took: name and file.
SHOTS = "photo:shots"


@dataclass(frozen=True)
class Given:
    """One photo that was handed in; in memory alone.

    Attributes:
        name: of the file.
        content: as it came.
        digest: of the content.
    """

    name: str
    content: bytes
    digest: str


@dataclass(frozen=True)
class View:
    """What the page is to show.

    Attributes:
        runs: whose networks are asked, by id, in order.
        finder: of faces.
        whole: each photo is one face.
        least: probability below which a network is unsure.
        explained: the run whose answer is explained, if any.
        how: `"occlusion"`, `"grad-cam"` or `"off"`.
    """

    runs: dict[str, Run]
    finder: faces.Kind
    whole: bool
    least: float
    explained: str | None
    how: str


def controls(runs: Mapping[str, Run]) -> View:
    """Let the reader choose networks, the finder, and when a network is unsure."""
    picked = asking.pick_networks(runs, MAX_NETWORKS, f"Choose up to {MAX_NETWORKS} networks")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        kind = asking.pick_finder()
        least = linked.number(
            "Unsure below", "least", 0.0, 1.0, 0.05, 0.5, format="percent", width=220
        )
        whole = linked.toggle(
            "Each photo is one face", key="whole", help="For images that are cut already."
        )
        explain = linked.choice("What it looked at", _EXPLAINED, key="heat", help=_EXPLAINED_HELP)
        explained = None
        if explain != "off" and picked:
            explained = picked[0]
            if len(picked) > 1:
                labels = cached.labels(list(runs.values()))
                options = {run_id: labels[run_id] for run_id in picked}
                explained = linked.pick("Of", options, key="of", implied=True, width=260)
        if explained and explain == "grad-cam" and not _can_be_weighed(runs[explained]):
            explained = None
    asking.how_to_add_yunet()
    return View(
        {run_id: runs[run_id] for run_id in picked},
        kind,
        whole,
        least,
        explained,
        explain,
    )


def photos() -> list[Given]:
    """What the reader has handed in; files that cannot be read are said so."""
    suffixes = [suffix.removeprefix(".") for suffix in (*IMAGE_SUFFIXES, ".zip")]
    files = st.file_uploader(
        "Photos, or a ZIP of them",
        type=suffixes,
        accept_multiple_files=True,
        key="photos",
        max_upload_size=MAX_ARCHIVE_BYTES >> 20,
        help="They stay in this machine's memory: nothing is stored, nothing is sent on.",
    )
    # An archive is not inflated again at every click; what is taken away is forgotten.
    known: dict[str, list[Given] | str] = st.session_state.get(_READ, {})
    read = {file.file_id: known.get(file.file_id) or _read(file) for file in files or []}
    st.session_state[_READ] = read
    given: list[Given] = []
    for found in read.values():
        if isinstance(found, str):
            st.error(formats.markdown(found), icon=":material/folder_zip:")
        else:
            given += found
    given += [_given(name, content) for name, content in st.session_state.get(SHOTS, [])]
    if linked.toggle("Take one with the camera", key="camera"):
        taken = st.camera_input("Camera", label_visibility="collapsed")
        if taken:
            given.append(_given("camera.jpg", taken.getvalue()))
    return given


def judge(given: Sequence[Given], view: View) -> dict[str, list[Prediction]]:
    """What the networks say of every photo, by digest; those that cannot be read are said so."""
    kept: dict[tuple[Any, ...], list[Prediction]] = st.session_state.setdefault(_KEPT, {})
    setting = (tuple(map(cached.network_stamp, view.runs.values())), view.finder, view.whole)
    missing = [photo for photo in given if (photo.digest, *setting) not in kept]
    if missing:
        try:
            predictor = _predictor(view)
        except UserError as error:
            st.error(formats.markdown(str(error)), icon=":material/error:")
            return {}
        bar = st.progress(0.0, "Looking for faces") if len(missing) > 3 else None
        for number, photo in enumerate(missing):
            try:
                image = decode_photo(photo.content, photo.name)
            except UserError as error:
                st.error(formats.markdown(str(error)), icon=":material/broken_image:")
                continue
            whole = [faces.whole(image)] if view.whole else None
            kept[photo.digest, *setting] = predictor.predict(image, whole)
            if bar:
                bar.progress((number + 1) / len(missing), formats.markdown(photo.name))
        if bar:
            bar.empty()
        for photo in given:
            if (photo.digest, *setting) in kept:  # the last to go are those that are shown
                kept[photo.digest, *setting] = kept.pop((photo.digest, *setting))
        while len(kept) > max(_MOST_KEPT, len(given)):
            del kept[next(iter(kept))]
    return {
        photo.digest: kept[photo.digest, *setting]
        for photo in given
        if (photo.digest, *setting) in kept
    }


def show(photo: Given, said: Sequence[Prediction], view: View) -> None:
    """One photo with its boxes, beside what was said of each face."""
    image = decode_photo(photo.content, photo.name)
    pages = -(-len(said) // _FACES_A_PAGE)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        st.html(_boxed(image, said, photo.name))
        st.caption(
            f"{formats.markdown(photo.name)}, {image.shape[1]} × {image.shape[0]}: "
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
        place = linked.page(pages, f"faces-{photo.digest[:8]}") if pages > 1 else 1
        start = (place - 1) * _FACES_A_PAGE
        shown = list(enumerate(said, start=1))[start : start + _FACES_A_PAGE]
        with st.spinner("Looking at what the answers rest on", show_time=True):
            cards = [_card(number, entry, view) for number, entry in shown]
        st.html("".join(cards))


def table(
    given: Sequence[Given], said: Mapping[str, Sequence[Prediction]], view: View
) -> pd.DataFrame:
    """One row a face and network, shares in percent."""
    labels = cached.labels(list(view.runs.values()))
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
    given: Sequence[Given], said: Mapping[str, Sequence[Prediction]], view: View
) -> None:
    """Every face of every photo as a table, and as a file."""
    found = table(given, said, view)
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
    exports.menu("faces", lambda: found)
    shares = [str(name) for name in found if str(name).startswith("p ") or name == "Probability"]
    st.dataframe(
        found,
        hide_index=True,
        column_config={name: columns.percent(name) for name in shares},
        placeholder=formats.DASH,
    )


def nothing_yet() -> None:
    """What to do first."""
    st.info(
        "Drop photos here, or a ZIP of them, or take one with the camera. Every face is boxed and "
        "judged by the networks above; nothing leaves this machine.",
        icon=":material/add_a_photo:",
    )


def _read(file: UploadedFile) -> list[Given] | str:
    """The photos of a file; of an archive that cannot be read, why."""
    content = file.getvalue()
    if not file.name.lower().endswith(".zip"):
        return [_given(file.name, content)]
    try:
        return [_given(name, data) for name, data in photos_in_zip(content, file.name)]
    except UserError as error:
        return str(error)


def _given(name: str, content: bytes) -> Given:
    return Given(name, content, hashlib.sha256(content).hexdigest())


def _predictor(view: View) -> Predictor:
    loaded = [cached.network(run) for run in view.runs.values()]
    return Predictor(loaded, cached.finder(view.finder))


def _boxed(image: NDArray[np.uint8], said: Sequence[Prediction], name: str) -> str:
    import cv2

    height, width = image.shape[:2]
    scale = max(1.0, max(height, width) / _SHOWN_SIDE)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
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
    address = jpeg_address(np.asarray(reduced), quality=88)
    picture = f'<img src="{address}" alt="{alt}" style="width:100%;display:block">'
    return (
        '<div class="photo" style="position:relative;overflow:hidden;border-radius:.5rem">'
        f"{picture}{boxes}</div>"
    )


def _card(number: int, entry: Prediction, view: View) -> str:
    first = next(iter(view.runs))
    pictures = [(entry.crops[first], "what the network sees")]
    if view.explained:
        pictures.append((_heat(entry, view), "what it rests on"))
    shown = "".join(
        f'<figure style="margin:0"><img src="{png_address(picture)}" alt="{alt}" '
        'style="width:104px;aspect-ratio:1;image-rendering:pixelated;border-radius:.4rem;'
        f'display:block"><figcaption style="font-size:.72rem;opacity:.65">{alt}</figcaption>'
        "</figure>"
        for picture, alt in pictures
    )
    labels = cached.labels(list(view.runs.values()))
    said = "".join(
        asking.bars(
            labels[run_id],
            entry.class_names[run_id],
            entry.probabilities[run_id],
            entry.label(run_id, view.least),
        )
        for run_id in view.runs
    )
    disagree = "" if entry.agree else asking.chip("networks disagree")
    return (
        '<section class="face" style="border:1px solid color-mix(in srgb,currentColor 18%,'
        'transparent);border-radius:.5rem;padding:.7rem .8rem;margin-bottom:.7rem">'
        '<div style="display:flex;gap:.8rem;flex-wrap:wrap;align-items:flex-start">'
        f'<div style="display:flex;gap:.4rem">{shown}</div>'
        '<div style="flex:1;min-width:230px">'
        f'<div style="font-weight:600;margin-bottom:.2rem">Face {number} {disagree}</div>{said}'
        "</div></div></section>"
    )


def _heat(entry: Prediction, view: View) -> NDArray[np.uint8]:
    import cv2

    run_id = view.explained or ""
    crop = entry.crops[run_id]
    rests = _rests_on(view, crop, int(entry.probabilities[run_id].argmax()))
    size = (208, 208)
    grey = cv2.resize(crop, size, interpolation=cv2.INTER_NEAREST).astype(np.float32)[..., None]
    strength = cv2.resize(rests / max(float(np.abs(rests).max()), 1e-6), size)[..., None]
    tint = np.where(strength > 0, _FOR, _AGAINST)
    weight = 0.65 * np.abs(strength)
    return np.asarray(grey * (1 - weight) + tint * weight, np.uint8)


def _can_be_weighed(run: Run) -> bool:
    try:
        cached.grad_cam(run)
    except UserError as error:
        st.warning(formats.markdown(str(error)), icon=":material/blur_off:")
        return False
    return True


def _rests_on(view: View, crop: NDArray[np.uint8], class_index: int) -> NDArray[np.float32]:
    kept: dict[tuple[Any, ...], NDArray[np.float32]] = st.session_state.setdefault(_MAPS, {})
    run = view.runs[view.explained or ""]
    pixels = hashlib.sha256(crop.tobytes()).digest()
    key = (cached.network_stamp(run), view.how, class_index, pixels)
    if key not in kept:
        if view.how == "grad-cam":
            kept[key] = cached.grad_cam(run)(crop, class_index)
        else:
            kept[key] = occlusion(cached.network(run), crop, class_index)
        while len(kept) > _MOST_KEPT:
            del kept[next(iter(kept))]
    return kept[key]
