import itertools

import cv2
import numpy as np
import pytest

from fercore.faces import detection
from fercore.faces import tracker as tracker_module
from fercore.faces.geometry import Face
from fercore.faces.tracker import FaceTracker
from tests.photos import scene

RATE = 30


@pytest.fixture(scope="module")
def haar():
    return detection.HaarDetector(scale=1.2)


def follow(tracker, images, start=0):
    return [tracker.update(image, (start + n) / RATE) for n, image in enumerate(images)]


def path(frames, wide=100):
    """Centres of the face in each frame, along a figure eight that lies on its side."""
    turns = [2 * np.pi * n / 90 for n in range(frames)]
    return [(320 + wide * np.sin(t), 235 + 40 * np.sin(2 * t)) for t in turns]


class Counting:
    """A detector that records the number of pixels of each image."""

    kind = "haar"

    def __init__(self, detector):
        self.detector, self.pixels = detector, []

    def detect(self, image, smallest=None, largest=None):
        self.pixels.append(image.shape[0] * image.shape[1])
        return self.detector.detect(image, smallest, largest)


class Scripted:
    """A detector that returns the given lists of faces, one per call."""

    kind = "haar"

    def __init__(self, detections):
        self.detections = iter(detections)

    def detect(self, image, smallest=None, largest=None):
        return next(self.detections)


def test_one_face_is_one_number_wherever_it_goes(haar):
    places = path(90)
    seen = follow(FaceTracker(haar), [scene(x, y) for x, y in places])
    assert all(len(tracks) == 0 for tracks in seen[:2])  # not confirmed yet
    assert all([track.number for track in tracks] == [1] for tracks in seen[3:])
    for (x, y), (track,) in itertools.islice(zip(places, seen, strict=True), 3, None):
        centre = np.array([track.face.left, track.face.top]) + track.face.side / 2
        assert np.hypot(*(centre - (x, y))) < 0.15 * track.face.side


def test_the_full_frame_is_searched_rarely(haar):
    detector = Counting(haar)
    follow(FaceTracker(detector), [scene(x, y) for x, y in path(60)])
    # A face of 110 pixels is searched in its neighbourhood, at half the size.
    assert np.median(detector.pixels) < 640 * 480 / 20
    assert sum(pixels > 20_000 for pixels in detector.pixels) <= 8


def test_a_second_face_gets_a_number_of_its_own_and_keeps_it(haar):
    def both(shift):
        left = scene(150 + shift, 200, size=(480, 320))
        right = scene(160, 240 + shift, size=(480, 320))
        return np.hstack([left, right])

    one = [np.hstack([scene(150, 200, size=(480, 320)), np.full((480, 320, 3), 96, "u1")])] * 20
    seen = follow(FaceTracker(haar), one + [both(n % 20) for n in range(40)])
    assert {track.number for tracks in seen[:20] for track in tracks} == {1}
    assert [track.number for track in seen[-1]] == [1, 2]
    first, second = seen[-1]
    assert first.face.left < 320 < second.face.left


def test_a_face_that_leaves_is_gone_within_a_second_and_new_when_it_is_back(haar):
    tracker, empty = FaceTracker(haar), np.full((480, 640, 3), 96, np.uint8)
    assert len(follow(tracker, [scene(320, 240)] * 10)[-1]) == 1
    away = follow(tracker, [empty] * 30, start=10)
    assert away[-1] == []
    back = follow(tracker, [scene(320, 240)] * 10, start=40)
    assert [track.number for track in back[-1]] == [2]


def test_a_face_that_the_detector_misses_for_a_moment_is_followed(haar):
    face = haar.detect(scene(320, 240))[0]
    tracker = FaceTracker(Scripted([[face]] * 1 + [[]] * 1000))
    # Detected in six frames, then never again.
    tracker.detector = haar
    follow(tracker, [scene(320, 240)] * 6)
    tracker.detector = Scripted([[]] * 1000)
    missed = follow(tracker, [scene(320 + 4 * n, 240) for n in range(15)], start=6)
    (track,) = missed[12]
    assert track.face.left + track.face.side / 2 == pytest.approx(320 + 4 * 12, abs=12)
    assert follow(tracker, [scene(380, 240)] * 30, start=21)[-1] == []


def test_a_face_that_is_detected_in_one_frame_only_is_never_returned():
    ghost = Face(100, 100, 60, score=1)
    noise = np.random.default_rng(0).integers(0, 256, (10, 240, 320), dtype=np.uint8)
    seen = follow(FaceTracker(Scripted([[ghost], [], [], [ghost], [], [], *[[]] * 20])), noise)
    assert not any(seen)


def test_the_box_of_a_face_at_rest_does_not_jitter(haar):
    rng = np.random.default_rng(1)
    still = scene(320, 240)
    noisy = [
        np.clip(still + rng.normal(0, 6, still.shape), 0, 255).astype(np.uint8) for _ in range(60)
    ]
    seen = follow(FaceTracker(haar), noisy)
    lefts = [tracks[0].face.left for tracks in seen[10:]]
    assert np.std(lefts) < 1.5


