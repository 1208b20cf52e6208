"""Latency of the video pipeline, from the camera's frame to the frame with boxes and labels."""

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
from fercore.inference.media.video import read_frames
from fercore.inference.predictor import RunClassifier
from fercore.inference.video_pipeline import LivePipeline

Frame = NDArray[np.uint8]
# Height and width of the frames in pixels.
SIZE = (480, 640)
_FRAMES_PER_SECOND = 30.0
_WARM_UP_FRAMES = 20
# Side of the face in synthetic frames, in pixels.
_FACE_SIDE = 210
# Datasets of real faces to make frames of, the first that is installed.
_DATASETS = ("lfw_emotion", "fer2013", "ckplus")


@dataclass(frozen=True)
class LiveTimes:
    """Milliseconds per frame for detection, cropping, classification and drawing.

    Attributes:
        p50: median.
        p95: 95th percentile.
        most: maximum.
        shown: fraction of the frames with a prediction.
        extra: fraction of the frames with more than one face.
    """

    p50: float
    p95: float
    most: float
    shown: float
    extra: float


def time_pipeline(
    networks: Sequence[RunClassifier], kind: DetectorKind, frames: Sequence[Frame]
) -> LiveTimes:
    """Time the pipeline of the Live page on frames that follow one another without a pause.

    Args:
        networks: to classify each face with.
        kind: of the detector.
        frames: `(height, width, 3)` uint8, blue, green, red, as of a video at 30 frames per second.
    """
    detector: FaceDetector = HaarDetector(scale=1.2) if kind == "haar" else load_detector(kind)
    pipeline = LivePipeline(networks, detector)
    numbers = itertools.count()

    def process(frame: Frame) -> int:
        faces = pipeline.process(frame, next(numbers) / _FRAMES_PER_SECOND)
        pipeline.draw(frame, faces)
        return len(faces)

    return _time_frames(process, frames)


def time_fer_package(frames: Sequence[Frame]) -> LiveTimes | None:
    """Time the package `fer` of PyPI on the same frames; return `None` if it is not installed."""
    try:
        from fer.fer import FER
    except ImportError:
        return None
    detector = FER()
    return _time_frames(lambda frame: len(detector.detect_emotions(frame)), frames)


def make_frames(root: Path, count: int) -> tuple[str, list[Frame]]:
    """Make frames of a dataset's face that moves in front of a plain wall.

    Args:
        root: data root.
        count: of frames.

    Returns:
        The dataset's name and the frames, `(480, 640, 3)` uint8.

    Raises:
        UserError: if no dataset of real faces is installed.
    """
    import cv2

    installed = (name for name in _DATASETS if registry.dataset_status(name, root).installed)
    name = next(installed, None)
    if name is None:
        raise UserError(
            "no dataset of real faces is installed to make frames of; pass a video with --film, or "
            "add a dataset: fercore data add fer2013 PATH"
        )
    splits = registry.load_dataset(name, root)
    face = _first_detectable(next(iter(splits.parts.values())).images)
    rng = np.random.default_rng(0)
    wall = np.linspace(150, 90, SIZE[0])[:, None] + np.linspace(0, 30, SIZE[1])[None]
    frames = []
    for number in range(count):
        turn = 2 * np.pi * number / 120
        side = round(_FACE_SIDE * (1 + 0.15 * np.sin(turn / 2)))
        left = round((SIZE[1] - side) / 2 + 120 * np.sin(turn))
        top = round((SIZE[0] - side) / 2 + 50 * np.cos(turn))
        scene = wall.copy()
        scene[top : top + side, left : left + side] = cv2.resize(face, (side, side))
        noisy = scene + rng.normal(0, 3, SIZE)
        grey = np.clip(noisy, 0, 255).astype(np.uint8)
        frames.append(np.repeat(grey[..., None], 3, axis=2))
    return name, frames


def read_video(path: Path, count: int) -> list[Frame]:
    """Read the first frames of a video, scaled to 640x480 pixels.

    Args:
        path: of the video.
        count: maximum number of frames.

    Raises:
        UserError: if the video cannot be read or has no frame.
    """
    import cv2

    frames = [image for _, image in itertools.islice(read_frames(path), count)]
    if not frames:
        raise UserError(f"{path.name} holds no frame")
    return [np.asarray(cv2.resize(image, SIZE[::-1]), np.uint8) for image in frames]


def describe_machine() -> str:
    """Return the processor's name and the number of cores."""
    return f"{machine.cpu_name()}, {machine.count_cores()} cores"


def _first_detectable(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the first of 200 images in which the Haar cascade detects the face, or the first."""
    import cv2

    detector = HaarDetector()
    for image in images[:200]:
        large = cv2.resize(image, (_FACE_SIDE, _FACE_SIDE))
        wide = cv2.copyMakeBorder(large, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=120)
        if len(detector.detect(np.asarray(wide, np.uint8))) == 1:
            return np.asarray(image)
    return np.asarray(images[0])


def _time_frames(process: Callable[[Frame], int], frames: Sequence[Frame]) -> LiveTimes:
    """Time a function that returns the number of faces in a frame."""
    for frame in frames[:_WARM_UP_FRAMES]:
        process(frame.copy())
    seconds, faces = [], []
    for frame in frames:
        copy = frame.copy()
        began = time.perf_counter()
        faces.append(process(copy))
        seconds.append(time.perf_counter() - began)
    milliseconds, counts = 1e3 * np.array(seconds), np.array(faces)
    return LiveTimes(
        p50=float(np.median(milliseconds)),
        p95=float(np.quantile(milliseconds, 0.95)),
        most=float(milliseconds.max()),
        shown=float((counts > 0).mean()),
        extra=float((counts > 1).mean()),
    )
