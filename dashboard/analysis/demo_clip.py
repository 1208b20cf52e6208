"""The demonstration clip of the Webcam page, drawn frame by frame: nothing is downloaded.

On the left, the camera pans and zooms over the example portrait. On the right, a drawn face changes
its expression every three seconds.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dashboard.analysis import example_photos
from fercore.data.datasets import synthetic

Frame = NDArray[np.uint8]
HEIGHT, WIDTH = 480, 640
FRAME_RATE = 15
EXPRESSIONS = ("happy", "neutral", "surprise", "sad")
SECONDS_PER_EXPRESSION = 3.0
DURATION = SECONDS_PER_EXPRESSION * len(EXPRESSIONS)
_FADE = 0.4  # seconds in which one expression becomes the next
# The seed draws one person with all four expressions, which the Haar cascade finds.
_SEED = 159
# Centre of the face in the portrait, and where it is in the frame, in pixels.
_PORTRAIT_FACE, _PORTRAIT_PLACE = (222, 116), (190, 160)
_PANEL_LEFT, _PANEL_COLOR = 390, 225
_FACE_SIDE, _FACE_PLACE = 150, (440, 150)


def draw_frame(seconds: float) -> Frame:
    """Draw the frame at a time; the clip repeats after `DURATION` seconds.

    Returns:
        `(480, 640, 3)` uint8, blue, green, red.
    """
    import cv2

    turn = 2 * math.pi * seconds / DURATION
    scale = 1.25 + 0.2 * math.sin(turn)
    x = _PORTRAIT_PLACE[0] + 30 * math.sin(2 * turn) - scale * _PORTRAIT_FACE[0]
    y = _PORTRAIT_PLACE[1] + 10 * math.cos(turn) - scale * _PORTRAIT_FACE[1]
    move = np.array([[scale, 0, x], [0, scale, y]], np.float32)
    border = cv2.BORDER_REPLICATE
    frame = cv2.warpAffine(_portrait(), move, (WIDTH, HEIGHT), borderMode=border)
    frame[:, _PANEL_LEFT:] = _PANEL_COLOR
    left, top = _FACE_PLACE[0], _FACE_PLACE[1] + round(25 * math.sin(turn))
    frame[top : top + _FACE_SIDE, left : left + _FACE_SIDE] = _drawn_face(seconds)[..., None]
    return np.asarray(frame, np.uint8)


def _drawn_face(seconds: float) -> Frame:
    place, within = divmod(seconds % DURATION, SECONDS_PER_EXPRESSION)
    faces, number = _faces(), int(place) % len(EXPRESSIONS)
    weight = min(1.0, within / _FADE)
    before = faces[number - 1].astype(np.float32)
    return np.asarray(before + weight * (faces[number] - before), np.uint8)


@cache
def _portrait() -> Frame:
    import cv2

    content = np.frombuffer(example_photos.read_portrait(), np.uint8)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


@cache
def _faces() -> tuple[Frame, ...]:
    import cv2

    size = (_FACE_SIDE, _FACE_SIDE)
    faces = [synthetic.draw_face(name, np.random.default_rng(_SEED)) for name in EXPRESSIONS]
    return tuple(
        np.asarray(cv2.resize(face, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        for face in faces
    )
