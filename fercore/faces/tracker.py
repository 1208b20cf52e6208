"""Track faces over the frames of a video, for a fraction of the cost of detection in every frame.

The full frame, reduced in size, is searched every `DETECT_EVERY` seconds. Between these searches
the detector searches the neighbourhood of each face's last position only. Where it misses the face
there, the face is followed for up to `MAX_AGE` seconds by template matching.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fercore.faces.cropping import to_grey
from fercore.faces.detection import FaceDetector
from fercore.faces.geometry import Face, Image, iou

# Longer side in pixels to which a frame is reduced for a full search: without tracks, and with.
_SEARCH_SIDE, _SEARCH_SIDE_WITH_TRACKS = 320, 240
# Side in pixels to which a face is reduced when it is searched near its last position.
_REDETECT_SIDE = 56
# Neighbourhood that is searched around a face, on each side, as a fraction of the face's side.
_REDETECT_MARGIN = 0.45
# Seconds between searches of the full frame.
DETECT_EVERY = 0.4
# Seconds without a detection after which a track ends.
MAX_AGE = 0.8
# Detections after which a track is confirmed.
MIN_HITS = 3
# Minimum normalized cross-correlation of a matched template.
MIN_NCC = 0.75
_TEMPLATE_SIDE = 24
# Weight of a new position in the smoothed one, for fast and for slow movement. The low weight
# keeps the box of a face at rest from jittering.
_FAST_WEIGHT, _SLOW_WEIGHT = 0.85, 0.35


@dataclass(frozen=True)
class Track:
    """A face over time.

    Attributes:
        number: of the face: from 1, and never reused. Negative until the track is confirmed.
        face: its smoothed position.
        hits: frames in which the detector found it.
        last_hit: time of the last of these frames, in seconds.
    """

    number: int
    face: Face
    hits: int
    last_hit: float


class FaceTracker:
    """Track the faces of a video or a camera, frame by frame. Not thread-safe.

    Args:
        detector: to run on the frames. It may be replaced between two frames.
    """

    def __init__(self, detector: FaceDetector):
        self.detector = detector
        self._tracks: list[Track] = []
        self._templates: dict[int, NDArray[np.uint8]] = {}
        self._confirmed_numbers = itertools.count(1)
        self._tentative_numbers = itertools.count(-1, -1)
        self._last_search = -np.inf

    def update(self, image: Image, now: float) -> list[Track]:
        """Process the next frame.

        Args:
            image: `(height, width)` grey or `(height, width, 3)` blue, green, red; uint8.
            now: time of the frame in seconds, not less than that of the frame before.

        Returns:
            The confirmed tracks, oldest first. A track is confirmed by its third detection.
        """
        grey = to_grey(image)
        source = image if self.detector.kind != "haar" else grey
        if not self._tracks or now - self._last_search >= DETECT_EVERY:
            self._last_search = now
            self._tracks = self._associate(self._search(source), source, grey, now)
        else:
            updated = [self._update_track(track, source, grey, now) for track in self._tracks]
            self._tracks = [track for track in updated if track is not None]
        self._tracks = _remove_duplicates(self._tracks)
        alive = {track.number for track in self._tracks}
        self._templates = {n: template for n, template in self._templates.items() if n in alive}
        return [track for track in self._tracks if track.hits >= MIN_HITS]

    def _search(self, image: Image) -> list[Face]:
        """Detect faces in the full frame, reduced in size."""
        import cv2

        longest = _SEARCH_SIDE_WITH_TRACKS if self._tracks else _SEARCH_SIDE
        scale = max(1.0, max(image.shape[:2]) / longest)
        size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
        reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale > 1 else image
        faces = self.detector.detect(np.asarray(reduced, np.uint8))
        return [face.transform(0, 0, scale) for face in faces]

    def _associate(
        self, detections: Sequence[Face], image: Image, grey: Image, now: float
    ) -> list[Track]:
        """Match detections to tracks by IoU; return the tracks that go on, then the new ones."""
        tracks, unmatched = [], list(detections)
        for track in self._tracks:
            best = max(unmatched, key=lambda face: iou(face, track.face), default=None)
            if best is not None and iou(best, track.face) > 0.3:
                unmatched.remove(best)
                tracks.append(self._record_hit(track, best, grey, now))
            elif (updated := self._update_track(track, image, grey, now)) is not None:
                tracks.append(updated)
        for face in unmatched:
            track = Track(next(self._tentative_numbers), face, 0, now)
            tracks.append(self._record_hit(track, face, grey, now))
        return tracks

    def _update_track(self, track: Track, image: Image, grey: Image, now: float) -> Track | None:
        """Search a face near its last position; return `None` if the track ends."""
        face = self._redetect(track.face, image)
        if face is not None:
            return self._record_hit(track, face, grey, now)
        # Only confirmed tracks are followed without detections.
        if track.hits < MIN_HITS or now - track.last_hit > MAX_AGE:
            return None
        matched = self._match_template(track, grey)
        return None if matched is None else replace(track, face=matched)

    def _redetect(self, face: Face, image: Image) -> Face | None:
        """Run the detector on the neighbourhood of a face."""
        import cv2

        left, top, part = _crop_neighbourhood(face, image)
        if min(part.shape[:2]) < _TEMPLATE_SIDE:
            return None
        scale = max(face.side / _REDETECT_SIDE, 1.0)
        size = (round(part.shape[1] / scale), round(part.shape[0] / scale))
        reduced = cv2.resize(part, size, interpolation=cv2.INTER_AREA) if scale > 1 else part
        side = face.side / scale
        detections = [
            detection.transform(left, top, scale)
            for detection in self.detector.detect(
                np.ascontiguousarray(reduced), 0.7 * side, 1.45 * side
            )
        ]
        best = max(detections, key=lambda detection: iou(detection, face), default=None)
        return best if best is not None and iou(best, face) > 0.25 else None

    def _match_template(self, track: Track, grey: Image) -> Face | None:
        """Find the last detected picture of a face near its last position."""
        import cv2

        template = self._templates.get(track.number)
        left, top, part = _crop_neighbourhood(track.face, grey)
        scale = track.face.side / _TEMPLATE_SIDE
        size = (round(part.shape[1] / scale), round(part.shape[0] / scale))
        if template is None or min(size) < _TEMPLATE_SIDE:
            return None
        reduced = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        correlations = cv2.matchTemplate(reduced, template, cv2.TM_CCOEFF_NORMED)
        _, best, _, (x, y) = cv2.minMaxLoc(correlations)
        if best < MIN_NCC:
            return None
        shift = np.array([left + x * scale - track.face.left, top + y * scale - track.face.top])
        return track.face.transform(float(shift[0]), float(shift[1]))

    def _record_hit(self, track: Track, face: Face, grey: Image, now: float) -> Track:
        """Return the track with a new detection; store the face's picture as its template."""
        import cv2

        number, hits = track.number, track.hits + 1
        if hits == MIN_HITS:
            number = next(self._confirmed_numbers)
        left, top, right, bottom = face.box
        part = grey[max(top, 0) : bottom, max(left, 0) : right]
        if min(part.shape) >= _TEMPLATE_SIDE // 2:
            size = (_TEMPLATE_SIDE, _TEMPLATE_SIDE)
            template = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
            self._templates[number] = np.asarray(template, np.uint8)
        smoothed = _smooth(track.face, face) if track.hits else face
        return replace(track, number=number, face=smoothed, hits=hits, last_hit=now)


