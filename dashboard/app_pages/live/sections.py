"""The pieces of the Live page: the video, what is said of each face, over time, as a file."""

import base64
import html
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import av
import numpy as np
import pandas as pd
import streamlit as st
from streamlit_webrtc import WebRtcMode, webrtc_streamer

from dashboard import formats
from dashboard.app_pages.live.frame_processor import (
    MOST_SEEN,
    STALLED,
    FrameProcessor,
    FrameRecord,
    StreamStats,
)
from dashboard.app_pages.live.webrtc_track import LatestFrameTrack
from dashboard.app_pages.photo.sections import SHOTS
from dashboard.charts import theme
from dashboard.components import model_picker, page_links, plot, probability_bars, url_widgets
from dashboard.state import network_cache, run_cache
from fercore.errors import UserError
from fercore.faces import detection
from fercore.inference.predictor import RunClassifier
from fercore.inference.video_pipeline import LiveSettings
from fercore.runs.reader import Run

MAX_NETWORKS = 2
_STREAM, _TRACK = "live:stream", "live:track"
_REFRESH_SECONDS = 0.5
_MOST_SHOTS = 6


@dataclass(frozen=True)
class View:
    """What the page is to show.

    Attributes:
        runs: whose networks are asked, by id, in order.
        networks: theirs, loaded.
        kind: of the finder.
        settings: of the pipeline.
    """

    runs: dict[str, Run]
    networks: list[RunClassifier]
    kind: detection.DetectorKind
    settings: LiveSettings


def controls(runs: Mapping[str, Run]) -> View:
    """Let the reader choose networks, the finder, and how calm the answer is."""
    picked = model_picker.pick_networks(
        runs, MAX_NETWORKS, "Choose one network, or two on the same frames"
    )
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        kind = model_picker.pick_detector(without=("mtcnn",))
        smoothing = url_widgets.slider(
            "Averaged over", "calm", 0.0, 2.0, 0.1, 0.4, format="%.1f s", width=200
        )
        least = url_widgets.slider(
            "Unsure below", "least", 0.0, 1.0, 0.05, 0.4, format="percent", width=200
        )
    networks, chosen = [], {}
    for run_id in picked:
        try:
            networks.append(network_cache.network(runs[run_id]))
        except UserError as error:
            st.error(formats.markdown(str(error)), icon=":material/error:")
        else:
            chosen[run_id] = runs[run_id]
    return View(chosen, networks, kind, LiveSettings(smoothing, least))


def video(view: View) -> tuple[FrameProcessor, bool]:
    """The camera's picture with boxes and labels; the stream, and whether it plays."""
    try:
        stream = _stream(view)
    except UserError as error:
        st.error(formats.markdown(str(error)), icon=":material/error:")
        st.stop()

    def change(frame: av.VideoFrame) -> av.VideoFrame:
        image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
        return av.VideoFrame.from_ndarray(stream.frame(image, frame.time), format="bgr24")

    track: LatestFrameTrack | None = st.session_state.get(_TRACK)
    if track is None or track.readyState != "live":
        track = st.session_state[_TRACK] = LatestFrameTrack(change)
        stream.restart()
    track.change = change
    context = webrtc_streamer(
        key="live:camera",
        mode=WebRtcMode.SENDRECV,
        # None unless the user names servers: nobody outside is asked.
        rtc_configuration={"iceServers": ice_servers()},
        media_stream_constraints={
            "video": {"width": {"ideal": 640}, "height": {"ideal": 480}},
            "audio": False,
        },
        sink_video_track=track,
        source_video_track=track,
        sendback_audio=False,
        video_html_attrs={
            "autoPlay": True,
            "controls": False,
            "muted": True,
            "style": {"width": "100%", "borderRadius": "8px"},
        },
    )
    return stream, bool(context.state.playing)


def watch(view: View, stream: FrameProcessor, playing: bool) -> None:
    """What is said, refreshed while frames come."""

    @st.fragment(run_every=_REFRESH_SECONDS if playing else None)
    def panel() -> None:
        health = stream.health()
        _say_how(health, playing)
        _numbers(health)
        _now(view, stream)

    panel()


