"""Find the faces in an image, and cut them out as the training sets frame them.

FER2013, CK+ and LFW-emotion frame a face alike, measured on 600 images of each
(`tests/benchmarks/face_crops.py`): eyes at 39% of the height, 0.32 and 0.68 of the width, mouth
corners at 77%. That square is what OpenCV's frontal Haar cascade finds; finders that tell landmarks
are aligned to it.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.roots import data_root

Image = NDArray[np.uint8]
Kind = Literal["haar", "yunet", "mtcnn"]
TITLES: dict[Kind, str] = {"haar": "Haar cascade", "yunet": "YuNet", "mtcnn": "MTCNN"}

# Where a training image has eyes, nose and mouth corners (those on the viewer's left first), as
# fractions of its sides: the medians of the three sets, which differ by 1% at most.
REFERENCE = np.array(
    [[0.317, 0.395], [0.680, 0.394], [0.493, 0.611], [0.352, 0.770], [0.653, 0.767]]
)
YUNET_NAME = "face_detection_yunet_2023mar.onnx"
_YUNET_PATTERN = "face_detection_yunet*.onnx"


@dataclass(frozen=True)
class Face:
    """One face in an image.

    Attributes:
        left: pixels, of the square that a training set would cut out, before it is turned.
        top: pixels.
        side: pixels.
        angle: radians by which the face is turned clockwise, 0 where the finder tells no landmarks.
        score: how sure the finder is, for ranking its own faces alone.
        landmarks: `(5, 2)` float32 x and y in pixels: eyes, nose, mouth corners, those on the
            viewer's left first; `None` where the finder tells none.
    """

    left: float
    top: float
    side: float
    angle: float = 0.0
    score: float = 0.0
    landmarks: NDArray[np.float32] | None = None

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in whole pixels."""
        left, top, side = round(self.left), round(self.top), round(self.side)
        return left, top, left + side, top + side

    def moved(self, x: float, y: float, scale: float = 1.0) -> "Face":
        """The face in an image of which this one's is a part: scaled, then shifted."""
        shift = np.array([x, y], np.float32)
        marks = None if self.landmarks is None else self.landmarks * np.float32(scale) + shift
        return Face(
            self.left * scale + x,
            self.top * scale + y,
            self.side * scale,
            self.angle,
            self.score,
            marks,
        )


class FaceFinder(Protocol):
    """What finds faces. Safe to call from several threads, one at a time."""

    kind: Kind

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


class HaarFinder:
    """OpenCV's frontal-face Haar cascade (Viola & Jones, 2001), which comes with the package.

    Upright frontal faces of at least 24 pixels; no landmarks. What the five papers used.

    Args:
        scale: step between the sizes that are searched.
        neighbors: overlapping hits that make a face: more are surer and fewer.
        least: score of the last stage below which a hit is none. At 2.5 half of the false ones on
            photos without a face are gone, and 14 in a thousand faces of LFW
            (`tests/benchmarks/face_finders.py`).
    """

    kind: Kind = "haar"

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
        return _apart(found)


class YuNetFinder:
    """YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023), by OpenCV.

    Turned and partly covered faces too, with landmarks. The file is OpenCV's model zoo's,
    `face_detection_yunet_2023mar.onnx`, and not in the package.

    Args:
        model: that file.
        threshold: least score of a face, 0 to 1.

    Raises:
        UserError: if the file is no such network.
    """

    kind: Kind = "yunet"

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
            from_landmarks(row[4:14].reshape(5, 2), float(row[14]))
            for row in ([] if rows is None else rows)
        ]
        return _apart([face for face in found if _wanted(face, smallest, largest)])


class MtcnnFinder:
    """MTCNN (Zhang et al., 2016) of the package `mtcnn`, which carries its weights.

    Turned faces too, with landmarks; slow, and it loads TensorFlow. Installed by the extra
    `fercore[mtcnn]`.

    Args:
        threshold: least score of a face, 0 to 1.

    Raises:
        UserError: if the package is not installed.
    """

    kind: Kind = "mtcnn"

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
            from_landmarks(
                np.array([entry["keypoints"][name] for name in names]), float(entry["confidence"])
            )
            for entry in entries or []
            if entry["confidence"] >= self.threshold
        ]
        return _apart([face for face in found if _wanted(face, smallest, largest)])


