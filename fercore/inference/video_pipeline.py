"""Per-frame video pipeline: track faces, classify them, smooth the predictions over time."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fercore.faces.cropping import to_grey
from fercore.faces.detection import FaceDetector
from fercore.faces.drawing import draw_face
from fercore.faces.geometry import Face, Image
from fercore.faces.tracker import FaceTracker, Track
from fercore.inference.predictor import RunClassifier

# Seconds per frame that all networks together may take on average. A slower network skips frames.
_NETWORK_BUDGET = 0.025
# Difference of probabilities by which another class must lead before the shown class changes.
_SWITCH_MARGIN = 0.08


@dataclass(frozen=True)
class LiveSettings:
    """Settings that may change between frames.

    Attributes:
        smoothing: time constant of the exponential average over probabilities, in seconds; 0 for
            no smoothing.
        min_confidence: probability below which a prediction is marked as low confidence.
    """

    smoothing: float = 0.4
    min_confidence: float = 0.4


@dataclass(frozen=True)
class LiveFace:
    """One face in one frame.

    Attributes:
        number: of the face, the same in all frames.
        face: its position.
        probabilities: by run id: `(classes,)` float32, calibrated and smoothed over time.
        classes: by run id: the shown class. It changes with a delay, and so may differ from the
            most probable one.
        labels: by run id: the shown class, `None` if its probability is below `min_confidence`.
    """

    number: int
    face: Face
    probabilities: dict[str, NDArray[np.float32]]
    classes: dict[str, str]
    labels: dict[str, str | None]


@dataclass
class _SmoothedPrediction:
    """The smoothed probabilities of one network for one face, and the index of the shown class."""

    probabilities: NDArray[np.float32]
    updated: float
    class_index: int


@dataclass
class _NetworkState:
    """Average time of a network's calls, frames until its next call, predictions by face number."""

    seconds: float = 0.0
    frames_to_skip: int = 0
    predictions: dict[int, _SmoothedPrediction] = field(default_factory=dict)


class LivePipeline:
    """Process the frames of one video. Not thread-safe.

    Args:
        networks: loaded; each is called once per frame at most.
        detector: of faces, not shared with other pipelines.
        settings: may be replaced at any time.
    """

    def __init__(
        self,
        networks: Sequence[RunClassifier],
        detector: FaceDetector,
        settings: LiveSettings | None = None,
    ):
        self.settings = settings or LiveSettings()
        self._tracker = FaceTracker(detector)
        self._states = {network.id: _NetworkState() for network in networks}
        self._networks = list(networks)

    def set_networks(self, networks: Sequence[RunClassifier]) -> None:
        """Use other networks from the next frame on; tracks keep their numbers."""
        self._states = {n.id: self._states.get(n.id, _NetworkState()) for n in networks}
        self._networks = list(networks)

    def set_detector(self, detector: FaceDetector) -> None:
        """Use another detector from the next frame on; tracks keep their numbers."""
        self._tracker.detector = detector

    def process(self, image: Image, now: float) -> list[LiveFace]:
        """Track and classify the faces of a frame.

        Args:
            image: `(height, width, 3)` blue, green, red, or `(height, width)` grey; uint8.
            now: time of the frame in seconds, increasing.
        """
        tracks = self._tracker.update(image, now)
        if not tracks:
            for state in self._states.values():
                state.predictions.clear()
            return []
        grey = to_grey(image)
        predictions = {
            n.id: self._predict(n, self._states[n.id], grey, tracks, now) for n in self._networks
        }
        return [
            self._live_face(
                track, {run: by_face[track.number] for run, by_face in predictions.items()}
            )
            for track in tracks
            if all(track.number in by_face for by_face in predictions.values())
        ]

    def draw(self, image: NDArray[np.uint8], faces: Sequence[LiveFace]) -> None:
        """Draw a box per face, and a label per network, in place.

        A label is the face's number, the class and its probability: `2 happy 71%`. With two
        networks, the letters A and B tell their labels apart.

        Args:
            image: `(height, width, 3)` uint8, blue, green, red.
            faces: as returned by `process`.
        """
        has_letter = len(self._networks) > 1
        for face in faces:
            labels = []
            for letter, network in zip("AB", self._networks, strict=False):
                if network.id not in face.probabilities:
                    continue
                name = face.classes[network.id]
                confidence = face.probabilities[network.id][network.class_names.index(name)]
                words = [str(face.number), letter if has_letter else "", name, f"{confidence:.0%}"]
                words.append("" if face.labels[network.id] else "(low)")
                labels.append(" ".join(filter(None, words)))
            draw_face(image, face.face, labels)

    def _live_face(self, track: Track, predictions: Mapping[str, _SmoothedPrediction]) -> LiveFace:
        classes, labels = {}, {}
        for network in self._networks:
            prediction = predictions[network.id]
            name = network.class_names[prediction.class_index]
            confidence = prediction.probabilities[prediction.class_index]
            classes[network.id] = name
            labels[network.id] = name if confidence >= self.settings.min_confidence else None
        probabilities = {run: prediction.probabilities for run, prediction in predictions.items()}
        return LiveFace(track.number, track.face, probabilities, classes, labels)

    def _predict(
        self,
        network: RunClassifier,
        state: _NetworkState,
        grey: Image,
        tracks: Sequence[Track],
        now: float,
    ) -> dict[int, _SmoothedPrediction]:
        """Return a network's predictions by face number; only new faces if it skips this frame."""
        new = [track for track in tracks if track.number not in state.predictions]
        state.predictions = {
            track.number: state.predictions[track.number]
            for track in tracks
            if track.number in state.predictions
        }
        due = tracks if state.frames_to_skip <= 0 else new
        state.frames_to_skip -= 1
        if not due:
            return state.predictions
        began = time.perf_counter()
        raw = network(network.crop_faces(grey, [track.face for track in due]))
        probabilities = network.calibrate(raw)
        seconds = time.perf_counter() - began
        state.seconds = seconds if not state.seconds else 0.7 * state.seconds + 0.3 * seconds
        if state.frames_to_skip < 0:
            state.frames_to_skip = int(state.seconds / (_NETWORK_BUDGET / len(self._networks)))
        for track, row in zip(due, probabilities, strict=True):
            before = state.predictions.get(track.number)
            state.predictions[track.number] = self._smooth(before, row, now)
        return state.predictions

    def _smooth(
        self, before: _SmoothedPrediction | None, row: NDArray[np.float32], now: float
    ) -> _SmoothedPrediction:
        """Return the exponential average over time; change the shown class with hysteresis."""
        if before is None:
            return _SmoothedPrediction(row, now, int(row.argmax()))
        tau = self.settings.smoothing
        weight = 1.0 if tau <= 0 else 1 - np.exp(-max(now - before.updated, 1e-3) / tau)
        difference = row - before.probabilities
        average = (before.probabilities + np.float32(weight) * difference).astype("f4")
        top = int(average.argmax())
        is_changed = tau <= 0 or average[top] > average[before.class_index] + _SWITCH_MARGIN
        return _SmoothedPrediction(average, now, top if is_changed else before.class_index)
