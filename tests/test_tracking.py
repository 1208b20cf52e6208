import itertools

import cv2
import numpy as np
import pytest

from fercore import faces
from fercore.faces import Face
from fercore.tracking import FaceTracker
from tests.photos import scene

RATE = 30


@pytest.fixture(scope="module")
def haar():
    return faces.HaarFinder(scale=1.2)


def follow(tracker, images, start=0):
    return [tracker.update(image, (start + n) / RATE) for n, image in enumerate(images)]


def path(frames, wide=100):
    """Where the face is in each frame: along a lying eight."""
    turns = [2 * np.pi * n / 90 for n in range(frames)]
    return [(320 + wide * np.sin(t), 235 + 40 * np.sin(2 * t)) for t in turns]


class Counting:
    """A finder that counts what it is asked to search, in pixels."""

    kind = "haar"

    def __init__(self, finder):
        self.finder, self.pixels = finder, []

    def find(self, image, smallest=None, largest=None):
        self.pixels.append(image.shape[0] * image.shape[1])
        return self.finder.find(image, smallest, largest)


class Scripted:
    """A finder that says what a test wants, of a whole frame or of a part alike."""

    kind = "haar"

    def __init__(self, answers):
        self.answers = iter(answers)

    def find(self, image, smallest=None, largest=None):
        return next(self.answers)


def test_one_face_is_one_number_wherever_it_goes(haar):
    places = path(90)
    seen = follow(FaceTracker(haar), [scene(x, y) for x, y in places])
    assert all(len(tracks) == 0 for tracks in seen[:2])  # not believed at once
    assert all([track.number for track in tracks] == [1] for tracks in seen[3:])
    for (x, y), (track,) in itertools.islice(zip(places, seen, strict=True), 3, None):
        centre = np.array([track.face.left, track.face.top]) + track.face.side / 2
        assert np.hypot(*(centre - (x, y))) < 0.15 * track.face.side


def test_the_whole_frame_is_searched_now_and_then_alone(haar):
    finder = Counting(haar)
    follow(FaceTracker(finder), [scene(x, y) for x, y in path(60)])
    # A face of 110 pixels is looked for in a part of it, at half the size.
    assert np.median(finder.pixels) < 640 * 480 / 20
    assert sum(pixels > 20_000 for pixels in finder.pixels) <= 8


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


def test_a_face_that_the_finder_misses_for_a_moment_is_followed(haar):
    face = haar.find(scene(320, 240))[0]
    tracker = FaceTracker(Scripted([[face]] * 1 + [[]] * 1000))
    # Found whole and nearby for three frames, then the finder is blind.
    tracker.finder = haar
    follow(tracker, [scene(320, 240)] * 6)
    tracker.finder = Scripted([[]] * 1000)
    blind = follow(tracker, [scene(320 + 4 * n, 240) for n in range(15)], start=6)
    (track,) = blind[12]
    assert track.face.left + track.face.side / 2 == pytest.approx(320 + 4 * 12, abs=12)
    assert follow(tracker, [scene(380, 240)] * 30, start=21)[-1] == []


def test_what_is_found_in_one_frame_alone_is_never_shown():
    ghost = Face(100, 100, 60, score=1)
    noise = np.random.default_rng(0).integers(0, 256, (10, 240, 320), dtype=np.uint8)
    seen = follow(FaceTracker(Scripted([[ghost], [], [], [ghost], [], [], *[[]] * 20])), noise)
    assert not any(seen)


def test_a_resting_face_does_not_tremble(haar):
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
