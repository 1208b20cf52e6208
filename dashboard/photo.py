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

from dashboard import cached, columns, exports, facts, formats, linked, pieces, theme
from dashboard.gallery import png_address
from fercore import faces
from fercore.errors import UserError
from fercore.photos import SUFFIXES, decode_photo, photos_in_zip
from fercore.predict import Prediction, Predictor
from fercore.roots import data_root
from fercore.runs import Run

MAX_NETWORKS = 4
_FACES_A_PAGE = 12
_KEPT, _MOST_KEPT = "photo:kept", 600
_SHOWN_SIDE = 1100
# Blue, green, red: what speaks for the class, and against it.
_FOR, _AGAINST = np.array([30.0, 90.0, 240.0]), np.array([220.0, 120.0, 20.0])
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
    """

    runs: dict[str, Run]
    finder: faces.Kind
    whole: bool
    least: float
    explained: str | None


def networks(runs: Sequence[Run]) -> dict[str, Run]:
    """The runs that can be asked, by id: finished, with a network, the best first."""
    found = [run for run in runs if run.results and run.onnx_path and run.config]
    real = [run for run in found if not facts.is_synthetic(run)]
    best = facts.best(real)
    first = [best[0]] if best else []
    return {run.id: run for run in (*first, *(run for run in found if run not in first))}


def controls(runs: Mapping[str, Run]) -> View:
    """Let the reader choose networks, the finder, and when a network is unsure."""
    labels = facts.labels(list(runs.values()))
    picked = linked.picks(
        "Networks",
        labels,
        key="networks",
        limit=MAX_NETWORKS,
        default=list(runs)[:1],
        placeholder=f"Choose up to {MAX_NETWORKS} networks",
    )
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        kinds: dict[str, str] = {kind: faces.TITLES[kind] for kind in cached.finder_kinds()}
        kind = linked.choice("Faces are found by", kinds, key="finder")
        least = linked.number(
            "Unsure below", "least", 0.0, 1.0, 0.05, 0.5, format="percent", width=220
        )
        whole = linked.toggle(
            "Each photo is one face", key="whole", help="For images that are cut already."
        )
        explain = linked.toggle(
            "What it looked at",
            key="heat",
            help="Where the probability of the class falls when the image is blurred there.",
        )
        explained = None
        if explain and len(picked) > 1:
            options = {run_id: labels[run_id] for run_id in picked}
            explained = linked.pick("Of", options, key="of", implied=True, width=260)
        elif explain and picked:
            explained = picked[0]
    if "yunet" not in kinds:
        st.caption(
            f"YuNet finds turned faces too: put `{faces.YUNET_NAME}` of OpenCV's model zoo into "
            f"`{data_root()}`, or name it in `FERCORE_YUNET`."
        )
    return View(
        {run_id: runs[run_id] for run_id in picked},
        kind,  # type: ignore[arg-type]
        whole,
        least,
        explained,
    )


def photos() -> list[Given]:
    """What the reader has handed in; files that cannot be read are said so."""
    suffixes = [suffix.removeprefix(".") for suffix in (*SUFFIXES, ".zip")]
    files = st.file_uploader(
        "Photos, or a ZIP of them",
        type=suffixes,
        accept_multiple_files=True,
        key="photos",
        help="They stay in this machine's memory: nothing is stored, nothing is sent on.",
    )
    given: list[Given] = []
    for file in files or []:
        content = file.getvalue()
        if not file.name.lower().endswith(".zip"):
            given.append(_given(file.name, content))
            continue
        try:
            given += [_given(name, data) for name, data in photos_in_zip(content, file.name)]
        except UserError as error:
            st.error(formats.markdown(str(error)), icon=":material/folder_zip:")
    given += [_given(name, content) for name, content in st.session_state.get(SHOTS, [])]
    if linked.toggle("Take one with the camera", key="camera"):
        taken = st.camera_input("Camera", label_visibility="collapsed")
        if taken:
            given.append(_given("camera.jpg", taken.getvalue()))
    return given


def judge(given: Sequence[Given], view: View) -> dict[str, list[Prediction]]:
    """What the networks say of every photo, by digest; those that cannot be read are said so."""
    kept: dict[tuple[Any, ...], list[Prediction]] = st.session_state.setdefault(_KEPT, {})
    setting = (tuple(view.runs), view.finder, view.whole)
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
                bar.progress((number + 1) / len(missing), photo.name)
        if bar:
            bar.empty()
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
        place = linked.page(pages, "faces") if pages > 1 else 1
        start = (place - 1) * _FACES_A_PAGE
        shown = list(enumerate(said, start=1))[start : start + _FACES_A_PAGE]
        st.html("".join(_card(number, entry, view) for number, entry in shown))


def table(
    given: Sequence[Given], said: Mapping[str, Sequence[Prediction]], view: View
) -> pd.DataFrame:
    """One row a face and network, shares in percent."""
    labels = facts.labels(list(view.runs.values()))
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


def bars(label: str, names: Sequence[str], shares: NDArray[np.float32], said: str | None) -> str:
    """What a network says of a face, as HTML: its name, its answer, the four likeliest classes."""
    colors = theme.class_colors(list(names), pieces.mode())
    order = np.argsort(-shares, kind="stable")[:4]
    rows = "".join(
        '<div style="display:grid;grid-template-columns:5.2em 1fr 3.2em;gap:.4em;'
        'align-items:center;font-size:.8rem;line-height:1.45">'
        f"<span>{html.escape(names[place])}</span>"
        '<span style="height:.55em;border-radius:.3em;background:color-mix(in srgb,currentColor '
        '10%,transparent)"><span style="display:block;height:100%;border-radius:.3em;'
        f'width:{100 * shares[place]:.1f}%;background:{colors[names[place]]}"></span></span>'
        f'<span style="text-align:right">{formats.percent(float(shares[place]), 0)}</span></div>'
        for place in order
    )
    verdict = html.escape(said) if said else _chip("unsure")
    return (
        '<div style="margin-bottom:.35rem"><div style="font-size:.8rem;opacity:.75">'
        f'{html.escape(label)}: <b style="opacity:1">{verdict}</b></div>{rows}</div>'
    )


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
    boxes = "".join(
        f'<div style="position:absolute;left:{100 * entry.face.left / width:.2f}%;'
        f"top:{100 * entry.face.top / height:.2f}%;width:{100 * entry.face.side / width:.2f}%;"
        f"aspect-ratio:1;transform:rotate({entry.face.angle:.3f}rad);"
        "border:2px solid #0b84b0;border-radius:3px;"
        'box-shadow:0 0 0 1px rgba(255,255,255,.6)">'
        '<span style="position:absolute;left:-2px;top:-1.45em;background:#0b84b0;color:#fff;'
        f'font-size:.75rem;line-height:1.4;padding:0 .4em;border-radius:3px">{number}</span></div>'
        for number, entry in enumerate(said, start=1)
    )
    alt = html.escape(f"{name} with {len(said)} faces boxed")
    address = jpeg_address(np.asarray(reduced))
    picture = f'<img src="{address}" alt="{alt}" style="width:100%;display:block">'
    return (
        '<div class="photo" style="position:relative;overflow:hidden;border-radius:.5rem">'
        f"{picture}{boxes}</div>"
    )


def _card(number: int, entry: Prediction, view: View) -> str:
    first = next(iter(view.runs))
    pictures = [(entry.crops[first], "what the network sees")]
    if view.explained:
        pictures.append((_heat(entry, view.explained), "what it rests on"))
    shown = "".join(
        f'<figure style="margin:0"><img src="{png_address(picture)}" alt="{alt}" '
        'style="width:104px;aspect-ratio:1;image-rendering:pixelated;border-radius:.4rem;'
        f'display:block"><figcaption style="font-size:.72rem;opacity:.65">{alt}</figcaption>'
        "</figure>"
        for picture, alt in pictures
    )
    labels = facts.labels(list(view.runs.values()))
    said = "".join(
        bars(
            labels[run_id],
            entry.class_names[run_id],
            entry.probabilities[run_id],
            entry.label(run_id, view.least),
        )
        for run_id in view.runs
    )
    disagree = "" if entry.agree else _chip("networks disagree")
    return (
        '<section class="face" style="border:1px solid color-mix(in srgb,currentColor 18%,'
        'transparent);border-radius:.5rem;padding:.7rem .8rem;margin-bottom:.7rem">'
        '<div style="display:flex;gap:.8rem;flex-wrap:wrap;align-items:flex-start">'
        f'<div style="display:flex;gap:.4rem">{shown}</div>'
        '<div style="flex:1;min-width:230px">'
        f'<div style="font-weight:600;margin-bottom:.2rem">Face {number} {disagree}</div>{said}'
        "</div></div></section>"
    )


def _chip(text: str) -> str:
    return (
        '<span style="font-size:.72rem;font-weight:500;border:1px solid currentColor;opacity:.75;'
        f'border-radius:.8em;padding:0 .5em">{text}</span>'
    )


def _heat(entry: Prediction, run_id: str) -> NDArray[np.uint8]:
    import cv2

    from fercore.explain import occlusion

    network = cached.network(cached.find_run(run_id))  # type: ignore[arg-type]
    crop = entry.crops[run_id]
    rests = occlusion(network, crop, int(entry.probabilities[run_id].argmax()))
    size = (208, 208)
    grey = cv2.resize(crop, size, interpolation=cv2.INTER_NEAREST).astype(np.float32)[..., None]
    strength = cv2.resize(rests / max(float(np.abs(rests).max()), 1e-6), size)[..., None]
    tint = np.where(strength > 0, _FOR, _AGAINST)
    weight = 0.65 * np.abs(strength)
    return np.asarray(grey * (1 - weight) + tint * weight, np.uint8)


def jpeg_address(image: NDArray[np.uint8]) -> str:
    """An image as an address that carries it."""
    import base64

    import cv2

    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()