def test_frames_may_be_grey_small_or_change_their_size(haar):
    tracker = FaceTracker(haar)
    grey = cv2.cvtColor(scene(320, 240), cv2.COLOR_BGR2GRAY)
    assert len(follow(tracker, [grey] * 6)[-1]) == 1
    follow(tracker, [np.zeros((20, 20), np.uint8), np.zeros((1, 1), np.uint8)], start=6)
    assert len(follow(tracker, [scene(160, 120, 0.6, (240, 320))] * 40, start=8)[-1]) == 1


def place(face):
    return face.left + face.side / 2, face.top + face.side / 2, face.side, face.angle


@pytest.mark.parametrize(
    ("shift", "share"),
    # At rest a weight of 0.35; for moves of 15% of the face and more a weight of 0.85.
    [(0.0, 0.35), (6.0, 0.35 + 0.5 * 6 / 9), (9.0, 0.85), (40.0, 0.85)],
)
def test_a_new_position_has_more_weight_the_farther_the_face_moved(shift, share):
    before = Face(100, 50, 60, angle=0.2)
    along, across = Face(100 + shift, 50, 60, 0.4), Face(100, 50 + shift, 60, 0.4)
    x, y, side, angle = place(tracker_module._smooth(before, along))
    assert (x, y, side) == pytest.approx((130 + share * shift, 80, 60))
    assert angle == pytest.approx(0.2 + 0.35 * 0.2)
    assert place(tracker_module._smooth(before, across))[:2] == pytest.approx(
        (130, 80 + share * shift)
    )


def test_a_face_that_grows_where_it_is_keeps_its_centre():
    x, y, side, _ = place(tracker_module._smooth(Face(100, 50, 60), Face(90, 40, 80)))
    assert (x, y) == pytest.approx((130, 80))
    assert side == pytest.approx(60 + 0.35 * 20)


def test_the_part_around_a_face_reaches_as_far_on_every_side_and_ends_at_the_edge():
    image = np.arange(200 * 300, dtype=np.int32).reshape(200, 300)
    left, top, part = tracker_module._crop_neighbourhood(Face(100, 60, 40), image)
    assert (left, top, part.shape) == (82, 42, (76, 76))
    assert part[0, 0] == image[42, 82]
    left, top, part = tracker_module._crop_neighbourhood(Face(-10, 170, 40), image)
    assert (left, top, part.shape) == (0, 152, (48, 48))
    assert tracker_module._crop_neighbourhood(Face(100, -200, 40), image)[2].size == 0


def test_of_two_tracks_on_one_face_the_first_stays():
    def track(number, left):
        return tracker_module.Track(number, Face(left, 0, 100), 3, 0.0)

    # Intersections over unions of 0.43 and 0.39.
    assert tracker_module._remove_duplicates([track(1, 0), track(2, 40)]) == [track(1, 0)]
    assert tracker_module._remove_duplicates([track(1, 0), track(2, 44)]) == [
        track(1, 0),
        track(2, 44),
    ]


class Recorded:
    """A detector that finds nothing and records its arguments."""

    kind = "haar"

    def __init__(self):
        self.calls = []

    def detect(self, image, smallest=None, largest=None):
        self.calls.append((image.shape[:2], smallest, largest))
        return []


def test_a_frame_is_reduced_for_the_search_and_more_so_with_tracks():
    tracker = FaceTracker(Recorded())
    frame = np.zeros((480, 640), np.uint8)
    tracker.update(frame, 0.0)
    assert tracker.detector.calls == [((240, 320), None, None)]
    tracker._tracks = [tracker_module.Track(1, Face(200, 100, 112), 3, 0.0)]
    tracker._last_search = 0.0
    tracker.detector.calls.clear()
    tracker.update(frame, 0.3)  # too early for another search of the full frame
    # 112 pixels and 45% more on each side, at half the size; with limits on the face's size.
    assert [shape for shape, *_ in tracker.detector.calls] == [((212) // 2, (212) // 2)]
    assert tracker.detector.calls[0][1:] == pytest.approx((0.7 * 56, 1.45 * 56))
    tracker._tracks = [tracker_module.Track(1, Face(200, 100, 112), 3, 0.0)]
    tracker.detector.calls.clear()
    tracker.update(frame, 0.4)
    assert tracker.detector.calls[0] == ((180, 240), None, None)


def test_a_small_frame_is_not_reduced():
    tracker = FaceTracker(Recorded())
    tracker.update(np.zeros((240, 320), np.uint8), 0.0)
    tracker.update(np.zeros((100, 320), np.uint8), 1.0)
    assert [shape for shape, *_ in tracker.detector.calls] == [(240, 320), (100, 320)]


def test_a_track_is_confirmed_by_its_third_detection():
    face = Face(100, 100, 60, score=1)
    frame = np.zeros((240, 240), np.uint8)
    tracker = FaceTracker(Scripted([[face]] * 3))
    seen = [tracker.update(frame, float(second)) for second in range(3)]
    assert [len(tracks) for tracks in seen] == [0, 0, 1]
    (track,) = seen[-1]
    assert (track.number, track.hits, track.last_hit) == (1, 3, 2.0)
    assert place(track.face) == pytest.approx(place(face))
