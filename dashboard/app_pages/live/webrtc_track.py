"""`LatestFrameTrack`: receive a camera's frames by WebRTC, process the latest, send it back.

streamlit-webrtc's own asynchronous processing returns a frame when the next one arrives, which
delays the video by one frame. Here the latest frame is processed at once, in a separate thread, and
sent when it is done. Frames that arrive meanwhile are dropped, except the latest. A slow network
lowers the frame rate and does not increase the delay.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError


class LatestFrameTrack(MediaStreamTrack):
    """The sink of a camera's frames, and the track that is sent back, for streamlit-webrtc.

    Args:
        transform: function that processes a frame, called in another thread. It must not raise.
    """

    kind = "video"

    def __init__(self, transform: Callable[[av.VideoFrame], av.VideoFrame]) -> None:
        super().__init__()
        self.transform = transform
        self._worker = ThreadPoolExecutor(1, "live-frames")
        self._camera: MediaStreamTrack | None = None
        self._read_task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._latest: av.VideoFrame | None = None
        self._arrived = asyncio.Event()

    def addTrack(self, track: MediaStreamTrack) -> None:  # streamlit-webrtc's name
        """Set the track to receive frames from."""
        self._camera = track

    def hasTrack(self) -> bool:  # streamlit-webrtc's name
        """Return whether there is a camera."""
        return self._camera is not None

    def start(self) -> None:
        """Start to receive frames; called on the event loop of the connection."""
        if self._read_task is not None:
            self._read_task.cancel()
        self._loop = asyncio.get_running_loop()
        self._read_task = self._loop.create_task(self._read())

    def stop(self) -> None:
        """Stop the track, from any thread; a waiting `recv` raises `MediaStreamError`."""
        super().stop()
        self._worker.shutdown(wait=False, cancel_futures=True)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    async def recv(self) -> av.VideoFrame:
        """Return the latest frame, processed, with its original timestamp.

        Raises:
            MediaStreamError: if the camera or the track has stopped.
        """
        if self.readyState == "live":
            await self._arrived.wait()
        frame, self._latest = self._latest, None
        self._arrived.clear()
        if frame is None or self.readyState != "live":
            raise MediaStreamError
        try:
            transformed = await asyncio.get_running_loop().run_in_executor(
                self._worker, self.transform, frame
            )
        except RuntimeError:  # the worker was shut down
            raise MediaStreamError from None
        transformed.pts, transformed.time_base = frame.pts, frame.time_base
        return transformed

    async def _read(self) -> None:
        """Receive frames and keep the latest, until the camera or the track stops."""
        camera = self._camera
        while camera is not None and self.readyState == "live":
            try:
                frame = await camera.recv()
            except MediaStreamError:
                self.stop()
                return
            if isinstance(frame, av.VideoFrame):
                self._latest = frame
                self._arrived.set()

    def _wake(self) -> None:
        if self._read_task is not None:
            self._read_task.cancel()
        self._latest = None
        self._arrived.set()
