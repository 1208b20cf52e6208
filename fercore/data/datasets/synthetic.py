"""Synthetic faces: seven expressions at 48x48, drawn by code, for a first try and for tests.

Each face consists of simple shapes: head, hair, brows, eyes, nose and mouth. Their positions depend
on the expression and on random variation. Tilt, size, light, skin, glasses, beard and noise are
independent of the expression. A linear model reaches an accuracy of up to two thirds, a small
network five sixths. A result on these images does not carry over to real faces.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.data import labels
from fercore.data.reports import DatasetStatus
from fercore.data.splits import Split, Splits, fingerprint

NAME = "synthetic"
CLASS_NAMES = labels.FER2013
TITLES = {"train": "Training", "validation": "Validation", "test": "Test"}
SIZES = {"train": 2100, "validation": 700, "test": 700}

# Fraction of each class, in the order of the names: disgust is rarest and happy most frequent, as
# in FER2013, but with a smaller imbalance.
SHARES = (0.14, 0.08, 0.13, 0.21, 0.15, 0.13, 0.16)

_SEED = 20130417
_CANVAS = 192  # four times the image size; averaging down smooths the edges of integer strokes
_SIDE = 48


@dataclass(frozen=True)
class _Expression:
    """Positions of the parts of a face, in hundredths of the head's half-width.

    Attributes:
        brow: how far the brows are raised.
        brow_slant: how much higher the inner end of a brow is than the outer.
        eye: opening of the eyes.
        corner: how far the corners of the mouth are raised.
        mouth: half the opening of the mouth.
        width: half the width of the mouth.
        wrinkle: depth of the folds beside the nose.
    """

    brow: float
    brow_slant: float
    eye: float
    corner: float
    mouth: float
    width: float
    wrinkle: float = 0.0


_NEUTRAL = _Expression(brow=0, brow_slant=0, eye=11, corner=0, mouth=2, width=30)
_EXPRESSIONS = {
    "angry": _Expression(brow=-9, brow_slant=-13, eye=8, corner=-7, mouth=3, width=27),
    "disgust": _Expression(brow=-6, brow_slant=-6, eye=6, corner=-5, mouth=8, width=24, wrinkle=16),
    "fear": _Expression(brow=9, brow_slant=9, eye=16, corner=-6, mouth=9, width=33),
    "happy": _Expression(brow=2, brow_slant=0, eye=8, corner=15, mouth=6, width=38),
    "sad": _Expression(brow=1, brow_slant=12, eye=8, corner=-14, mouth=2, width=27),
    "surprise": _Expression(brow=14, brow_slant=1, eye=17, corner=0, mouth=17, width=19),
    "neutral": _NEUTRAL,
}


def load(root: Path) -> Splits:
    """Draw the faces, once per process; the same on every machine. `root` is not read."""
    return _draw_all()


def status(root: Path) -> DatasetStatus:
    """Return the status of the dataset; it is always installed."""
    splits = _draw_all()
    counts = {
        role: dict(
            zip(CLASS_NAMES, np.bincount(splits[role].labels, minlength=7).tolist(), strict=True)
        )
        for role in splits
    }
    return DatasetStatus(
        NAME,
        installed=True,
        synthetic=True,
        counts=counts,
        fingerprint=splits.fingerprint,
        remark="drawn by code",
    )


@cache
def _draw_all() -> Splits:
    parts = {}
    for number, (role, n) in enumerate(SIZES.items()):
        rng = np.random.default_rng([_SEED, number])
        label = rng.permutation(np.repeat(np.arange(7), _class_sizes(n))).astype(np.uint8)
        images = np.stack([draw_face(CLASS_NAMES[k], rng) for k in label])
        ids = np.array([f"{NAME}-{role}-{position:05d}" for position in range(n)])
        for array in (images, label, ids):
            array.flags.writeable = False  # the cached arrays are shared by all callers
        parts[role] = Split(images, label, ids)
    return Splits(NAME, CLASS_NAMES, parts, TITLES, fingerprint(parts), synthetic=True)


def _class_sizes(n: int) -> list[int]:
    sizes = [round(share * n) for share in SHARES]
    sizes[-1] += n - sum(sizes)
    return sizes


def _vary_expression(expression: str, rng: np.random.Generator) -> dict[str, float]:
    """Return the positions of an expression of random intensity, with noise on every part."""
    intensity = rng.uniform(0.55, 1.25)
    full = vars(_EXPRESSIONS[expression])
    return {
        part: rest + intensity * (full[part] - rest) + rng.normal(0, 2.2)
        for part, rest in vars(_NEUTRAL).items()
    }


class _Pen:
    """Draws in the coordinates of the face: the centre is 0, the head's half-width 100."""

    def __init__(self, canvas: NDArray[np.uint8], rng: np.random.Generator):
        import cv2

        self._cv2 = cv2
        self.canvas = canvas
        self.scale = _CANVAS * rng.uniform(0.385, 0.42) / 100
        self.angle = rng.normal(0, 4)
        tilt = np.radians(self.angle)
        self._rotation = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        self._centre = _CANVAS / 2 + rng.normal(0, 2.5, 2)

    def _to_pixels(self, points: Any) -> NDArray[np.int32]:
        pixels = np.asarray(points, float) @ self._rotation.T * self.scale + self._centre
        return np.asarray(np.rint(pixels), np.int32)

    def ellipse(self, x: float, y: float, a: float, b: float, grey: int, line: int = -1) -> None:
        """Draw a filled ellipse with half-axes a and b, or its outline if `line` is its width."""
        centre = self._to_pixels([[x, y]])[0]
        axes = [max(1, round(half * self.scale)) for half in (a, b)]
        self._cv2.ellipse(
            self.canvas,
            (int(centre[0]), int(centre[1])),
            (axes[0], axes[1]),
            round(self.angle),
            0,
            360,
            grey,
            line if line < 0 else self._width(line),
        )

    def stroke(self, points: Any, grey: int, width: float) -> None:
        """Draw a line through points."""
        pixels = self._to_pixels(points).reshape(-1, 1, 2)
        self._cv2.polylines(self.canvas, [pixels], False, grey, self._width(width))

    def fill(self, points: Any, grey: int) -> None:
        """Draw a filled polygon."""
        self._cv2.fillPoly(self.canvas, [self._to_pixels(points).reshape(-1, 1, 2)], grey)

    def _width(self, width: float) -> int:
        return max(1, round(width * self.scale))


