"""`DemoTrack`: the demonstration clip as a video track, for machines without a camera."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from dashboard.analysis import demo_clip

_TIME_BASE = Fraction(1, 90_000)  # that of video in RTP
# Seconds without a sign of life from the page after which the track ends. A browser that leaves
# the page does not always close the connection.
MAX_SILENCE = 15.0


class DemoTrack(MediaStreamTrack):
    """Yield the frames of the clip at its frame rate, each processed like a frame of a camera.

    If processing is slower than the frame rate, frames are skipped, as a camera would drop them.

    Args:
        transform: function that processes a frame, called in another thread. It must not raise.
    """

    kind = "video"

    def __init__(self, transform: Callable[[av.VideoFrame], av.VideoFrame]) -> None:
        super().__init__()
        self.transform = transform
        self._worker = ThreadPoolExecutor(1, "demo-frames")
        self._began: float | None = None
        self._number = -1
        self._last_sign = time.monotonic()

    def keep_alive(self) -> None:
        """Register that the page still shows the track."""
        self._last_sign = time.monotonic()

    async def recv(self) -> av.VideoFrame:
        """Wait for the time of the next frame, and return the frame, processed.

        Raises:
            MediaStreamError: if the track has stopped, or the page no longer shows it.
        """
        now = time.monotonic()
        if now - self._last_sign > MAX_SILENCE:
            self.stop()
        if self.readyState != "live":
            raise MediaStreamError
        if self._began is None:
            self._began = now
        self._number = max(self._number + 1, int((now - self._began) * demo_clip.FRAME_RATE))
        seconds = self._number / demo_clip.FRAME_RATE
        await asyncio.sleep(max(0.0, self._began + seconds - now))
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._worker, self._make_frame, seconds
            )
        except RuntimeError:  # the worker was shut down
            raise MediaStreamError from None

    def stop(self) -> None:
        """Stop the track, from any thread."""
        super().stop()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _make_frame(self, seconds: float) -> av.VideoFrame:
        frame = av.VideoFrame.from_ndarray(demo_clip.draw_frame(seconds), format="bgr24")
        frame.pts, frame.time_base = round(seconds / _TIME_BASE), _TIME_BASE
        transformed = self.transform(frame)
        transformed.pts, transformed.time_base = frame.pts, frame.time_base
        return transformed
