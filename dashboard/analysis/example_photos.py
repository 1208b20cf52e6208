"""Example photos for visitors without one: a portrait by NASA, and faces drawn by code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.data.datasets import synthetic

_FOLDER = Path(__file__).parents[1] / "assets" / "examples"
# The drawn faces, row by row: expression and seed. The seeds are chosen so that the Haar cascade
# finds every face; the picture demonstrates the page and measures nothing.
DRAWN_FACES = (
    (("happy", 132), ("sad", 108), ("surprise", 135), ("neutral", 180)),
    (("disgust", 201), ("fear", 289), ("angry", 103), ("happy", 43)),
)
_FACE_SIDE, _GAP, _PAPER = 144, 72, 225


@dataclass(frozen=True)
class ExamplePhoto:
    """A photo that comes with the dashboard.

    Attributes:
        title: short name.
        file_name: of the photo.
        caption: source and content, one line.
        read: returns the content of the image file.
    """

    title: str
    file_name: str
    caption: str
    read: Callable[[], bytes]


@cache
def draw_synthetic_faces() -> NDArray[np.uint8]:
    """Draw eight synthetic faces in two rows: `(504, 936, 3)` uint8, blue, green, red."""
    import cv2

    rows, columns = len(DRAWN_FACES), len(DRAWN_FACES[0])
    step = _FACE_SIDE + _GAP
    picture = np.full((rows * step + _GAP, columns * step + _GAP), _PAPER, np.uint8)
    for row, faces in enumerate(DRAWN_FACES):
        for column, (expression, seed) in enumerate(faces):
            number = synthetic.CLASS_NAMES.index(expression)
            face = synthetic.draw_face(expression, np.random.default_rng([seed, number]))
            top, left = _GAP + row * step, _GAP + column * step
            size = (_FACE_SIDE, _FACE_SIDE)
            picture[top : top + _FACE_SIDE, left : left + _FACE_SIDE] = cv2.resize(
                face, size, interpolation=cv2.INTER_CUBIC
            )
    colour = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)
    colour.flags.writeable = False  # shared by all callers
    return colour


@cache
def _synthetic_file() -> bytes:
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
    return cv2.imencode(".jpg", draw_synthetic_faces(), quality)[1].tobytes()


@cache
def read_portrait() -> bytes:
    """Return the JPEG file of the portrait, 512 x 512 pixels."""
    return (_FOLDER / "astronaut.jpg").read_bytes()


EXAMPLES: Mapping[str, ExamplePhoto] = {
    "astronaut": ExamplePhoto(
        "Portrait",
        "astronaut.jpg",
        "Eileen Collins, photographed by NASA (public domain).",
        read_portrait,
    ),
    "synthetic": ExamplePhoto(
        "Drawn faces",
        "drawn-faces.jpg",
        "Eight faces drawn by code, of seven expressions.",
        _synthetic_file,
    ),
}


@cache
def thumbnail(name: str) -> NDArray[np.uint8]:
    """Return an example at the size of a card: `(213, 320, 3)` uint8, blue, green, red.

    Of a photo that is higher than that, the upper part is shown, where the face is.

    Args:
        name: a key of `EXAMPLES`.
    """
    import cv2

    content = np.frombuffer(EXAMPLES[name].read(), np.uint8)
    image = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)
    height, width = image.shape[:2]
    if width > 1.5 * height:
        margin = round(width / 3 - height / 2)
        edge = (margin, margin, 0, 0)
        image = np.asarray(cv2.copyMakeBorder(image, *edge, cv2.BORDER_REPLICATE), np.uint8)
    part = image[: min(len(image), round(width / 1.5))]
    return np.asarray(cv2.resize(part, (320, 213), interpolation=cv2.INTER_AREA), np.uint8)
