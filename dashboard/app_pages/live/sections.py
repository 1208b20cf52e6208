"""The sections of the Live page: controls, video, predictions, statistics, history, downloads."""

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
from dashboard.app_pages.live.webrtc_frame_processor import (
    MAX_RECORDS,
    STALLED,
    FrameProcessor,
    FrameRecord,
    StreamStats,
)
from dashboard.app_pages.live.webrtc_track import LatestFrameTrack
from dashboard.charts import theme
from dashboard.components import (
    model_picker,
    page_links,
    photo_store,
    plot,
    probability_bars,
    url_widgets,
)
from dashboard.state import network_cache, run_cache
from fercore.errors import UserError
from fercore.faces import detection
from fercore.inference.predictor import RunClassifier
from fercore.inference.video_pipeline import LiveSettings
from fercore.runs.reader import Run

MAX_NETWORKS = 2
_STREAM, _TRACK = "live:stream", "live:track"
_REFRESH_SECONDS = 0.5
# Maximum number of faces with probability bars, and of points in a timeline.
_MAX_FACES, _MAX_POINTS = 6, 240


@dataclass(frozen=True)
class View:
    """The visitor's selection.

    Attributes:
        runs: selected runs by id, in order.
        networks: of these runs, loaded.
        detector: kind of the face detector.
        settings: of the pipeline.
    """

    runs: dict[str, Run]
    networks: list[RunClassifier]
    detector: detection.DetectorKind
    settings: LiveSettings


def controls(runs: Mapping[str, Run]) -> View:
    """Draw the widgets for networks, detector, smoothing and minimum confidence."""
    selected_ids = model_picker.pick_networks(
        runs, MAX_NETWORKS, "Choose one network, or two on the same frames"
    )
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        detector = model_picker.pick_detector(without=("mtcnn",))
        smoothing = url_widgets.slider(
            "Smoothing", "calm", 0.0, 2.0, 0.1, 0.4, format="%.1f s", width=200
        )
        min_confidence = url_widgets.slider(
            "Minimum confidence", "least", 0.0, 1.0, 0.05, 0.4, format="percent", width=200
        )
    networks, selected = [], {}
    for run_id in selected_ids:
        try:
            networks.append(network_cache.network(runs[run_id]))
        except UserError as error:
            st.error(formats.markdown(str(error)), icon=":material/error:")
        else:
            selected[run_id] = runs[run_id]
    return View(selected, networks, detector, LiveSettings(smoothing, min_confidence))