def _crop_neighbourhood(face: Face, image: Image) -> tuple[int, int, Image]:
    """Return the left and top of the region around a face, and its pixels."""
    margin = _REDETECT_MARGIN * face.side
    left, top = max(0, int(face.left - margin)), max(0, int(face.top - margin))
    right, bottom = int(face.left + face.side + margin), int(face.top + face.side + margin)
    return left, top, image[top : max(bottom, top), left : max(right, left)]


def _smooth(before: Face, after: Face) -> Face:
    """Interpolate between two positions; the new one has more weight the farther they are apart."""
    distance = np.hypot(
        after.left + after.side / 2 - before.left - before.side / 2,
        after.top + after.side / 2 - before.top - before.side / 2,
    )
    speed = min(1.0, distance / (0.15 * before.side))
    weight = _SLOW_WEIGHT + (_FAST_WEIGHT - _SLOW_WEIGHT) * speed
    side = before.side + _SLOW_WEIGHT * (after.side - before.side)

    def interpolate(old: float, new: float) -> float:
        return float(old + weight * (new - old))

    x = interpolate(before.left + before.side / 2, after.left + after.side / 2)
    y = interpolate(before.top + before.side / 2, after.top + after.side / 2)
    angle = before.angle + _SLOW_WEIGHT * (after.angle - before.angle)
    return replace(after, left=x - side / 2, top=y - side / 2, side=side, angle=angle)


def _remove_duplicates(tracks: Sequence[Track]) -> list[Track]:
    """Keep the first track of each group with an IoU of 0.4 or more."""
    unique: list[Track] = []
    for track in tracks:
        if all(iou(track.face, other.face) < 0.4 for other in unique):
            unique.append(track)
    return unique
