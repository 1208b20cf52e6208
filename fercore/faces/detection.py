"""Face detectors: Haar cascade, YuNet and MTCNN.

FER2013, CK+ and LFW-emotion frame a face alike, measured on 600 images of each
(`tests/benchmarks/face_crops.py`): eyes at 39% of the height, 0.32 and 0.68 of the width, mouth
corners at 77%. That square is what OpenCV's frontal Haar cascade finds; finders that tell landmarks
are aligned to it.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from fercore.errors import UserError
from fercore.faces.cropping import to_grey
from fercore.faces.geometry import Face, Image, face_from_landmarks, in_reading_order, iou
from fercore.paths import data_root

DetectorKind = Literal["haar", "yunet", "mtcnn"]
DETECTOR_TITLES: dict[DetectorKind, str] = {
    "haar": "Haar cascade",
    "yunet": "YuNet",
    "mtcnn": "MTCNN",
}
YUNET_NAME = "face_detection_yunet_2023mar.onnx"
_YUNET_PATTERN = "face_detection_yunet*.onnx"


class FaceDetector(Protocol):
    """What finds faces. Safe to call from several threads, one at a time."""

    kind: DetectorKind

    def find(
        self, image: Image, smallest: float | None = None, largest: float | None = None
    ) -> list[Face]:
        """Faces in an image, the largest first.

        Args:
            image: `(height, width)` grey or `(height, width, 3)` blue, green, red; uint8.
            smallest: side in pixels below which faces are of no interest.
            largest: side above which they are not.
        """
        ...


class HaarDetector:
    """OpenCV's frontal-face Haar cascade (Viola & Jones, 2001), which comes with the package.

    Upright frontal faces of at least 24 pixels; no landmarks. What the five papers used.

    Args:
        scale: step between the sizes that are searched.
        neighbors: overlapping hits that make a face: more are surer and fewer.
        least: score of the last stage below which a hit is none. At 2.5 half of the false ones on
            photos without a face are gone, and 14 in a thousand faces of LFW
            (`tests/benchmarks/face_finders.py`).
    """

    kind: DetectorKind = "haar"

    def __init__(self, scale: float = 1.1, neighbors: int = 5, least: float = 2.5):
        import cv2

        self.scale, self.neighbors, self.least = scale, neighbors, least
        self._lock = threading.Lock()
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        self._cascade = cv2.CascadeClassifier(str(path))
        if self._cascade.empty():
            raise UserError(
                f"OpenCV {cv2.__version__} came without its Haar cascades; install "
                "opencv-python-headless 4.10 or later, below 5"
            )

    def find(
        self, image: Image, smallest: float | None = None, largest: float | None = None
    ) -> list[Face]:
        """See `FaceFinder.find`."""
        import cv2

        grey = to_grey(image)
        least = max(24, round(smallest or 0))
        most = round(largest) if largest else 0
        with self._lock:
            boxes, _, weights = self._cascade.detectMultiScale3(
                grey,
                self.scale,
                self.neighbors,
                cv2.CASCADE_SCALE_IMAGE,
                (least, least),
                (most, most),
                outputRejectLevels=True,
            )
        found = [
            Face(float(x), float(y), float(width), score=float(weight))
            for (x, y, width, _), weight in zip(boxes, np.ravel(weights), strict=True)
            if weight >= self.least
        ]
        return _non_max_suppression(found)


class YuNetDetector:
    """YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023), by OpenCV.

    Turned and partly covered faces too, with landmarks. The file is OpenCV's model zoo's,
    `face_detection_yunet_2023mar.onnx`, and not in the package.

    Args:
        model: that file.
        threshold: least score of a face, 0 to 1.

    Raises:
        UserError: if the file is no such network.
    """

    kind: DetectorKind = "yunet"

    def __init__(self, model: Path, threshold: float = 0.7):
        import cv2

        self._lock = threading.Lock()
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (320, 320), threshold)
            self._network.detect(np.zeros((320, 320, 3), np.uint8))
        except cv2.error:
            raise UserError(
                f"{model} cannot be loaded as YuNet; expected {YUNET_NAME} of OpenCV's model zoo"
            ) from None

    def find(
        self, image: Image, smallest: float | None = None, largest: float | None = None
    ) -> list[Face]:
        """See `FaceFinder.find`."""
        import cv2

        colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
        with self._lock:
            self._network.setInputSize((colour.shape[1], colour.shape[0]))
            rows: Any = self._network.detect(colour)[1]
        found = [
            face_from_landmarks(row[4:14].reshape(5, 2), float(row[14]))
            for row in ([] if rows is None else rows)
        ]
        return _non_max_suppression([face for face in found if _wanted(face, smallest, largest)])


class MtcnnDetector:
    """MTCNN (Zhang et al., 2016) of the package `mtcnn`, which carries its weights.

    Turned faces too, with landmarks; slow, and it loads TensorFlow. Installed by the extra
    `fercore[mtcnn]`.

    Args:
        threshold: least score of a face, 0 to 1.

    Raises:
        UserError: if the package is not installed.
    """

    kind: DetectorKind = "mtcnn"

    def __init__(self, threshold: float = 0.9):
        self._lock, self.threshold = threading.Lock(), threshold
        try:
            from mtcnn import MTCNN
        except ImportError:
            raise UserError(
                "the package mtcnn is not installed; pip install 'fercore[mtcnn]', or take another "
                "finder: haar"
            ) from None
        self._network = MTCNN(device="CPU:0")

    def find(
        self, image: Image, smallest: float | None = None, largest: float | None = None
    ) -> list[Face]:
        """See `FaceFinder.find`."""
        import cv2

        code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
        with self._lock:
            entries: list[dict[str, Any]] = self._network.detect_faces(cv2.cvtColor(image, code))
        names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
        found = [
            face_from_landmarks(
                np.array([entry["keypoints"][name] for name in names]), float(entry["confidence"])
            )
            for entry in entries or []
            if entry["confidence"] >= self.threshold
        ]
        return _non_max_suppression([face for face in found if _wanted(face, smallest, largest)])


def load_detector(kind: DetectorKind | Literal["auto"] = "auto") -> FaceDetector:
    """A finder; `"auto"` is YuNet where its file is, else the Haar cascade.

    Raises:
        UserError: if what it needs is not here.
    """
    if kind == "mtcnn":
        return MtcnnDetector()
    model = yunet_file()
    if kind == "yunet" and model is None:
        raise UserError(
            f"YuNet's file is not here; put {YUNET_NAME} of OpenCV's model zoo into {data_root()}, "
            "or name it in FERCORE_YUNET, or take another finder: haar"
        )
    return YuNetDetector(model) if model and kind != "haar" else HaarDetector()


def yunet_file(root: Path | None = None) -> Path | None:
    """The file that `FERCORE_YUNET` names, or the newest of its name under the data root."""
    if named := os.environ.get("FERCORE_YUNET"):
        return Path(named)
    return max(data_root(root).glob(_YUNET_PATTERN), default=None)


def detect_in_photo(finder: FaceDetector, image: Image, longest: int = 1280) -> list[Face]:
    """The faces of a photo of any size, in reading order, searched at `longest` pixels at most."""
    import cv2

    scale = max(1.0, max(image.shape[:2]) / longest)
    if scale == 1.0:
        return in_reading_order(finder.find(image))
    size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
    reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    found = finder.find(np.asarray(reduced, np.uint8))
    return in_reading_order([face.moved(0, 0, scale) for face in found])


def _non_max_suppression(found: Sequence[Face]) -> list[Face]:
    """The largest first; of two that cover one another the surer."""
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(iou(face, other) < 0.4 for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -face.side)


def _wanted(face: Face, smallest: float | None, largest: float | None) -> bool:
    return (smallest or 0.0) <= face.side <= (largest or np.inf)
