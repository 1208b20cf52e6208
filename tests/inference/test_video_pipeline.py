import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dashboard.app_pages.live.webrtc_frame_processor import FrameProcessor
from fercore.cli import main
from fercore.faces import detection, geometry
from fercore.inference.predictor import RunClassifier
from fercore.inference.video_pipeline import LivePipeline, LiveSettings
from fercore.runs.reader import read_run
from tests.photos import film, scene

COMMITTED = Path(__file__).parents[2] / "runs"
RUN = "katkar2021-model2-original-s0-20261121T024609"
OTHER = "ranjan2023-model1-fer2013-s0-20261121T064611"


@pytest.fixture(scope="module")
def katkar():
    return RunClassifier(read_run(COMMITTED / RUN))


@pytest.fixture(scope="module")
def ranjan():
    return RunClassifier(read_run(COMMITTED / OTHER))


@pytest.fixture
def haar():
    return detection.HaarDetector(scale=1.2)


class Fickle:
    """A network that returns the given probabilities, one row per call, after some seconds."""

    class_names = ("angry", "happy", "sad")

    def __init__(self, rows, seconds=0.0, name="fickle"):
        self.rows, self.seconds, self.id, self.calls = list(rows), seconds, name, 0

    def crop_faces(self, image, faces):
        return np.zeros((len(faces), 48, 48), np.uint8)

    def __call__(self, crops):
        time.sleep(self.seconds)
        row = self.rows[min(self.calls, len(self.rows) - 1)]
        self.calls += 1
        return np.tile(np.array(row, np.float32), (len(crops), 1))

    def calibrate(self, probabilities):
        return probabilities


def through(pipeline, frames, start=0):
    return [pipeline.process(scene(320, 240), (start + number) / 30) for number in range(frames)]


def test_a_face_is_classified_by_every_network(katkar, ranjan, haar):
    (face,) = through(LivePipeline([katkar, ranjan], haar), 10)[-1]
    assert face.number == 1
    assert face.labels == {RUN: "happy", OTHER: "happy"}
    for shares in face.probabilities.values():
        assert shares.sum() == pytest.approx(1, abs=1e-4)


def test_the_shown_class_does_not_flicker(haar):
    """Angry and sad alternate with equal probability: the class that is shown first stays."""
    fickle = Fickle([(0.5, 0.1, 0.4), (0.4, 0.1, 0.5)] * 100)
    seen = through(LivePipeline([fickle], haar, LiveSettings(smoothing=0.4, min_confidence=0)), 60)
    assert {face.labels["fickle"] for faces in seen for face in faces} == {"angry"}
    raw = Fickle([(0.5, 0.1, 0.4), (0.4, 0.1, 0.5)] * 100)
    seen = through(
        LivePipeline(
            [raw], detection.HaarDetector(1.2), LiveSettings(smoothing=0, min_confidence=0)
        ),
        60,
    )
    assert {face.labels["fickle"] for faces in seen for face in faces} == {"angry", "sad"}


def test_a_real_change_is_shown_within_a_second(haar):
    fickle = Fickle([(0.9, 0.05, 0.05)] * 30 + [(0.05, 0.9, 0.05)] * 100)
    seen = through(LivePipeline([fickle], haar, LiveSettings(smoothing=0.4)), 62)
    labels = [faces[0].labels["fickle"] for faces in seen if faces]
    assert labels[20] == "angry"
    assert labels[-1] == "happy"


def test_an_uncertain_prediction_has_a_class_and_no_label(haar, monkeypatch):
    written: list[str] = []
    monkeypatch.setattr(
        "fercore.inference.video_pipeline.draw_face",
        lambda image, face, labels: written.extend(labels),
    )
    pipeline = LivePipeline([Fickle([(0.4, 0.3, 0.3)])], haar, LiveSettings(min_confidence=0.5))
    (face,) = through(pipeline, 6)[-1]
    assert face.labels == {"fickle": None}
    assert face.classes == {"fickle": "angry"}
    pipeline.draw(scene(320, 240), [face])
    assert written == ["1 angry 40% (low)"]


def test_labels_of_two_networks_have_letters(haar, monkeypatch):
    written: list[str] = []
    monkeypatch.setattr(
        "fercore.inference.video_pipeline.draw_face",
        lambda image, face, labels: written.extend(labels),
    )
    networks = [Fickle([(0.9, 0.05, 0.05)], name="one"), Fickle([(0.1, 0.8, 0.1)], name="two")]
    pipeline = LivePipeline(networks, haar)
    pipeline.draw(scene(320, 240), through(pipeline, 6)[-1])
    assert written == ["1 A angry 90%", "1 B happy 80%"]


