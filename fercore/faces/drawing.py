"""Boxes and labels on images, for annotated copies and for video."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fercore.faces.geometry import Face

# Blue, green, red; one for each network, readable on skin and on dark.
COLORS = ((176, 132, 11), (40, 110, 225), (90, 150, 40), (190, 80, 150))
_WHITE = (255, 255, 255)


def draw_face(image: NDArray[np.uint8], face: Face, lines: Sequence[str]) -> None:
    """Draw a face's square, and one line of text for each network below or above it, in place.

    Args:
        image: `(height, width, 3)` uint8, blue, green, red.
        face: in its pixels.
        lines: one for each network; what is not ASCII becomes a question mark.
    """
    import cv2

    left, top, right, bottom = face.box
    height, width = image.shape[:2]
    size = max(0.45, min(height, width) / 1000)
    thick = max(1, round(size * 2))
    if face.angle:
        centre = (face.left + face.side / 2, face.top + face.side / 2)
        corners = cv2.boxPoints((centre, (face.side, face.side), float(np.degrees(face.angle))))
        cv2.polylines(image, [np.rint(corners).astype(np.int32)], True, COLORS[0], thick)
    else:
        cv2.rectangle(image, (left, top), (right, bottom), COLORS[0], thick, cv2.LINE_AA)
    step = round(30 * size)
    # Below the square, or in its lower part where the image ends.
    at = min(bottom + 4, height - step * len(lines))
    for number, line in enumerate(lines):
        text = line.encode("ascii", "replace").decode()
        (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
        x = max(0, min(left, width - wide - 8))
        y = max(0, at) + number * step
        color = COLORS[number % len(COLORS)]
        cv2.rectangle(image, (x, y), (x + wide + 8, y + step), color, -1)
        place = (x + 4, y + round(22 * size))
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, _WHITE, thick, cv2.LINE_AA)