def draw_face(expression: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one face.

    Args:
        expression: one of `CLASS_NAMES`.
        rng: source of every variation; the same state draws the same face.

    Returns:
        `(48, 48)` uint8.
    """
    import cv2

    part = _vary_expression(expression, rng)
    skin, ground = int(rng.integers(95, 220)), int(rng.integers(20, 235))
    dark, hair = int(skin * rng.uniform(0.2, 0.45)), int(rng.integers(15, 110))
    canvas = np.full((_CANVAS, _CANVAS), ground, np.uint8)
    pen = _Pen(canvas, rng)
    tall = rng.uniform(120, 138)
    if rng.random() < 0.35:  # long hair
        pen.ellipse(0, 10, 122, tall + 12, hair)
    pen.ellipse(0, 0, 100, tall, skin)
    fringe = rng.uniform(-112, -72)
    pen.fill([[-98, -52], [-84, -tall], [0, -tall - 16], [84, -tall], [98, -52], [0, fringe]], hair)
    if rng.random() < 0.2:  # beard
        pen.ellipse(0, 88, 66, 44, (skin + hair) // 2)

    _draw_eyes(pen, part, skin, dark, hair, rng)
    pen.stroke([[-3, -8], [rng.uniform(-16, -9), 32], [8, 34]], (skin + dark) // 2, 6)
    if part["wrinkle"] > 3:
        for side in (-1, 1):
            fold = part["wrinkle"]
            pen.stroke([[side * 16, 8], [side * (24 + fold), 26 + fold]], dark, fold / 3)
            pen.stroke([[side * 6, -22], [side * 10, -8]], dark, fold / 4)
    _draw_mouth(pen, part, skin, dark, rng)
    if rng.random() < 0.18:  # glasses
        for side in (-1, 1):
            pen.ellipse(side * 42, -28, 31, 24, dark // 2, line=6)
        pen.stroke([[-11, -30], [11, -30]], dark // 2, 6)
    return _add_camera_effects(
        cv2.resize(canvas, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), rng
    )


def _draw_eyes(
    pen: _Pen, part: dict[str, float], skin: int, dark: int, hair: int, rng: np.random.Generator
) -> None:
    gaze = rng.normal(0, 4)
    for side in (-1, 1):
        opening = max(part["eye"] + rng.normal(0, 1), 2)
        pen.ellipse(side * 42, -28, 23, opening, min(skin + 60, 250))
        pen.ellipse(side * 42 + gaze, -28, min(opening, 11), min(opening, 11), dark // 2)
        pen.stroke([[side * 64, -28], [side * 42, -28 - opening], [side * 20, -28]], dark, 5)
        height = -54 - part["brow"]
        slant = part["brow_slant"]
        brow = [[side * 70, height + 4], [side * 44, height - 5], [side * 18, height - slant]]
        pen.stroke(brow, hair // 2 + dark // 2, 10)


def _draw_mouth(
    pen: _Pen, part: dict[str, float], skin: int, dark: int, rng: np.random.Generator
) -> None:
    across = np.linspace(-1, 1, 15)
    width, opening = max(part["width"], 10), max(part["mouth"], 1)
    line = 76 + rng.normal(0, 3) - part["corner"] * (across**2 - 0.4)
    bow = opening * np.sqrt(1 - across**2)
    upper = np.stack([across * width, line - bow], axis=1)
    lower = np.stack([across * width, line + bow], axis=1)
    pen.fill(np.concatenate([upper, lower[::-1]]), dark // 2)
    if opening > 4 and rng.random() < 0.6:  # teeth
        inner = np.stack([across * width * 0.8, line - bow * 0.4], axis=1)
        pen.fill(np.concatenate([upper * [0.8, 1], inner[::-1]]), min(skin + 50, 245))
    pen.stroke(upper, dark, 4)
    pen.stroke(lower, dark, 5)


def _add_camera_effects(face: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add uneven light and noise, and at random a blur or an occlusion."""
    import cv2

    if rng.random() < 0.3:
        face = cv2.GaussianBlur(face, (3, 3), 0)
    ramp = np.linspace(-1, 1, _SIDE)
    slope = rng.normal(0, 0.15, 2)
    light = rng.uniform(0.7, 1.2) * (1 + slope[0] * ramp[:, None] + slope[1] * ramp[None, :])
    lit = face * light + rng.normal(0, rng.uniform(2, 10), (_SIDE, _SIDE))
    if rng.random() < 0.1:
        top, left = rng.integers(0, _SIDE - 12, 2)
        lit[top : top + 12, left : left + 10] = rng.integers(0, 255)
    return np.asarray(np.clip(np.rint(lit), 0, 255), np.uint8)