def test_a_slow_network_skips_frames(haar):
    slow, quick = Fickle([(1, 0, 0)], 0.1, "slow"), Fickle([(1, 0, 0)], 0.0, "quick")
    seen = through(LivePipeline([slow, quick], haar), 40)
    assert all(set(faces[0].labels) == {"slow", "quick"} for faces in seen[3:])
    assert quick.calls > 30
    assert slow.calls < 8


def test_a_face_keeps_its_number_with_other_networks(katkar, ranjan, haar):
    pipeline = LivePipeline([katkar], haar)
    (before,) = through(pipeline, 6)[-1]
    pipeline.set_networks([ranjan])
    (after,) = through(pipeline, 2, start=6)[-1]
    assert (before.number, after.number) == (1, 1)
    assert list(after.labels) == [OTHER]


def test_numbers_are_not_reused_with_another_detector(katkar, haar, monkeypatch):
    """The first face leaves, a second one comes, then the detector is replaced."""
    clock = iter(np.arange(0, 100, 1 / 60))
    monkeypatch.setattr(
        "dashboard.app_pages.live.webrtc_frame_processor.time.monotonic", lambda: float(next(clock))
    )
    stream = FrameProcessor([katkar], haar, LiveSettings())

    def seen(x, frames):
        for _ in range(frames):
            stream.process_frame(scene(x, 240))
        return [face.number for face in stream.faces()]

    assert seen(160, 6) == [1]
    assert seen(480, 60) == [2]
    stream.configure([katkar], LiveSettings(), detection.HaarDetector(scale=1.1))
    assert seen(480, 6) == [2]


def test_boxes_are_drawn_where_the_face_is(katkar, haar):
    pipeline = LivePipeline([katkar], haar)
    faces = through(pipeline, 6)[-1]
    drawn = scene(320, 240)
    pipeline.draw(drawn, faces)
    rows, columns, _ = np.nonzero(drawn != scene(320, 240))
    left, top, _, bottom = faces[0].face.box
    assert left - 4 <= columns.min() <= left + 4
    assert abs(rows.min() - top) <= 4
    assert rows.max() > bottom
    # At the edge of the image, a box is drawn in part.
    for x, y in ((5, 5), (630, 470)):
        pipeline.draw(drawn, [type(faces[0])(1, geometry.Face(x, y, 80), {}, {}, {})])


def test_a_stream_has_statistics_records_and_the_last_image(katkar, haar):
    stream = FrameProcessor([katkar], haar, LiveSettings())
    assert stream.stats().frames == 0
    assert stream.last_image() is None
    for number in range(20):
        stream.process_frame(scene(320, 240), number / 25)
    stats = stream.stats()
    assert (stats.frames, len(stream.faces()), stats.error) == (20, 1, "")
    assert 0 < stats.p50 <= stats.p95
    assert np.array_equal(stream.last_image(), scene(320, 240))
    records = stream.records()
    assert {record.face for record in records} == {1}
    assert (records[-1].predicted, records[-1].is_confident) == ("happy", True)
    assert sum(records[-1].probabilities) == pytest.approx(1, abs=1e-2)
    # After a restart, no frame has arrived yet, and the records are kept.
    stream.restart()
    stats = stream.stats()
    assert (stats.frames, stats.seconds_since_frame, stats.fps) == (20, None, 0)
    assert stream.faces() == []
    assert stream.records() == records


def test_a_stream_measures_its_lag(katkar, haar, monkeypatch):
    clock = iter(np.arange(0, 100, 0.5))
    monkeypatch.setattr(
        "dashboard.app_pages.live.webrtc_frame_processor.time.monotonic", lambda: float(next(clock))
    )
    stream = FrameProcessor([katkar], haar, LiveSettings())
    # The camera gives 25 frames a second; each begins to be processed a second after the last.
    for number in range(10):
        stream.process_frame(np.zeros((48, 64, 3), np.uint8), number / 25)
    assert stream.stats().lag_ms > 3000


