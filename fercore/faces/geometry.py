"""Bounding boxes and landmarks of faces."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
# Where a training image has eyes, nose and mouth corners (those on the viewer's left first), as
# fractions of its sides: the medians of the three sets, which differ by 1% at most.
REFERENCE = np.array(
    [[0.317, 0.395], [0.680, 0.394], [0.493, 0.611], [0.352, 0.770], [0.653, 0.767]]
)


@dataclass(frozen=True)
class Face:
    """One face in an image.

    Attributes:
        left: pixels, of the square that a training set would cut out, before it is turned.
        top: pixels.
        side: pixels.
        angle: radians by which the face is turned clockwise, 0 where the finder tells no landmarks.
        score: how sure the finder is, for ranking its own faces alone.
        landmarks: `(5, 2)` float32 x and y in pixels: eyes, nose, mouth corners, those on the
            viewer's left first; `None` where the finder tells none.
    """

    left: float
    top: float
    side: float
    angle: float = 0.0
    score: float = 0.0
    landmarks: NDArray[np.float32] | None = None

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in whole pixels."""
        left, top, side = round(self.left), round(self.top), round(self.side)
        return left, top, left + side, top + side

    def moved(self, x: float, y: float, scale: float = 1.0) -> "Face":
        """The face in an image of which this one's is a part: scaled, then shifted."""
        shift = np.array([x, y], np.float32)
        marks = None if self.landmarks is None else self.landmarks * np.float32(scale) + shift
        return Face(
            self.left * scale + x,
            self.top * scale + y,
            self.side * scale,
            self.angle,
            self.score,
            marks,
        )


def in_reading_order(found: Sequence[Face]) -> list[Face]:
    """Faces row by row, each row from the left; a row is as deep as half its first face."""
    rows: list[list[Face]] = []
    for face in sorted(found, key=lambda face: face.top + face.side / 2):
        first = rows[-1][0] if rows else None
        if first and face.top + face.side / 2 - first.top - first.side / 2 < first.side / 2:
            rows[-1].append(face)
        else:
            rows.append([face])
    return [face for row in rows for face in sorted(row, key=lambda face: face.left)]


def full_image_face(image: Image) -> Face:
    """The image itself as a face, as the training sets have it: its largest centred square."""
    height, width = image.shape[:2]
    side = min(height, width)
    return Face((width - side) / 2, (height - side) / 2, float(side))


def face_from_landmarks(landmarks: NDArray[Any], score: float = 0.0) -> Face:
    """The face whose five landmarks lie best, by least squares, where a training image has them.

    Args:
        landmarks: `(5, 2)` x and y in pixels, in the order of `Face.landmarks`.
        score: of the finder.
    """
    marks = np.asarray(landmarks, np.float32)
    # In complex numbers a similarity is one line: z = turn * reference + shift.
    reference = REFERENCE[:, 0] + 1j * REFERENCE[:, 1]
    points = marks[:, 0].astype(float) + 1j * marks[:, 1]
    centred = reference - reference.mean()
    turn = (centred.conj() * (points - points.mean())).sum() / (abs(centred) ** 2).sum()
    centre = points.mean() + turn * (0.5 + 0.5j - reference.mean())
    side = abs(turn)
    return Face(
        float(centre.real - side / 2),
        float(centre.imag - side / 2),
        float(side),
        float(np.angle(turn)),
        score,
        marks,
    )


def iou(one: Face, other: Face) -> float:
    """Intersection over union of two faces' squares."""
    width = min(one.left + one.side, other.left + other.side) - max(one.left, other.left)
    height = min(one.top + one.side, other.top + other.side) - max(one.top, other.top)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (one.side**2 + other.side**2 - shared)
