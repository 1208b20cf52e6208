"""The demonstration of the Webcam page, its timeline and its table."""

import asyncio
import csv
import io
import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from dashboard.analysis import demo_clip
from dashboard.app_pages.live import demo_track, sections, video_section
from dashboard.app_pages.live.demo_track import DemoTrack
from dashboard.app_pages.live.timeline import timeline
from dashboard.app_pages.live.webrtc_frame_processor import FrameProcessor, FrameRecord
from fercore.faces.detection import HaarDetector
from fercore.faces.tracker import FaceTracker
from fercore.inference.video_pipeline import LiveSettings
from tests.dashboard.pages import RUNS, open_page, words

TINY = "facet-tiny-s0-20261121T151906"


def record(seconds: float, probabilities: tuple[float, ...], **fields: object) -> FrameRecord:
    values = {"frame": 3, "face": 2, "run": "run", "predicted": "sad", "is_confident": False}
    names = ("happy", "sad")
    return FrameRecord(
        seconds=seconds,
        probabilities=probabilities,
        class_names=names,
        box=(1, 2, 3, 4),
        **(values | fields),
    )


def test_both_faces_of_the_clip_are_tracked_from_start_to_end():
    tracker, numbers = FaceTracker(HaarDetector(scale=1.2)), []
    for frame in range(0, int(demo_clip.DURATION * 5)):
        image = demo_clip.draw_frame(frame / 5)
        assert (image.shape, image.dtype) == ((480, 640, 3), np.uint8)
        numbers.append({track.number for track in tracker.update(image, frame / 5)})
    assert numbers[-1] == {1, 2}
    assert sum(found == {1, 2} for found in numbers) > 0.9 * len(numbers)


def test_the_clip_repeats_and_its_drawn_face_changes():
    def face(seconds: float) -> np.ndarray:
        return demo_clip.draw_frame(seconds)[:, demo_clip.WIDTH // 2 + 80 :]

    assert np.array_equal(demo_clip.draw_frame(1), demo_clip.draw_frame(1 + demo_clip.DURATION))
    different = [face(a * demo_clip.SECONDS_PER_EXPRESSION + 1) for a in range(4)]
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(different))


def test_the_track_yields_processed_frames_in_time_and_drops_late_ones():
    async def play(seconds: float, count: int) -> list[float]:
        def transform(frame):
            times.append(frame.time)
            return frame

        times: list[float] = []
        track = DemoTrack(transform)
        for _ in range(count):
            frame = await track.recv()
            assert (frame.width, frame.height) == (640, 480)
            await asyncio.sleep(seconds)
        track.stop()
        with pytest.raises(MediaStreamError):
            await track.recv()
        return times

    step = 1 / demo_clip.FRAME_RATE
    times = asyncio.run(play(0, 4))
    assert times[0] == 0
    assert all(later - earlier >= step - 1e-4 for earlier, later in itertools.pairwise(times))
    slow = asyncio.run(play(5 * step, 3))
    assert slow[-1] >= 9 * step


def test_the_track_ends_when_the_page_no_longer_shows_it(monkeypatch: pytest.MonkeyPatch):
    async def play() -> None:
        track = DemoTrack(lambda frame: frame)
        await track.recv()
        now[0] += demo_track.MAX_SILENCE - 1
        track.keep_alive()
        now[0] += demo_track.MAX_SILENCE - 1
        await track.recv()
        now[0] += 2
        with pytest.raises(MediaStreamError):
            await track.recv()
        assert track.readyState == "ended"

    now = [100.0]
    monkeypatch.setattr(demo_track, "time", SimpleNamespace(monotonic=lambda: now[0]))
    asyncio.run(play())


def test_the_timeline_has_ticks_with_units():
    shown = timeline(
        [record(2, (0.4, 0.6)), record(12, (0.3, 0.7))], "net", {"happy": "#1", "sad": "#2"}
    )
    assert re.findall(r">(\d+%)<", shown) == ["0%", "25%", "50%", "75%", "100%"]
    # The image extends beyond 0 and 100 %, and the ticks stand at its lines.
    tops = [float(top) for top in re.findall(r"top:([\d.]+)%", shown)]
    assert tops == pytest.approx([97.2, 73.6, 50, 26.4, 2.8], abs=0.06)
    assert ">2 s<" in shown
    assert ">12 s<" in shown
    assert 'alt="Probability of each class by net over 10 seconds"' in shown


def test_numbers_of_the_session_have_four_digits():
    class Network:
        id, class_names = "run", ("happy", "sad")

        def crop_faces(self, image, faces):
            return np.zeros((len(faces), 48, 48), np.uint8)

        def __call__(self, crops):
            return np.tile(np.float32([0.0763, 0.9237]), (len(crops), 1))

        def calibrate(self, probabilities):
            return probabilities

    stream = FrameProcessor([Network()], HaarDetector(scale=1.2), LiveSettings())
    for number in range(5):
        stream.process_frame(demo_clip.draw_frame(0), number / 15)
    rows = list(csv.DictReader(io.StringIO(sections.as_csv(stream.records()))))
    assert {row["p_happy"] for row in rows} == {"0.0763"}
    assert {row["p_sad"] for row in rows} == {"0.9237"}
    assert {(row["expression"], row["low_confidence"]) for row in rows} == {("sad", "False")}
    low = sections.as_csv([record(1, (0.5, 0.5))])
    assert "sad,True," in low


def test_before_the_start_the_page_says_that_the_camera_is_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    calls: list[dict] = []

    def streamer(**options: object) -> SimpleNamespace:
        calls.append(options)
        return SimpleNamespace(state=SimpleNamespace(playing=False))

    monkeypatch.setattr(video_section, "webrtc_streamer", streamer)
    app = open_page("live", networks=TINY)
    text = words(app)
    assert "Camera off." in text
    assert "Press START" in text
    assert "No face" not in text
    assert calls[-1]["key"] == "live:camera"
    (button,) = (b for b in app.button if b.label == "Play the demonstration")
    button.click().run()
    assert (calls[-1]["key"], calls[-1]["desired_playing_state"]) == ("live:demonstration", True)
    (button,) = (b for b in app.button if b.label == "Stop the demonstration")
    button.click().run()
    assert calls[-1]["key"] == "live:camera"


def test_the_timeline_follows_the_most_recent_face_until_one_is_selected(
    monkeypatch: pytest.MonkeyPatch,
):
    drawn: list[set[int]] = []
    selected: list[str] = []
    monkeypatch.setattr(sections.st, "fragment", lambda **_: lambda draw: draw)
    monkeypatch.setattr(
        sections, "timeline", lambda records, *_: drawn.append({r.face for r in records}) or ""
    )
    monkeypatch.setattr(
        sections.url_widgets, "selectbox", lambda *_, **__: selected[0] if selected else ""
    )
    monkeypatch.setattr(sections.run_cache, "labels", lambda _: {"run": "A run"})
    view = SimpleNamespace(runs={"run": SimpleNamespace(id="run")})
    # Face 2 is seen for a moment, then face 1 again.
    records = [record(n, (0.2, 0.8), face=face) for n, face in enumerate((1, 1, 2, 1))]
    for last in (3, 4):
        stream = SimpleNamespace(records=lambda _, last=last: records[:last])
        sections.history(view, SimpleNamespace(stream=stream, is_playing=True))
    selected.append("2")
    sections.history(view, SimpleNamespace(stream=stream, is_playing=True))
    assert drawn == [{2}, {1}, {2}]