def load_finder(kind: Kind | Literal["auto"] = "auto") -> FaceFinder:
    """A finder; `"auto"` is YuNet where its file is, else the Haar cascade.

    Raises:
        UserError: if what it needs is not here.
    """
    if kind == "mtcnn":
        return MtcnnFinder()
    model = yunet_file()
    if kind == "yunet" and model is None:
        raise UserError(
            f"YuNet's file is not here; put {YUNET_NAME} of OpenCV's model zoo into {data_root()}, "
            "or name it in FERCORE_YUNET, or take another finder: haar"
        )
    return YuNetFinder(model) if model and kind != "haar" else HaarFinder()


def yunet_file(root: Path | None = None) -> Path | None:
    """The file that `FERCORE_YUNET` names, or the newest of its name under the data root."""
    if named := os.environ.get("FERCORE_YUNET"):
        return Path(named)
    return max(data_root(root).glob(_YUNET_PATTERN), default=None)


def find_in_photo(finder: FaceFinder, image: Image, longest: int = 1280) -> list[Face]:
    """The faces of a photo of any size, in reading order, searched at `longest` pixels at most."""
    import cv2

    scale = max(1.0, max(image.shape[:2]) / longest)
    if scale == 1.0:
        return in_reading_order(finder.find(image))
    size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
    reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    found = finder.find(np.asarray(reduced, np.uint8))
    return in_reading_order([face.moved(0, 0, scale) for face in found])


def in_reading_order(found: Sequence[Face]) -> list[Face]:
    """Faces row by row, each row from the left; a row is as deep as half its first face."""
    rows: list[list[Face]] = []
    for face in sorted(found, key=lambda face: face.top + face.side / 2):
        first = rows[-1][0] if rows else None
        if first and face.top + face.side / 2 - first.top - first.side / 2 < first.side / 2:
            rows[-1].append(face)
        else:
            rows.append([face])
    return [face for row in rows for face in sorted(row, key=lambda face: face.left)]


def whole(image: Image) -> Face:
    """The image itself as a face, as the training sets have it: its largest centred square."""
    height, width = image.shape[:2]
    side = min(height, width)
    return Face((width - side) / 2, (height - side) / 2, float(side))


def from_landmarks(landmarks: NDArray[Any], score: float = 0.0) -> Face:
    """The face whose five landmarks lie best, by least squares, where a training image has them.

    Args:
        landmarks: `(5, 2)` x and y in pixels, in the order of `Face.landmarks`.
        score: of the finder.
    """
    marks = np.asarray(landmarks, np.float32)
    # In complex numbers a similarity is one line: z = turn * reference + shift.
    reference = REFERENCE[:, 0] + 1j * REFERENCE[:, 1]
    points = marks[:, 0].astype(float) + 1j * marks[:, 1]
    centred = reference - reference.mean()
    turn = (centred.conj() * (points - points.mean())).sum() / (abs(centred) ** 2).sum()
    centre = points.mean() + turn * (0.5 + 0.5j - reference.mean())
    side = abs(turn)
    return Face(
        float(centre.real - side / 2),
        float(centre.imag - side / 2),
        float(side),
        float(np.angle(turn)),
        score,
        marks,
    )


def cut(grey: Image, face: Face, size: int, margin: float = 0.0) -> Image:
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


def overlap(one: Face, other: Face) -> float:
    """Intersection over union of two faces' squares."""
    width = min(one.left + one.side, other.left + other.side) - max(one.left, other.left)
    height = min(one.top + one.side, other.top + other.side) - max(one.top, other.top)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (one.side**2 + other.side**2 - shared)


def _apart(found: Sequence[Face]) -> list[Face]:
    """The largest first; of two that cover one another the surer."""
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(overlap(face, other) < 0.4 for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda face: -face.side)


def _wanted(face: Face, smallest: float | None, largest: float | None) -> bool:
    return (smallest or 0.0) <= face.side <= (largest or np.inf)
