"""The video of the Webcam page: the camera, or the demonstration clip."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np
import streamlit as st
from streamlit_webrtc import WebRtcMode, webrtc_streamer

from dashboard import formats
from dashboard.app_pages.live.demo_track import DemoTrack
from dashboard.app_pages.live.view import View
from dashboard.app_pages.live.webrtc_frame_processor import FrameProcessor
from dashboard.app_pages.live.webrtc_track import LatestFrameTrack
from dashboard.components import plot
from fercore.errors import UserError
from fercore.faces import detection

Source = Literal["camera", "demonstration"]
# Keys of the session state: whether the demonstration plays; tracks and streams by source.
_PLAYS_DEMO = "live:demo"
_TRACK, _STREAM = "live:track", "live:stream"
_PLAY, _STOP = "demo-play", "demo-stop"  # keys of the buttons
_FRAME = "video-frame"  # key of the video's container
# The component's strip has a margin, and round corners that the placeholder continues behind.
_JOIN = (
    f"<style>.st-key-{_FRAME}:has(.video-placeholder) iframe "
    "{margin-top: -16px; clip-path: inset(12px 0 0 0)}</style>"
)
# Height of the component's own grey strip, in pixels; the placeholder fills the rest of 4:3.
_STRIP = 98
_VIDEO_ATTRIBUTES = {
    "autoPlay": True,
    "controls": False,
    "muted": True,
    "style": {"width": "100%", "borderRadius": "8px"},
}


@dataclass(frozen=True)
class Video:
    """The video on the page.

    Attributes:
        stream: processes its frames.
        source: of the frames.
        is_playing: whether it is playing.
    """

    stream: FrameProcessor
    source: Source
    is_playing: bool

    def keep_alive(self) -> None:
        """Register that the page still shows the video; the demonstration stops without it."""
        track = st.session_state.get(f"{_TRACK}-{self.source}")
        if isinstance(track, DemoTrack):
            track.keep_alive()


def video(view: View) -> Video:
    """Draw the video of the camera or of the demonstration, with boxes and labels."""
    if _PLAY not in st.session_state and _STOP not in st.session_state:
        _play_demonstration(False)  # the visitor comes from another page
    source: Source = "demonstration" if st.session_state.get(_PLAYS_DEMO) else "camera"
    try:
        stream = _get_stream(view, source)
    except UserError as error:
        st.error(formats.markdown(str(error)), icon=":material/error:")
        st.stop()

    def transform(frame: av.VideoFrame) -> av.VideoFrame:
        image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
        return av.VideoFrame.from_ndarray(stream.process_frame(image, frame.time), format="bgr24")

    st.html(_JOIN)
    draw = _demonstration if source == "demonstration" else _camera
    is_playing = draw(stream, transform)
    st.caption(
        "A clip drawn by code, of a portrait (NASA, public domain) and a drawn face."
        if source == "demonstration"
        else "The video goes from the browser to this machine and nowhere else.",
        help="Browsers allow the camera on localhost or over HTTPS only.",
    )
    return Video(stream, source, is_playing)


def demonstration_button(video: Video) -> None:
    """Draw the button that plays or stops the demonstration, unless the camera is on."""
    if video.source == "demonstration":
        st.button(
            "Stop the demonstration",
            icon=":material/stop:",
            key=_STOP,
            on_click=_play_demonstration,
            args=(False,),
        )
    elif not video.is_playing:
        st.button(
            "Play the demonstration",
            icon=":material/play_arrow:",
            key=_PLAY,
            on_click=_play_demonstration,
            args=(True,),
            help="For machines without a camera: a clip drawn by code, processed like the frames "
            "of a camera.",
        )


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


def _camera(stream: FrameProcessor, transform: Callable[[av.VideoFrame], av.VideoFrame]) -> bool:
    """Draw the camera's video, and a placeholder while it is off; return whether it plays."""
    key = f"{_TRACK}-camera"
    track: LatestFrameTrack | None = st.session_state.get(key)
    if track is None or track.readyState != "live":
        track = st.session_state[key] = LatestFrameTrack(transform)
        stream.restart()
    track.transform = transform
    return _play(
        ("Camera off", "Press START and allow the camera."),
        key="live:camera",
        mode=WebRtcMode.SENDRECV,
        media_stream_constraints={
            "video": {"width": {"ideal": 640}, "height": {"ideal": 480}},
            "audio": False,
        },
        sink_video_track=track,
        source_video_track=track,
    )


