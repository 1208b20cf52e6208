"""Crop faces as the training sets frame them."""

import numpy as np

from fercore.faces.geometry import Face, Image


def crop_face(grey: Image, face: Face, size: int, margin: float = 0.0) -> Image:
    """A face as a training image: turned upright, scaled, what lies outside as the last pixels.

    Args:
        grey: `(height, width)` uint8.
        face: in its pixels.
        size: of the result's sides.
        margin: fraction of the face's side that is added on each of its sides.

    Returns:
        `(size, size)` uint8. A face that fills an image of that size is returned as it is.
    """
    import cv2

    side = max(face.side * (1 + 2 * margin), 1.0)
    # Where the image is larger, several of its pixels make one: those are averaged below.
    fine = size * max(1, round(side / size))
    step = side / fine
    across, down = step * np.cos(face.angle), step * np.sin(face.angle)
    centre = np.array([face.left, face.top]) + face.side / 2 - 0.5
    half = (fine - 1) / 2
    back = np.array(
        [
            [across, -down, centre[0] - half * across + half * down],
            [down, across, centre[1] - half * down - half * across],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(grey, back, (fine, fine), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if fine != size:
        moved = cv2.resize(moved, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(moved, np.uint8)


def to_grey(image: Image) -> Image:
    """Grey levels by ITU-R BT.601, as the datasets have them."""
    import cv2

    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