def video(view: View) -> tuple[FrameProcessor, bool]:
    """Draw the camera's video with boxes and labels.

    Returns:
        The stream, and whether it is playing.
    """
    try:
        stream = _get_stream(view)
    except UserError as error:
        st.error(formats.markdown(str(error)), icon=":material/error:")
        st.stop()

    def transform(frame: av.VideoFrame) -> av.VideoFrame:
        image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
        return av.VideoFrame.from_ndarray(stream.process_frame(image, frame.time), format="bgr24")

    track: LatestFrameTrack | None = st.session_state.get(_TRACK)
    if track is None or track.readyState != "live":
        track = st.session_state[_TRACK] = LatestFrameTrack(transform)
        stream.restart()
    track.transform = transform
    context = webrtc_streamer(
        key="live:camera",
        mode=WebRtcMode.SENDRECV,
        # No STUN or TURN server by default: no request leaves the local network.
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


def current_predictions(view: View, stream: FrameProcessor, is_playing: bool) -> None:
    """Draw the stream's state, its statistics and the current predictions; refresh regularly."""

    @st.fragment(run_every=_REFRESH_SECONDS if is_playing else None)
    def panel() -> None:
        stats = stream.stats()
        _stream_state(stats, is_playing)
        _statistics(stats)
        _face_cards(view, stream)

    panel()


def history(view: View, stream: FrameProcessor, is_playing: bool) -> None:
    """Draw the probabilities of one face over the last minute; refresh every second."""

    @st.fragment(run_every=1.0 if is_playing else None)
    def panel() -> None:
        records = stream.records(60.0)
        if not records:
            return
        st.subheader("The last minute", anchor=False)
        # The most recent face first.
        numbers = list(dict.fromkeys(record.face for record in reversed(records)))
        face = numbers[0]
        if len(numbers) > 1:
            options = {str(number): f"Face {number}" for number in numbers}
            face = int(
                url_widgets.selectbox("Face", options, key="face", implied=True, width=160) or face
            )
        with st.grid(max(1, len(view.runs)), min_column_width=340, gap="medium"):
            for run_id, label in run_cache.labels(list(view.runs.values())).items():
                shown = [r for r in records if r.run == run_id and r.face == face]
                if shown:
                    colors = theme.class_colors(shown[0].class_names, plot.theme_mode())
                    st.html(timeline(shown, label, colors) + formats.legend(colors))

    panel()


def downloads(view: View, stream: FrameProcessor) -> None:
    """Draw the buttons for snapshots and the session's table, and the snapshots."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button(
            "Snapshot",
            icon=":material/photo_camera:",
            on_click=_take_snapshot,
            args=(stream,),
            help="Save the current frame without boxes. It can be opened on the Photo page.",
        )
        st.download_button(
            "Session as CSV",
            lambda: as_csv(stream.records()),
            "session.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            help=f"One row per face, network and frame: the last {MAX_RECORDS:,} rows.",
        )
        if photo_store.snapshots():
            st.page_link(
                page_links.PHOTO_PAGE,
                label="Snapshots on the Photo page",
                icon=":material/add_a_photo:",
                query_params={"networks": list(view.runs)},
            )
    for number, (name, content) in enumerate(photo_store.snapshots(), start=1):
        st.image(content, caption=f"{number}. {name}", width=220)


def timeline(records: Sequence[FrameRecord], title: str, colors: Mapping[str, str]) -> str:
    """Return an HTML figure of each class's probability over time.

    It is redrawn every second beside a video. It is therefore an SVG image: an interactive chart
    would take processor time from the video pipeline.

    Args:
        records: of one face and one network, oldest first.
        title: of the figure.
        colors: by class name.
    """
    names, last = records[0].class_names, records[-1].seconds
    first = min(records[0].seconds, last - 5.0)
    points = records[:: max(len(records) // _MAX_POINTS, 1)]
    x_values = [600 * (record.seconds - first) / (last - first) for record in points]
    style = 'fill="none" vector-effect="non-scaling-stroke"'
    lines = [
        f'<line x1="0" x2="600" y1="{y}" y2="{y}" stroke="#8794a1" stroke-opacity=".3" {style}/>'
        for y in (0, 25, 50, 75, 100)
    ]
    for index, name in enumerate(names):
        y_values = [100 - 100 * record.probabilities[index] for record in points]
        polyline = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(x_values, y_values, strict=True))
        stroke = f'stroke="{colors[name]}" stroke-width="2"'
        lines.append(f'<polyline points="{polyline}" {stroke} {style}/>')
    # As an image, because Streamlit removes inline SVG from HTML.
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -3 600 106" '
        f'preserveAspectRatio="none">{"".join(lines)}</svg>'
    )
    address = "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()
    alt = html.escape(f"Probabilities of {title} over {last - records[0].seconds:.0f} seconds")
    return (
        f'<figure style="margin:0"><figcaption style="font-size:.85rem;margin-bottom:.3rem">'
        f"{html.escape(title)}</figcaption>"
        f'<img src="{address}" alt="{alt}" class="timeline" '
        'style="width:100%;height:170px;display:block">'
        '<div style="display:flex;justify-content:space-between;font-size:.75rem;opacity:.65">'
        f"<span>{max(first, 0):.0f} s</span><span>0 to 100%</span><span>{last:.0f} s</span>"
        "</div></figure>"
    )


def as_csv(records: Sequence[FrameRecord]) -> str:
    """Return a CSV table with one row per face, network and frame."""
    rows = [
        {
            "seconds": round(record.seconds, 3),
            "frame": record.frame,
            "face": record.face,
            "run": record.run,
            "expression": record.predicted,
            "low_confidence": not record.is_confident,
        }
        | dict(zip(("left", "top", "right", "bottom"), record.box, strict=True))
        | {f"p_{n}": p for n, p in zip(record.class_names, record.probabilities, strict=True)}
        for record in records
    ]
    text: str = pd.DataFrame(rows).to_csv(index=False)
    return text


def ice_servers() -> list[dict[str, str]]:
    """Return the ICE servers of `FERCORE_ICE_SERVERS`.

    The variable holds addresses separated by commas, with `|user|secret` after those of TURN
    servers.
    """
    entries = os.environ.get("FERCORE_ICE_SERVERS", "").split(",")
    keys = ("urls", "username", "credential")
    return [
        dict(zip(keys, entry.strip().split("|"), strict=False))
        for entry in entries
        if entry.strip()
    ]


def _get_stream(view: View) -> FrameProcessor:
    """Return this session's stream, configured as selected."""
    stored: tuple[detection.DetectorKind, FrameProcessor] | None = st.session_state.get(_STREAM)
    if stored is None:
        stream = FrameProcessor(view.networks, _load_detector(view.detector), view.settings)
    else:
        previous, stream = stored
        detector = _load_detector(view.detector) if previous != view.detector else None
        stream.configure(view.networks, view.settings, detector)
    st.session_state[_STREAM] = (view.detector, stream)
    return stream


def _load_detector(kind: detection.DetectorKind) -> detection.FaceDetector:
    # Not the cached detector of the Photo page: its calls run one after another, and streams would
    # wait for each other. The Haar cascade searches in coarser steps than for photos.
    return detection.HaarDetector(scale=1.2) if kind == "haar" else detection.load_detector(kind)


def _take_snapshot(stream: FrameProcessor) -> None:
    import cv2

    image = stream.last_image()
    if image is None:
        return
    content = cv2.imencode(".png", image)[1].tobytes()
    photo_store.add_snapshot(time.strftime("snapshot %H:%M:%S"), content)


def _stream_state(stats: StreamStats, is_playing: bool) -> None:
    """Draw a message if there is an error, or if no frames arrive."""
    idle = stats.seconds_since_frame
    if stats.error:
        st.error(
            f"The last frame could not be processed: {formats.markdown(stats.error)}",
            icon=":material/error:",
        )
    elif is_playing and idle is None:
        st.info("Waiting for the camera's first frame.", icon=":material/hourglass_empty:")
    elif is_playing and idle is not None and idle > STALLED:
        st.warning(
            f"No frame for {idle:.0f} s: the camera or the connection was lost. Press STOP, then "
            "START.",
            icon=":material/videocam_off:",
        )


def _statistics(stats: StreamStats) -> None:
    with st.grid(5, min_column_width=110, gap="small"):
        for label, value in (
            ("Frames", f"{stats.frames:,}"),
            ("Frames/s", f"{stats.fps:.1f}" if stats.frames else formats.DASH),
            ("Median (ms)", f"{stats.p50:.1f}" if stats.frames else formats.DASH),
            ("p95 (ms)", f"{stats.p95:.1f}" if stats.frames else formats.DASH),
            ("Latency (ms)", f"{stats.lag_ms:.0f}" if stats.frames else formats.DASH),
        ):
            st.metric(label, value)
    if stats.frames:
        st.caption(
            f"{stats.skipped:,} frames were skipped for later ones. Median and p95: time to "
            "detect, crop, classify and draw, over the last 300 frames. Latency: delay of a frame "
            "compared with the fastest one."
        )


def _face_cards(view: View, stream: FrameProcessor) -> None:
    """Draw the probability bars of each face in the last frame."""
    faces = stream.faces()
    if not faces:
        st.caption("No face detected.")
        return
    labels = run_cache.labels(list(view.runs.values()))
    names = {network.id: network.class_names for network in stream.networks()}
    cards = []
    for face in faces[:_MAX_FACES]:
        bars = "".join(
            probability_bars.bars(
                f"{'AB'[index] + ' ' if len(names) > 1 else ''}{labels.get(run_id, run_id)}",
                names[run_id],
                probabilities,
                face.classes[run_id],
                face.labels[run_id] is not None,
            )
            for index, (run_id, probabilities) in enumerate(face.probabilities.items())
            if run_id in names
        )
        cards.append(
            f'<section class="live-face" style="margin-bottom:.6rem"><div style="font-weight:600">'
            f"{html.escape(f'Face {face.number}')}</div>{bars}</section>"
        )
    st.html("".join(cards))
