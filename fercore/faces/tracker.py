"""Follow faces from frame to frame, for a fraction of what searching every frame costs.

The whole frame is searched now and then, reduced; between searches each face is looked for near its
last place alone, and where the finder misses it there, its picture is followed for a moment.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fercore.faces.cropping import to_grey
from fercore.faces.detection import FaceDetector
from fercore.faces.geometry import Face, Image, iou

# Pixels: of the reduced frame's longer side, while nobody is there and beside those who are; of a
# face where it is looked for nearby.
_SEARCHED, _BESIDE = 320, 240
_NEARBY = 56
# How far around a face it is looked for, in its sides.
_AROUND = 0.45
# Seconds: between searches of the whole frame, and after which an unseen face is gone.
DETECT_EVERY = 0.4
MAX_AGE = 0.8
# Finds before a face is believed.
MIN_HITS = 3
# Least correlation of a picture that is followed.
MIN_NCC = 0.75
_PICTURE = 24
# Of a new place and size in the shown one: a face that rests does not tremble.
_QUICK, _SLOW = 0.85, 0.35


@dataclass(frozen=True)
class Track:
    """A face over time.

    Attributes:
        number: of the face, from 1, never given to another one; negative until it is believed.
        face: where it is, steadied.
        finds: frames in which the finder saw it.
        seen: time of the last of them, in seconds.
    """

    number: int
    face: Face
    finds: int
    seen: float


class FaceTracker:
    """Faces of a film or a camera, frame by frame. For one thread.

    Args:
        finder: of faces.
    """

    def __init__(self, finder: FaceDetector):
        self.finder = finder
        self._tracks: list[Track] = []
        self._pictures: dict[int, NDArray[np.uint8]] = {}
        self._numbers, self._unsure = itertools.count(1), itertools.count(-1, -1)
        self._searched = -np.inf

    def update(self, image: Image, now: float) -> list[Track]:
        """Take the next frame.

        Args:
            image: `(height, width)` grey or `(height, width, 3)` blue, green, red; uint8.
            now: its time in seconds, never less than that of the frame before.

        Returns:
            The faces that are believed, those that were there first in front. A face is believed
            from the third frame that shows it.
        """
        whole = not self._tracks or now - self._searched >= DETECT_EVERY
        grey = to_grey(image)
        source = image if self.finder.kind != "haar" else grey
        if whole:
            self._searched = now
            found = self._search(source)
            self._tracks = self._matched(found, source, grey, now)
        else:
            moved = [self._followed(track, source, grey, now) for track in self._tracks]
            self._tracks = [track for track in moved if track is not None]
        self._tracks = _apart(self._tracks)
        alive = {track.number for track in self._tracks}
        self._pictures = {n: picture for n, picture in self._pictures.items() if n in alive}
        return [track for track in self._tracks if track.finds >= MIN_HITS]

    def _search(self, image: Image) -> list[Face]:
        import cv2

        longest = _BESIDE if self._tracks else _SEARCHED
        scale = max(1.0, max(image.shape[:2]) / longest)
        size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
        reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale > 1 else image
        return [face.moved(0, 0, scale) for face in self.finder.find(np.asarray(reduced, np.uint8))]

    def _matched(self, found: Sequence[Face], image: Image, grey: Image, now: float) -> list[Track]:
        """What was known, at its new places, and after it what is new."""
        tracks, left = [], list(found)
        for track in self._tracks:
            near = max(left, key=lambda face: iou(face, track.face), default=None)
            if near is not None and iou(near, track.face) > 0.3:
                left.remove(near)
                tracks.append(self._seen(track, near, grey, now))
            elif (followed := self._followed(track, image, grey, now)) is not None:
                tracks.append(followed)
        for face in left:
            new = Track(next(self._unsure), face, 0, now)
            tracks.append(self._seen(new, face, grey, now))
        return tracks

    def _followed(self, track: Track, image: Image, grey: Image, now: float) -> Track | None:
        """A face, looked for near its last place; `None` once it is gone."""
        nearby = self._look_nearby(track.face, image)
        if nearby is not None:
            return self._seen(track, nearby, grey, now)
        # A face that was seen once is not believed yet: nothing of it is followed.
        if track.finds < MIN_HITS or now - track.seen > MAX_AGE:
            return None
        moved = self._follow_picture(track, grey)
        return None if moved is None else replace(track, face=moved)

    def _look_nearby(self, face: Face, image: Image) -> Face | None:
        import cv2

        left, top, part = _around(face, image)
        if min(part.shape[:2]) < _PICTURE:
            return None
        scale = max(face.side / _NEARBY, 1.0)
        size = (round(part.shape[1] / scale), round(part.shape[0] / scale))
        reduced = cv2.resize(part, size, interpolation=cv2.INTER_AREA) if scale > 1 else part
        side = face.side / scale
        found = self.finder.find(np.ascontiguousarray(reduced), 0.7 * side, 1.45 * side)
        here = [other.moved(left, top, scale) for other in found]
        best = max(here, key=lambda other: iou(other, face), default=None)
        return best if best is not None and iou(best, face) > 0.25 else None

    def _follow_picture(self, track: Track, grey: Image) -> Face | None:
        import cv2

        picture = self._pictures.get(track.number)
        left, top, part = _around(track.face, grey)
        scale = track.face.side / _PICTURE
        size = (round(part.shape[1] / scale), round(part.shape[0] / scale))
        if picture is None or min(size) < _PICTURE:
            return None
        reduced = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        alike = cv2.matchTemplate(reduced, picture, cv2.TM_CCOEFF_NORMED)
        _, best, _, (x, y) = cv2.minMaxLoc(alike)
        if best < MIN_NCC:
            return None
        shift = np.array([left + x * scale - track.face.left, top + y * scale - track.face.top])
        return track.face.moved(float(shift[0]), float(shift[1]))

    def _seen(self, track: Track, face: Face, grey: Image, now: float) -> Track:
        import cv2

        number, finds = track.number, track.finds + 1
        if finds == MIN_HITS:
            number = next(self._numbers)
        left, top, right, bottom = face.box
        part = grey[max(top, 0) : bottom, max(left, 0) : right]
        if min(part.shape) >= _PICTURE // 2:
            picture = cv2.resize(part, (_PICTURE, _PICTURE), interpolation=cv2.INTER_AREA)
            self._pictures[number] = np.asarray(picture, np.uint8)
        shown = _steadied(track.face, face) if track.finds else face
        return replace(track, number=number, face=shown, finds=finds, seen=now)


def _around(face: Face, image: Image) -> tuple[int, int, Image]:
    reach = _AROUND * face.side
    left, top = max(0, int(face.left - reach)), max(0, int(face.top - reach))
    right, bottom = int(face.left + face.side + reach), int(face.top + face.side + reach)
    return left, top, image[top : max(bottom, top), left : max(right, left)]


def _steadied(before: Face, after: Face) -> Face:
    """Between the last place and the new one: nearer to the new one the farther they are apart."""
    moved = np.hypot(
        after.left + after.side / 2 - before.left - before.side / 2,
        after.top + after.side / 2 - before.top - before.side / 2,
    )
    share = _SLOW + (_QUICK - _SLOW) * min(1.0, moved / (0.15 * before.side))
    side = before.side + _SLOW * (after.side - before.side)

    def between(old: float, new: float) -> float:
        return float(old + share * (new - old))

    x = between(before.left + before.side / 2, after.left + after.side / 2)
    y = between(before.top + before.side / 2, after.top + after.side / 2)
    turned = before.angle + _SLOW * (after.angle - before.angle)
    return replace(after, left=x - side / 2, top=y - side / 2, side=side, angle=turned)


def _apart(tracks: Sequence[Track]) -> list[Track]:
    """Of two tracks on one face the one that was there first."""
    kept: list[Track] = []
    for track in tracks:
        if all(iou(track.face, other.face) < 0.4 for other in kept):
            kept.append(track)
    return kept
