"""How long a frame takes from the camera to the drawn answer."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore import machine
from fercore.data import registry
from fercore.errors import UserError
from fercore.faces.detection import DetectorKind, FaceDetector, HaarDetector, load_detector
from fercore.inference.media.video import frames as film_frames
from fercore.inference.predictor import RunClassifier
from fercore.inference.video_pipeline import LivePipeline

Frame = NDArray[np.uint8]
SIZE = (480, 640)
_RATE = 30.0
_WARM_UP = 20
_FACE = 210
_SOURCES = ("lfw_emotion", "fer2013", "ckplus")


@dataclass(frozen=True)
class LiveTimes:
    """Milliseconds of each frame: find, cut, ask, draw.

    Attributes:
        p50: median.
        p95: 95th percentile.
        most: of a single frame.
        shown: fraction of the frames with an answer.
        extra: fraction of the frames with more than one face.
    """

    p50: float
    p95: float
    most: float
    shown: float
    extra: float


def live_times(
    networks: Sequence[RunClassifier], kind: DetectorKind, frames: Sequence[Frame]
) -> LiveTimes:
    """Send frames through the pipeline of the Live page, as fast as it goes.

    Args:
        networks: asked in turn.
        kind: of the finder.
        frames: `(height, width, 3)` uint8, blue, green, red, of a film at 30 frames a second.
    """
    finder: FaceDetector = HaarDetector(scale=1.2) if kind == "haar" else load_detector(kind)
    pipeline = LivePipeline(networks, finder)
    numbers = itertools.count()

    def process(frame: Frame) -> int:
        found = pipeline.process(frame, next(numbers) / _RATE)
        pipeline.draw(frame, found)
        return len(found)

    return _timed(process, frames)


def fer_times(frames: Sequence[Frame]) -> LiveTimes | None:
    """The same frames through the package `fer` of PyPI; `None` where it is not installed."""
    try:
        from fer.fer import FER
    except ImportError:
        return None
    detector = FER()
    return _timed(lambda frame: len(detector.detect_emotions(frame)), frames)


def scenes(root: Path, count: int) -> tuple[str, list[Frame]]:
    """A face of an installed dataset, moving before a wall; the dataset's name and the frames.

    Raises:
        UserError: if no dataset of real faces is installed.
    """
    import cv2

    name = next((name for name in _SOURCES if registry.dataset_status(name, root).installed), None)
    if name is None:
        raise UserError(
            "no dataset of real faces is installed to make frames of; name a film with --film, or "
            "add one: fercore data add fer2013 PATH"
        )
    splits = registry.load_dataset(name, root)
    face = _findable(next(iter(splits.parts.values())).images)
    rng = np.random.default_rng(0)
    rows = np.linspace(150, 90, SIZE[0])[:, None] + np.linspace(0, 30, SIZE[1])[None]
    made = []
    for number in range(count):
        turn = 2 * np.pi * number / 120
        side = round(_FACE * (1 + 0.15 * np.sin(turn / 2)))
        left = round((SIZE[1] - side) / 2 + 120 * np.sin(turn))
        top = round((SIZE[0] - side) / 2 + 50 * np.cos(turn))
        scene = rows.copy()
        scene[top : top + side, left : left + side] = cv2.resize(face, (side, side))
        noisy = scene + rng.normal(0, 3, SIZE)
        grey = np.clip(noisy, 0, 255).astype(np.uint8)
        made.append(np.repeat(grey[..., None], 3, axis=2))
    return name, made


def film(path: Path, count: int) -> list[Frame]:
    """The first frames of a film, 640 pixels wide and 480 high.

    Raises:
        UserError: if it cannot be read.
    """
    import cv2

    found = [image for _, image in itertools.islice(film_frames(path), count)]
    if not found:
        raise UserError(f"{path.name} holds no frame")
    return [np.asarray(cv2.resize(image, SIZE[::-1]), np.uint8) for image in found]


def where() -> str:
    """The machine, in words."""
    return f"{machine.cpu_name()}, {machine.count_cores()} cores"


def _findable(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The first of them in which the cascade sees the face."""
    import cv2

    finder = HaarDetector()
    for image in images[:200]:
        wide = cv2.copyMakeBorder(
            cv2.resize(image, (_FACE, _FACE)), 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=120
        )
        if len(finder.find(np.asarray(wide, np.uint8))) == 1:
            return np.asarray(image)
    return np.asarray(images[0])


def _timed(process: Callable[[Frame], int], frames: Sequence[Frame]) -> LiveTimes:
    for frame in frames[:_WARM_UP]:
        process(frame.copy())
    times, faces = [], []
    for frame in frames:
        copy = frame.copy()
        began = time.perf_counter()
        faces.append(process(copy))
        times.append(time.perf_counter() - began)
    spent, counts = 1e3 * np.array(times), np.array(faces)
    return LiveTimes(
        p50=float(np.median(spent)),
        p95=float(np.quantile(spent, 0.95)),
        most=float(spent.max()),
        shown=float((counts > 0).mean()),
        extra=float((counts > 1).mean()),
    )
