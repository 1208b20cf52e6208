"""The `Face` class (bounding square, rotation, landmarks), alignment by landmarks, and IoU."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
# Positions of the eyes, the nose and the mouth corners in a training image, as fractions of its
# sides; of a pair, the one on the viewer's left is first. These are the medians over the three
# datasets, which differ by 1% at most.
REFERENCE = np.array(
    [[0.317, 0.395], [0.680, 0.394], [0.493, 0.611], [0.352, 0.770], [0.653, 0.767]]
)


@dataclass(frozen=True)
class Face:
    """One face in an image.

    Attributes:
        left: of the bounding square that a training set would crop, before rotation, in pixels.
        top: likewise.
        side: of the square in pixels.
        angle: clockwise rotation of the face in radians; 0 if the detector returns no landmarks.
        score: confidence of the detector. Scores of different detectors are not comparable.
        landmarks: `(5, 2)` float32, x and y in pixels: eyes, nose, mouth corners; of a pair, the
            one on the viewer's left is first. `None` if the detector returns no landmarks.
    """

    left: float
    top: float
    side: float
    angle: float = 0.0
    score: float = 0.0
    landmarks: NDArray[np.float32] | None = None

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the square, rounded to integer pixels."""
        left, top, side = round(self.left), round(self.top), round(self.side)
        return left, top, left + side, top + side

    def transform(self, x: float, y: float, scale: float = 1.0) -> "Face":
        """Return the face scaled, then shifted.

        This maps a face from a reduced or cropped image to the image that it was taken from.

        Args:
            x: shift to the right, in pixels of the target image.
            y: shift downwards, likewise.
            scale: pixels of the target image for each pixel of this one.
        """
        landmarks = self.landmarks
        if landmarks is not None:
            landmarks = landmarks * np.float32(scale) + np.array([x, y], np.float32)
        return Face(
            self.left * scale + x,
            self.top * scale + y,
            self.side * scale,
            self.angle,
            self.score,
            landmarks,
        )


def sort_in_reading_order(faces: Sequence[Face]) -> list[Face]:
    """Sort faces row by row, and from left to right in each row.

    A row begins with its highest face; faces belong to it while their centres lie less than half
    that face's side below its centre.
    """
    rows: list[list[Face]] = []
    for face in sorted(faces, key=lambda face: face.top + face.side / 2):
        first = rows[-1][0] if rows else None
        if first and face.top + face.side / 2 - first.top - first.side / 2 < first.side / 2:
            rows[-1].append(face)
        else:
            rows.append([face])
    return [face for row in rows for face in sorted(row, key=lambda face: face.left)]


def full_image_face(image: Image) -> Face:
    """Return the largest centred square of an image as a face.

    For images that are face crops already, such as those of the datasets.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    return Face((width - side) / 2, (height - side) / 2, float(side))


def face_from_landmarks(landmarks: NDArray[Any], score: float = 0.0) -> Face:
    """Return the face whose square aligns its landmarks with those of the training images.

    The alignment is the similarity transform from `REFERENCE` with the smallest squared error.

    Args:
        landmarks: `(5, 2)` x and y in pixels, in the order of `Face.landmarks`.
        score: of the detector.
    """
    points = np.asarray(landmarks, np.float32)
    # As complex numbers, a similarity transform is z = turn * reference + shift.
    reference = REFERENCE[:, 0] + 1j * REFERENCE[:, 1]
    target = points[:, 0].astype(float) + 1j * points[:, 1]
    centred = reference - reference.mean()
    turn = (centred.conj() * (target - target.mean())).sum() / (abs(centred) ** 2).sum()
    centre = target.mean() + turn * (0.5 + 0.5j - reference.mean())
    side = abs(turn)
    return Face(
        float(centre.real - side / 2),
        float(centre.imag - side / 2),
        float(side),
        float(np.angle(turn)),
        score,
        points,
    )


def iou(one: Face, other: Face) -> float:
    """Return the intersection over union of two faces' squares, in [0, 1]; rotation is ignored."""
    width = min(one.left + one.side, other.left + other.side) - max(one.left, other.left)
    height = min(one.top + one.side, other.top + other.side) - max(one.top, other.top)
    intersection = max(width, 0.0) * max(height, 0.0)
    return intersection / (one.side**2 + other.side**2 - intersection)