def test_a_restarted_camera_has_no_lag(katkar, haar, monkeypatch):
    clock = iter([*np.arange(0, 4, 0.02), *np.arange(60, 64, 0.02)])
    monkeypatch.setattr(
        "dashboard.app_pages.live.webrtc_frame_processor.time.monotonic", lambda: float(next(clock))
    )
    stream = FrameProcessor([katkar], haar, LiveSettings())
    for _ in range(2):
        for number in range(100):
            stream.process_frame(np.zeros((48, 64, 3), np.uint8), number / 25)
    monkeypatch.setattr(
        "dashboard.app_pages.live.webrtc_frame_processor.time.monotonic", lambda: 64.0
    )
    stats = stream.stats()
    assert stats.lag_ms < 100
    assert stats.skipped == 0
    assert stats.fps == pytest.approx(25, rel=0.05)


def test_the_drawn_probability_is_that_of_the_drawn_class(haar, monkeypatch):
    written = []
    monkeypatch.setattr(
        "fercore.inference.video_pipeline.draw_face",
        lambda image, face, lines: written.extend(lines),
    )
    fickle = Fickle([(0.5, 0.1, 0.4)] * 3 + [(0.4, 0.1, 0.5)] * 100)
    pipeline = LivePipeline([fickle], haar, LiveSettings(smoothing=0.01, min_confidence=0))
    faces = through(pipeline, 30)[-1]
    pipeline.draw(scene(320, 240), faces)
    sad = faces[0].probabilities["fickle"][2]
    assert written == [f"1 sad {sad:.0%}"]
    # A small lead does not change the class; it is drawn with its own probability.
    slightly = Fickle([(0.47, 0.1, 0.43)] * 3 + [(0.43, 0.1, 0.47)] * 100)
    pipeline = LivePipeline(
        [slightly], detection.HaarDetector(1.2), LiveSettings(smoothing=0.01, min_confidence=0)
    )
    written.clear()
    pipeline.draw(scene(320, 240), through(pipeline, 30)[-1])
    assert written == ["1 angry 43%"]


def test_skipped_frames_are_counted(katkar, haar):
    stream = FrameProcessor([katkar], haar, LiveSettings())
    for number in [*range(10), 13, 14, 15, 19]:
        stream.process_frame(np.zeros((48, 64, 3), np.uint8), number / 25)
    assert stream.stats().skipped == 6


def test_a_frame_is_returned_if_a_network_fails(haar):
    class Broken(Fickle):
        def __call__(self, crops):
            raise RuntimeError("out of luck")

    stream = FrameProcessor([Broken([])], haar, LiveSettings())
    for number in range(8):
        shown = stream.process_frame(scene(320, 240), number / 25)
    assert shown.shape == (480, 640, 3)
    assert stream.stats().error == "RuntimeError: out of luck"
    assert stream.stats().frames == 8


def test_a_stream_is_configured_from_another_thread(katkar, ranjan, haar):
    stream = FrameProcessor([katkar], haar, LiveSettings())
    ended = threading.Event()

    def camera():
        number = 0
        while not ended.is_set():
            stream.process_frame(scene(320, 240), number / 25)
            number += 1

    thread = threading.Thread(target=camera)
    thread.start()
    try:
        for number in range(30):
            stream.configure(
                [(katkar, ranjan)[number % 2]], LiveSettings(min_confidence=number / 60)
            )
            stream.stats(), stream.records(), stream.faces(), stream.last_image()
            time.sleep(0.01)
        stream.configure([katkar, ranjan], LiveSettings(), detection.HaarDetector())
        deadline = time.monotonic() + 20
        while set(stream.records()[-1].probabilities and [m.run for m in stream.records(0.3)]) != {
            RUN,
            OTHER,
        }:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        ended.set()
        thread.join()
    assert stream.stats().error == ""


def test_the_benchmark_times_a_video(tmp_path, monkeypatch, capsys):
    path = film(tmp_path / "film.mp4", frames=60)
    arguments = ["bench", "live", RUN, "--film", str(path), "--frames", "50", "--json"]
    monkeypatch.setattr(sys, "argv", ["fercore", *arguments, "--runs-root", str(COMMITTED)])
    monkeypatch.delenv("FERCORE_YUNET", raising=False)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    output = json.loads(capsys.readouterr().out)
    (row,) = [row for row in output["results"] if row["finder"] == "Haar cascade"]
    assert row["shown"] > 0.9
    assert row["extra"] == 0
    assert 0 < row["p50"] <= row["p95"] <= row["most"]


def test_the_benchmark_without_a_dataset_asks_for_a_video(tmp_path):
    from fercore.benchmarks.video_latency import make_frames
    from fercore.errors import UserError

    with pytest.raises(UserError, match="--film"):
        make_frames(tmp_path, 10)
