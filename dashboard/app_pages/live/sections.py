"""The sections of the Webcam page: controls, predictions, statistics, history, downloads."""

import html
import time
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.app_pages.live.timeline import timeline
from dashboard.app_pages.live.video_section import Video
from dashboard.app_pages.live.view import View
from dashboard.app_pages.live.webrtc_frame_processor import (
    MAX_RECORDS,
    STALLED,
    FrameProcessor,
    FrameRecord,
    StreamStats,
)
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
from fercore.inference.video_pipeline import LiveSettings
from fercore.runs.reader import Run

MAX_NETWORKS = 2
_REFRESH_SECONDS = 0.5
_MAX_FACES = 6  # with probability bars
_STATISTICS_HELP = (
    "Frames: processed frames. FPS: processed frames per second. Latency: time to detect, crop, "
    "classify and draw; median (p50) and 95th percentile (p95) of the last 300 frames. Delay: how "
    "much later frames arrive than the fastest one."
)


def controls(runs: Mapping[str, Run]) -> View:
    """Draw the widgets for networks, detector, smoothing and confidence threshold."""
    selected_ids = model_picker.pick_networks(
        runs, MAX_NETWORKS, "Select one model, or two on the same frames"
    )
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        detector = model_picker.pick_detector(without=("mtcnn",))
        smoothing = url_widgets.slider(
            "Temporal smoothing",
            "calm",
            0.0,
            2.0,
            0.1,
            0.4,
            format="%.1f s",
            width=200,
            help="Time constant of the exponential average over the probabilities; 0 for none.",
        )
        min_confidence = url_widgets.slider(
            "Confidence threshold",
            "least",
            0.0,
            1.0,
            0.05,
            0.4,
            format="percent",
            width=200,
            help="Predictions with a lower probability are marked as low confidence.",
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


def current_predictions(view: View, video: Video) -> None:
    """Draw the stream's state, its statistics and the current predictions; refresh regularly."""

    @st.fragment(run_every=_REFRESH_SECONDS if video.is_playing else None)
    def panel() -> None:
        video.keep_alive()
        stats = video.stream.stats()
        _stream_state(stats, video)
        _statistics(stats)
        if video.is_playing and stats.frames:
            _face_cards(view, video.stream)

    panel()


def history(view: View, video: Video) -> None:
    """Draw the probabilities of one face over the last minute; refresh every second."""

    @st.fragment(run_every=1.0 if video.is_playing else None)
    def panel() -> None:
        records = video.stream.records(60.0)
        if not records:
            return
        st.subheader("Last 60 s", anchor=False)
        # The most recent face first. It is followed until the visitor selects one: a number that is
        # the first option now may be that of a face that was lost.
        numbers = list(dict.fromkeys(record.face for record in reversed(records)))
        face = numbers[0]
        if len(numbers) > 1:
            options = {"": "Most recent"} | {str(number): f"Face {number}" for number in numbers}
            selected = url_widgets.selectbox("Face", options, key="face", implied=True, width=160)
            face = int(selected) if selected else face
        with st.grid(max(1, len(view.runs)), min_column_width=340, gap="medium"):
            for run_id, label in run_cache.labels(list(view.runs.values())).items():
                shown = [r for r in records if r.run == run_id and r.face == face]
                if shown:
                    colors = theme.class_colors(shown[0].class_names, plot.theme_mode())
                    st.html(timeline(shown, label, colors) + formats.legend(colors))

    panel()


def downloads(view: View, video: Video) -> None:
    """Draw the buttons for snapshots and the session's table, and the snapshots."""
    stream = video.stream
    is_empty = not video.is_playing and not stream.stats().frames
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button(
            "Snapshot",
            icon=":material/photo_camera:",
            on_click=_take_snapshot,
            args=(stream,),
            disabled=is_empty,
            help="Save the current frame without boxes. It can be opened on the Photo page.",
        )
        st.download_button(
            "Export session (CSV)",
            lambda: as_csv(stream.records()),
            "session.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            disabled=is_empty,
            help=f"One row per face, model and frame: the last {MAX_RECORDS:,} rows.",
        )
        if photo_store.snapshots():
            st.page_link(
                page_links.PHOTO_PAGE,
                label="Snapshots on the Photo page",
                icon=":material/add_a_photo:",
                query_params={"networks": list(view.runs)},
            )
    for number, (name, content) in enumerate(photo_store.snapshots(), start=1):
        st.image(
            content, caption=f"{number}. {name}", width=220, alt=f"Snapshot {number}, without boxes"
        )


def as_csv(records: Sequence[FrameRecord]) -> str:
    """Return a CSV table with one row per face, network and frame; numbers have four digits."""
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


def _take_snapshot(stream: FrameProcessor) -> None:
    import cv2

    image = stream.last_image()
    if image is None:
        return
    content = cv2.imencode(".png", image)[1].tobytes()
    photo_store.add_snapshot(time.strftime("snapshot %H:%M:%S"), content)


def _stream_state(stats: StreamStats, video: Video) -> None:
    """Draw whether the camera is off, an error, or that no frames arrive."""
    idle, source = stats.seconds_since_frame, video.source
    if not video.is_playing:
        text = "Camera off." if source == "camera" else "The demonstration is being started."
        st.caption(text)
    elif stats.error:
        st.error(
            f"The last frame could not be processed: {formats.markdown(stats.error)}",
            icon=":material/error:",
        )
    elif idle is None:
        st.info(f"Waiting for the first frame of the {source}.", icon=":material/hourglass_empty:")
    elif idle > STALLED and source == "camera":
        st.warning(
            f"No frame for {idle:.0f} s: the camera or the connection was lost. Press STOP, then "
            "START.",
            icon=":material/videocam_off:",
        )
    elif idle > STALLED:
        st.warning(
            f"No frame for {idle:.0f} s: the connection was lost. Stop the demonstration, and play "
            "it again.",
            icon=":material/videocam_off:",
        )


def _statistics(stats: StreamStats) -> None:
    """Draw the statistics of the stream, each on one line."""

    def shown(text: str) -> str:
        return text if stats.frames else formats.DASH

    rows = {
        "Frames": f"{stats.frames:,}",
        "FPS": shown(f"{stats.fps:.1f}"),
        "Latency p50": shown(f"{stats.p50:.1f}{formats.THIN}ms"),
        "p95": shown(f"{stats.p95:.1f}{formats.THIN}ms"),
        "Delay": shown(f"{stats.lag_ms:.0f}{formats.THIN}ms"),
    }
    cells = "".join(
        f'<div data-name="{name}" style="white-space:nowrap">'
        f'<dt style="font-size:.8rem;font-weight:400;opacity:.75;margin:0">{name}</dt>'
        f'<dd style="font-size:1.15rem;font-weight:600;margin:0">{value}</dd></div>'
        for name, value in rows.items()
    )
    st.html(
        '<dl class="stream-statistics" aria-label="Statistics of the video" style="margin:0;'
        "padding:0;display:grid;gap:.4rem .8rem;"
        'grid-template-columns:repeat(auto-fit,minmax(62px,1fr))">'
        f"{cells}</dl>"
    )
    st.caption(
        f"{stats.skipped:,} frames dropped. Latency: detect, crop, classify and draw.",
        help=_STATISTICS_HELP,
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
            f'<section class="live-face" style="min-width:0"><div style="font-weight:600">'
            f"{html.escape(f'Face {face.number}')}</div>{bars}</section>"
        )
    st.html(
        '<div style="display:grid;gap:.6rem 1.2rem;'
        f'grid-template-columns:repeat(auto-fill,minmax(min(100%,210px),1fr))">{"".join(cards)}'
        "</div>"
    )