def history(view: View, stream: FrameProcessor, playing: bool) -> None:
    """What was said over the last minute, and the whole session as a file."""

    @st.fragment(run_every=1.0 if playing else None)
    def panel() -> None:
        moments = stream.moments(60.0)
        if not moments:
            return
        st.subheader("The last minute", anchor=False)
        # Whoever was seen last comes first.
        people = list(dict.fromkeys(moment.face for moment in reversed(moments)))
        face = people[0]
        if len(people) > 1:
            options = {str(number): f"Face {number}" for number in people}
            face = int(
                url_widgets.selectbox("Face", options, key="face", implied=True, width=160) or face
            )
        with st.grid(max(1, len(view.runs)), min_column_width=340, gap="medium"):
            for run_id, label in run_cache.labels(list(view.runs.values())).items():
                own = [m for m in moments if m.run == run_id and m.face == face]
                if own:
                    colors = theme.class_colors(own[0].class_names, plot.theme_mode())
                    st.html(timeline(own, label, colors) + formats.legend(colors))

    panel()


def keep(view: View, stream: FrameProcessor) -> None:
    """Take a picture, and save what was said."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button(
            "Snapshot",
            icon=":material/photo_camera:",
            on_click=_shoot,
            args=(stream,),
            help="The picture without boxes; the Photo page judges it in full.",
        )
        st.download_button(
            "Session as CSV",
            lambda: as_csv(stream.moments()),
            "session.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            help=f"A row a face, network and frame: the last {MOST_SEEN:,}.",
        )
        if st.session_state.get(SHOTS):
            st.page_link(
                page_links.PHOTO_PAGE,
                label="Snapshots on the Photo page",
                icon=":material/add_a_photo:",
                query_params={"networks": list(view.runs)},
            )
    for number, (name, content) in enumerate(shots(), start=1):
        st.image(content, caption=f"{number}. {name}", width=220)


def shots() -> list[tuple[str, bytes]]:
    """The snapshots of this session, the newest first: name and PNG file."""
    found: list[tuple[str, bytes]] = st.session_state.get(SHOTS, [])
    return found


def timeline(moments: Sequence[FrameRecord], title: str, colors: Mapping[str, str]) -> str:
    """Each class's probability over time, for one face and network, as HTML.

    Drawn every second beside a video, so it is a plain picture: a chart would take the processor
    from the camera.
    """
    names, last = moments[0].class_names, moments[-1].seconds
    first = min(moments[0].seconds, last - 5.0)
    kept = moments[:: max(len(moments) // 240, 1)]
    across = [600 * (moment.seconds - first) / (last - first) for moment in kept]
    style = 'fill="none" vector-effect="non-scaling-stroke"'
    drawn = [
        f'<line x1="0" x2="600" y1="{y}" y2="{y}" stroke="#8794a1" stroke-opacity=".3" {style}/>'
        for y in (0, 25, 50, 75, 100)
    ]
    for place, name in enumerate(names):
        up = [100 - 100 * moment.probabilities[place] for moment in kept]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
        stroke = f'stroke="{colors[name]}" stroke-width="2"'
        drawn.append(f'<polyline points="{points}" {stroke} {style}/>')
    # As an image: what is drawn inline does not pass the page's filter.
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -3 600 106" '
        f'preserveAspectRatio="none">{"".join(drawn)}</svg>'
    )
    address = "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()
    alt = html.escape(f"Probabilities of {title} over {last - moments[0].seconds:.0f} seconds")
    return (
        f'<figure style="margin:0"><figcaption style="font-size:.85rem;margin-bottom:.3rem">'
        f"{html.escape(title)}</figcaption>"
        f'<img src="{address}" alt="{alt}" class="timeline" '
        'style="width:100%;height:170px;display:block">'
        '<div style="display:flex;justify-content:space-between;font-size:.75rem;opacity:.65">'
        f"<span>{max(first, 0):.0f} s</span><span>0 to 100%</span><span>{last:.0f} s</span>"
        "</div></figure>"
    )


def as_csv(moments: Sequence[FrameRecord]) -> str:
    """One row a face, network and frame."""
    rows = [
        {
            "seconds": round(moment.seconds, 3),
            "frame": moment.frame,
            "face": moment.face,
            "run": moment.run,
            "expression": moment.label or "unsure",
        }
        | dict(zip(("left", "top", "right", "bottom"), moment.box, strict=True))
        | {f"p_{n}": p for n, p in zip(moment.class_names, moment.probabilities, strict=True)}
        for moment in moments
    ]
    text: str = pd.DataFrame(rows).to_csv(index=False)
    return text


def _stream(view: View) -> FrameProcessor:
    kept: tuple[detection.DetectorKind, FrameProcessor] | None = st.session_state.get(_STREAM)
    if kept is None:
        stream = FrameProcessor(view.networks, _finder(view.kind), view.settings)
    else:
        stream = kept[1]
        changed = _finder(view.kind) if kept[0] != view.kind else None
        stream.configure(view.networks, view.settings, changed)
    st.session_state[_STREAM] = (view.kind, stream)
    return stream


def _finder(kind: detection.DetectorKind) -> detection.FaceDetector:
    # One for each stream: finders answer one thread at a time. Coarser steps than for photos.
    return detection.HaarDetector(scale=1.2) if kind == "haar" else detection.load_detector(kind)


def ice_servers() -> list[dict[str, str]]:
    """What `FERCORE_ICE_SERVERS` names: addresses, those of TURN with `|user|secret` behind."""
    named = os.environ.get("FERCORE_ICE_SERVERS", "").split(",")
    keys = ("urls", "username", "credential")
    return [dict(zip(keys, one.strip().split("|"), strict=False)) for one in named if one.strip()]


def _shoot(stream: FrameProcessor) -> None:
    import cv2

    picture = stream.picture()
    if picture is None:
        return
    content = cv2.imencode(".png", picture)[1].tobytes()
    name = time.strftime("snapshot %H:%M:%S")
    st.session_state[SHOTS] = [(name, content), *shots()][:_MOST_SHOTS]


def _say_how(health: StreamStats, playing: bool) -> None:
    if health.error:
        st.error(
            f"The last frame could not be judged: {formats.markdown(health.error)}",
            icon=":material/error:",
        )
    elif playing and health.silent is None:
        st.info("Waiting for the camera's first picture.", icon=":material/hourglass_empty:")
    elif playing and health.silent is not None and health.silent > STALLED:
        st.warning(
            f"No picture for {health.silent:.0f} s: the camera is gone or the connection is. Press "
            "STOP, then START.",
            icon=":material/videocam_off:",
        )


def _numbers(health: StreamStats) -> None:
    with st.grid(5, min_column_width=110, gap="small"):
        for label, value in (
            ("Frames", f"{health.frames:,}"),
            ("A second", f"{health.fps:.1f}" if health.frames else formats.DASH),
            ("Median ms", f"{health.p50:.1f}" if health.frames else formats.DASH),
            ("95th ms", f"{health.p95:.1f}" if health.frames else formats.DASH),
            ("Behind ms", f"{health.behind:.0f}" if health.frames else formats.DASH),
        ):
            st.metric(label, value)
    if health.frames:
        st.caption(
            f"{health.skipped:,} frames gave way to newer ones. Median and 95th percentile: "
            "find, cut, ask, draw, over the last 300 frames."
        )


def _now(view: View, stream: FrameProcessor) -> None:
    seen = stream.faces()
    if not seen:
        st.caption("No face in the picture.")
        return
    labels = run_cache.labels(list(view.runs.values()))
    names = {network.id: network.class_names for network in stream.networks()}
    cards = []
    for face in seen[:6]:
        said = "".join(
            probability_bars.bars(
                f"{'AB'[place] + ' ' if len(names) > 1 else ''}{labels.get(run_id, run_id)}",
                names[run_id],
                shares,
                face.labels[run_id],
            )
            for place, (run_id, shares) in enumerate(face.probabilities.items())
            if run_id in names
        )
        cards.append(
            f'<section class="live-face" style="margin-bottom:.6rem"><div style="font-weight:600">'
            f"{html.escape(f'Face {face.number}')}</div>{said}</section>"
        )
    st.html("".join(cards))