def _demonstration(
    stream: FrameProcessor, transform: Callable[[av.VideoFrame], av.VideoFrame]
) -> bool:
    """Draw the demonstration clip, which starts at once; return whether it plays."""
    key = f"{_TRACK}-demonstration"
    track: DemoTrack | None = st.session_state.get(key)
    if track is None or track.readyState != "live":
        track = st.session_state[key] = DemoTrack(transform)
        stream.restart()
    track.transform = transform
    track.keep_alive()
    return _play(
        ("Demonstration", "Connecting."),
        key="live:demonstration",
        mode=WebRtcMode.RECVONLY,
        media_stream_constraints={"video": True, "audio": False},
        source_video_track=track,
        desired_playing_state=True,
    )


def _play(placeholder: tuple[str, str], **options: Any) -> bool:
    """Draw a video by WebRTC, and a placeholder while it does not play; return whether it plays.

    Args:
        placeholder: title and text.
        options: of `webrtc_streamer`.
    """
    with st.container(key=_FRAME, gap=None):
        slot = st.empty()
        context = webrtc_streamer(
            # No STUN or TURN server by default: no request leaves the local network.
            rtc_configuration={"iceServers": ice_servers()},
            sendback_audio=False,
            video_html_attrs=_VIDEO_ATTRIBUTES,
            **options,
        )
    is_playing = bool(context.state.playing)
    if not is_playing:
        slot.html(_placeholder(*placeholder))
    return is_playing


def _placeholder(title: str, text: str) -> str:
    """Return the upper part of a 4:3 area; the video component's grey strip is its lower part."""
    # The background of the component's own strip.
    surface = st.get_option(f"theme.{plot.theme_mode()}.secondaryBackgroundColor")
    return (
        '<div class="video-placeholder" style="container-type:inline-size">'
        f'<div style="height:calc(75cqw - {_STRIP}px);padding-bottom:8px;display:flex;'
        "flex-direction:column;"
        "align-items:center;justify-content:center;border-radius:8px 8px 0 0;text-align:center;"
        f'background:{surface}"><div style="font-size:1.35rem;font-weight:600">{title}</div>'
        f'<div style="opacity:.75">{text}</div></div></div>'
    )


def _play_demonstration(plays: bool) -> None:
    st.session_state[_PLAYS_DEMO] = plays
    track = st.session_state.pop(f"{_TRACK}-demonstration", None)
    if track is not None:
        track.stop()


def _get_stream(view: View, source: Source) -> FrameProcessor:
    """Return this session's stream of a source, configured as selected."""
    key = f"{_STREAM}-{source}"
    stored: tuple[detection.DetectorKind, FrameProcessor] | None = st.session_state.get(key)
    if stored is None:
        stream = FrameProcessor(view.networks, _load_detector(view.detector), view.settings)
    else:
        previous, stream = stored
        detector = _load_detector(view.detector) if previous != view.detector else None
        stream.configure(view.networks, view.settings, detector)
    st.session_state[key] = (view.detector, stream)
    return stream


def _load_detector(kind: detection.DetectorKind) -> detection.FaceDetector:
    # Not the cached detector of the Photo page: its calls run one after another, and streams would
    # wait for each other. The Haar cascade searches in coarser steps than for photos.
    return detection.HaarDetector(scale=1.2) if kind == "haar" else detection.load_detector(kind)
