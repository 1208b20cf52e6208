"""Draw boxes and labels of faces on images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fercore.faces.geometry import Face

# Blue, green, red; one per network. Legible on skin and on dark backgrounds.
COLORS = ((176, 132, 11), (40, 110, 225), (90, 150, 40), (190, 80, 150))
_WHITE = (255, 255, 255)


def draw_face(image: NDArray[np.uint8], face: Face, labels: Sequence[str]) -> None:
    """Draw a face's square and its labels, in place.

    The labels stand below the square, or in its lower part where the image ends.

    Args:
        image: `(height, width, 3)` uint8, blue, green, red.
        face: in pixels of the image.
        labels: one per network, each on its own row. Characters that are not ASCII are drawn as
            question marks.
    """
    import cv2

    left, top, right, bottom = face.box
    height, width = image.shape[:2]
    scale = max(0.45, min(height, width) / 1000)
    thickness = max(1, round(scale * 2))
    if face.angle:
        centre = (face.left + face.side / 2, face.top + face.side / 2)
        corners = cv2.boxPoints((centre, (face.side, face.side), float(np.degrees(face.angle))))
        cv2.polylines(image, [np.rint(corners).astype(np.int32)], True, COLORS[0], thickness)
    else:
        cv2.rectangle(image, (left, top), (right, bottom), COLORS[0], thickness, cv2.LINE_AA)
    row_height = round(30 * scale)
    labels_top = max(0, min(bottom + 4, height - row_height * len(labels)))
    font = cv2.FONT_HERSHEY_SIMPLEX
    for row, label in enumerate(labels):
        text = label.encode("ascii", "replace").decode()
        (text_width, _), _ = cv2.getTextSize(text, font, scale, thickness)
        x = max(0, min(left, width - text_width - 8))
        y = labels_top + row * row_height
        color = COLORS[row % len(COLORS)]
        cv2.rectangle(image, (x, y), (x + text_width + 8, y + row_height), color, -1)
        origin = (x + 4, y + round(22 * scale))
        cv2.putText(image, text, origin, font, scale, _WHITE, thickness, cv2.LINE_AA)
