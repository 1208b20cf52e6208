"""Face detectors: Haar cascade, YuNet and MTCNN.

FER2013, CK+ and LFW-emotion use the same framing of a face, measured on 600 images of each
(`tests/benchmarks/face_crops.py`): the eyes lie at 39% of the height and at 0.32 and 0.68 of the
width, the mouth corners at 77% of the height. OpenCV's frontal Haar cascade returns this square.
For detectors that return landmarks, the square is computed from these.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from fercore.errors import UserError
from fercore.faces.cropping import to_grey
from fercore.faces.geometry import Face, Image, face_from_landmarks, iou, sort_in_reading_order
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
    """Interface of a face detector.

    Several threads may share a detector; their calls run one after another.
    """

    kind: DetectorKind

    def detect(
        self, image: Image, smallest: float | None = None, largest: float | None = None
    ) -> list[Face]:
        """Detect the faces in an image, largest first.

        Args:
            image: `(height, width)` grey or `(height, width, 3)` blue, green, red; uint8.
            smallest: minimum side of a face in pixels; no minimum if absent.
            largest: maximum side of a face in pixels; no maximum if absent.
        """
        ...


class HaarDetector:
    """OpenCV's frontal-face Haar cascade (Viola & Jones, 2001), included in OpenCV's package.

    Detects upright frontal faces of at least 24 pixels; returns no landmarks. The five papers use
    this detector.

    Args:
        scale: ratio of successive sizes that are searched.
        neighbors: minimum number of overlapping hits for a face. A higher number gives fewer
            false detections and a lower recall.
        min_confidence: minimum score of the cascade's last stage, unbounded. A value of 2.5
            removes half of the false detections on photos without a face, and loses 14 in 1,000
            faces of LFW (`tests/benchmarks/face_finders.py`).

    Raises:
        UserError: if OpenCV was installed without its cascades.
    """

    kind: DetectorKind = "haar"

    def __init__(self, scale: float = 1.1, neighbors: int = 5, min_confidence: float = 2.5):
        import cv2

        self.scale, self.neighbors = scale, neighbors
        self.min_confidence = min_confidence
        self._lock = threading.Lock()
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        self._cascade = cv2.CascadeClassifier(str(path))
        if self._cascade.empty():
            raise UserError(
                f"OpenCV {cv2.__version__} has no Haar cascades; install "
                "opencv-python-headless 4.10 or later, below 5"
            )

    def detect(
        self, image: Image, smallest: float | None = None, largest: float | None = None
    ) -> list[Face]:
        """See `FaceDetector.detect`."""
        import cv2

        grey = to_grey(image)
        min_size = max(24, round(smallest or 0))
        max_size = round(largest) if largest else 0
        with self._lock:
            boxes, _, weights = self._cascade.detectMultiScale3(
                grey,
                self.scale,
                self.neighbors,
                cv2.CASCADE_SCALE_IMAGE,
                (min_size, min_size),
                (max_size, max_size),
                outputRejectLevels=True,
            )
        faces = [
            Face(float(x), float(y), float(width), score=float(weight))
            for (x, y, width, _), weight in zip(boxes, np.ravel(weights), strict=True)
            if weight >= self.min_confidence
        ]
        return _non_max_suppression(faces)


class YuNetDetector:
    """YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023), run by OpenCV.

    Detects rotated and partly occluded faces, too, and returns landmarks. Its network is not in the
    package: it is `face_detection_yunet_2023mar.onnx` from OpenCV's model zoo.

    Args:
        model: path of that file.
        threshold: minimum score of a face, 0 to 1.

    Raises:
        UserError: if the file cannot be loaded as YuNet.
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

    def detect(
        self, image: Image, smallest: float | None = None, largest: float | None = None
    ) -> list[Face]:
        """See `FaceDetector.detect`."""
        import cv2

        colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image
        with self._lock:
            self._network.setInputSize((colour.shape[1], colour.shape[0]))
            rows: Any = self._network.detect(colour)[1]
        faces = [
            face_from_landmarks(row[4:14].reshape(5, 2), float(row[14]))
            for row in ([] if rows is None else rows)
        ]
        return _non_max_suppression([f for f in faces if _has_size(f, smallest, largest)])


class MtcnnDetector:
    """MTCNN (Zhang et al., 2016) of the package `mtcnn`, which includes the weights.

    Detects rotated faces, too, and returns landmarks. It is slow and loads TensorFlow. The extra
    `fercore[mtcnn]` installs it.

    Args:
        threshold: minimum score of a face, 0 to 1.

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
                "the package mtcnn is not installed; run pip install 'fercore[mtcnn]', or use "
                "another detector: haar"
            ) from None
        self._network = MTCNN(device="CPU:0")

    def detect(
        self, image: Image, smallest: float | None = None, largest: float | None = None
    ) -> list[Face]:
        """See `FaceDetector.detect`."""
        import cv2

        code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
        with self._lock:
            entries: list[dict[str, Any]] = self._network.detect_faces(cv2.cvtColor(image, code))
        names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
        faces = [
            face_from_landmarks(
                np.array([entry["keypoints"][name] for name in names]), float(entry["confidence"])
            )
            for entry in entries or []
            if entry["confidence"] >= self.threshold
        ]
        return _non_max_suppression([f for f in faces if _has_size(f, smallest, largest)])


def load_detector(kind: DetectorKind | Literal["auto"] = "auto") -> FaceDetector:
    """Load a face detector.

    Args:
        kind: of the detector; `"auto"` selects YuNet if its file is installed, and the Haar cascade
            otherwise.

    Raises:
        UserError: if the detector's file or package is not installed.
    """
    if kind == "mtcnn":
        return MtcnnDetector()
    model = yunet_file()
    if kind == "yunet" and model is None:
        raise UserError(
            f"YuNet's file is missing; put {YUNET_NAME} of OpenCV's model zoo into {data_root()}, "
            "or set FERCORE_YUNET to its path, or use another detector: haar"
        )
    return YuNetDetector(model) if model and kind != "haar" else HaarDetector()


def yunet_file(root: Path | None = None) -> Path | None:
    """Return the path of YuNet's network, or `None` if there is none.

    This is the path in `FERCORE_YUNET`, which is not checked, or else the last file by name under
    the data root that matches YuNet's file name.
    """
    if path := os.environ.get("FERCORE_YUNET"):
        return Path(path)
    return max(data_root(root).glob(_YUNET_PATTERN), default=None)


def detect_in_photo(detector: FaceDetector, image: Image, longest: int = 1280) -> list[Face]:
    """Detect the faces of a photo of any size.

    Args:
        detector: to run.
        image: `(height, width)` grey or `(height, width, 3)` blue, green, red; uint8.
        longest: maximum longer side in pixels; a larger image is reduced to it for the search.

    Returns:
        The faces in reading order, in pixels of `image`.
    """
    import cv2

    scale = max(1.0, max(image.shape[:2]) / longest)
    if scale == 1.0:
        return sort_in_reading_order(detector.detect(image))
    size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
    reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    faces = detector.detect(np.asarray(reduced, np.uint8))
    return sort_in_reading_order([face.transform(0, 0, scale) for face in faces])


def _non_max_suppression(faces: Sequence[Face]) -> list[Face]:
    """Keep the face with the highest score of each group with an IoU of 0.4 or more.

    Returns:
        The remaining faces, largest first.
    """
    selected: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(iou(face, other) < 0.4 for other in selected):
            selected.append(face)
    return sorted(selected, key=lambda face: -face.side)


def _has_size(face: Face, smallest: float | None, largest: float | None) -> bool:
    return (smallest or 0.0) <= face.side <= (largest or np.inf)
