"""Frames in, frames out: the newest first, and an end for everybody who waits."""

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
    """Frames 0 to n - 1, so many seconds apart; then the camera is gone."""

    kind = "video"

    def __init__(self, frames: int, apart: float):
        super().__init__()
        self.frames, self.apart, self.next = frames, apart, 0

    async def recv(self):
        await asyncio.sleep(self.apart)
        if self.next == self.frames:
            self.stop()
            raise MediaStreamError
        frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 90, np.uint8), format="bgr24")
        frame.pts, frame.time_base = self.next, Fraction(1, 25)
        self.next += 1
        return frame


def watch(film, change):
    """The numbers of the frames that come back until the end."""

    async def all_of_it():
        track = LatestFrameTrack(change)
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

    return asyncio.run(all_of_it())


def blank(frame):
    return av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="bgr24")


def test_every_frame_comes_back_with_its_own_time_while_there_is_time_for_it():
    assert watch(Film(8, 0.05), blank) == list(range(8))


def test_frames_give_way_to_newer_ones_while_one_takes_long():
    taken = []

    def slow(frame):
        taken.append((frame.pts, threading.current_thread().name))
        time.sleep(0.2)
        return blank(frame)

    seen = watch(Film(40, 0.02), slow)
    assert seen == [number for number, _ in taken][: len(seen)]
    assert len(taken) < 12
    # Ten come in the time of one: nothing waits in a queue to be seen late.
    assert max(later - earlier for earlier, later in itertools.pairwise(seen)) >= 5
    assert all(thread.startswith("live-frames") for _, thread in taken)


def test_whoever_waits_is_told_when_it_is_stopped_elsewhere():
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
