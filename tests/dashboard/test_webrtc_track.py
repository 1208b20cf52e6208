"""The track sends the latest frame, and waiting calls end when it stops."""

import asyncio
import itertools
import threading
import time
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from dashboard.app_pages.live.webrtc_track import LatestFrameTrack


class Film(MediaStreamTrack):
    """A camera that sends frames 0 to n - 1 at a fixed interval in seconds, then stops."""

    kind = "video"

    def __init__(self, frames: int, interval: float):
        super().__init__()
        self.frames, self.interval, self.next = frames, interval, 0

    async def recv(self):
        await asyncio.sleep(self.interval)
        if self.next == self.frames:
            self.stop()
            raise MediaStreamError
        frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 90, np.uint8), format="bgr24")
        frame.pts, frame.time_base = self.next, Fraction(1, 25)
        self.next += 1
        return frame


def received(film, transform):
    """Return the numbers of the frames that are sent back until the track stops."""

    async def receive_all():
        track = LatestFrameTrack(transform)
        assert not track.hasTrack()
        track.addTrack(film)
        assert track.hasTrack()
        track.start()
        seen = []
        while True:
            try:
                seen.append((await asyncio.wait_for(track.recv(), 10)).pts)
            except MediaStreamError:
                assert track.readyState == "ended"
                return seen

    return asyncio.run(receive_all())


def blank(frame):
    return av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="bgr24")


def test_every_frame_is_sent_back_with_its_timestamp_if_processing_is_fast():
    assert received(Film(8, 0.05), blank) == list(range(8))


def test_frames_are_dropped_while_one_takes_long():
    processed = []

    def slow(frame):
        processed.append((frame.pts, threading.current_thread().name))
        time.sleep(0.2)
        return blank(frame)

    seen = received(Film(40, 0.02), slow)
    assert seen == [number for number, _ in processed][: len(seen)]
    assert len(processed) < 12
    # Ten come in the time of one: nothing waits in a queue to be seen late.
    assert max(later - earlier for earlier, later in itertools.pairwise(seen)) >= 5
    assert all(thread.startswith("live-frames") for _, thread in processed)


def test_a_waiting_call_raises_when_the_track_is_stopped_by_another_thread():
    async def stopped():
        track = LatestFrameTrack(blank)
        track.addTrack(Film(1, 3600))
        track.start()
        waiting = asyncio.create_task(track.recv())
        await asyncio.sleep(0.05)
        threading.Thread(target=track.stop).start()
        with pytest.raises(MediaStreamError):
            await asyncio.wait_for(waiting, 5)
        with pytest.raises(MediaStreamError):
            await asyncio.wait_for(track.recv(), 5)

    asyncio.run(stopped())


def test_it_can_be_started_again_with_another_camera():
    async def twice():
        track = LatestFrameTrack(blank)
        track.addTrack(Film(1, 3600))
        track.start()
        track.addTrack(Film(3, 0.01))
        track.start()
        return (await asyncio.wait_for(track.recv(), 5)).pts

    assert asyncio.run(twice()) in {0, 1, 2}
