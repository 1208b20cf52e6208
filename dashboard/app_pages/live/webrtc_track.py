"""The way of a camera's frames through this process: in from the browser, and back with boxes.

streamlit-webrtc's own asynchronous processing hands a frame out when the next one comes, so that
all that is seen is a frame older than it need be. Here the newest frame is worked on at once, in a
thread of its own, and sent when it is done; those that come meanwhile give way to the newest of
them. A network that takes long makes fewer pictures, not older ones.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError


class LatestFrameTrack(MediaStreamTrack):
    """Takes a camera's frames, as a sink of streamlit-webrtc, and is the track that goes back.

    Args:
        change: what is done with a frame, in another thread; it must not raise.
    """

    kind = "video"

    def __init__(self, change: Callable[[av.VideoFrame], av.VideoFrame]) -> None:
        super().__init__()
        self.change = change
        self._worker = ThreadPoolExecutor(1, "live-frames")
        self._camera: MediaStreamTrack | None = None
        self._reading: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._newest: av.VideoFrame | None = None
        self._came = asyncio.Event()

    def addTrack(self, track: MediaStreamTrack) -> None:  # streamlit-webrtc's name
        """Take frames from a track."""
        self._camera = track

    def hasTrack(self) -> bool:  # streamlit-webrtc's name
        """Whether there is a camera."""
        return self._camera is not None

    def start(self) -> None:
        """Begin to read; called on the event loop of the connection."""
        if self._reading is not None:
            self._reading.cancel()
        self._loop = asyncio.get_running_loop()
        self._reading = self._loop.create_task(self._read())

    def stop(self) -> None:
        """End it, from any thread; whoever waits for a frame is told so."""
        super().stop()
        self._worker.shutdown(wait=False, cancel_futures=True)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    async def recv(self) -> av.VideoFrame:
        """The newest frame, changed, with its own time.

        Raises:
            MediaStreamError: if the camera has ended.
        """
        if self.readyState == "live":
            await self._came.wait()
        frame, self._newest = self._newest, None
        self._came.clear()
        if frame is None or self.readyState != "live":
            raise MediaStreamError
        try:
            changed = await asyncio.get_running_loop().run_in_executor(
                self._worker, self.change, frame
            )
        except RuntimeError:  # the worker was shut down
            raise MediaStreamError from None
        changed.pts, changed.time_base = frame.pts, frame.time_base
        return changed

    async def _read(self) -> None:
        camera = self._camera
        while camera is not None and self.readyState == "live":
            try:
                frame = await camera.recv()
            except MediaStreamError:
                self.stop()
                return
            if isinstance(frame, av.VideoFrame):
                self._newest = frame
                self._came.set()

    def _wake(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self._newest = None
        self._came.set()
