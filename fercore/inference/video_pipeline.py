"""Frame after frame: follow faces, ask networks, steady what they say. For one thread."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fercore.faces.cropping import to_grey
from fercore.faces.detection import FaceDetector
from fercore.faces.drawing import draw_face
from fercore.faces.geometry import Face, Image
from fercore.faces.tracker import FaceTracker, Track
from fercore.inference.predictor import RunClassifier

# Most seconds of a frame that networks may take on average: a slow one is asked less often.
_SHARE = 0.025
# How much likelier another class must be before the shown one gives way.
_CLEARLY = 0.08


@dataclass(frozen=True)
class LiveSettings:
    """What may change while frames go by.

    Attributes:
        smoothing: seconds over which probabilities are averaged, 0 for none.
        least: probability below which a network is unsure.
    """

    smoothing: float = 0.4
    least: float = 0.4


@dataclass(frozen=True)
class LiveFace:
    """One face in one frame.

    Attributes:
        number: of the face, the same from frame to frame.
        face: where it is.
        probabilities: by run id: `(classes,)` float32, calibrated and averaged over time.
        labels: by run id: the shown class, `None` where the network is unsure.
    """

    number: int
    face: Face
    probabilities: dict[str, NDArray[np.float32]]
    labels: dict[str, str | None]


@dataclass
class _SmoothedPrediction:
    """What a network has said of one face so far."""

    probabilities: NDArray[np.float32]
    at: float
    shown: int


@dataclass
class _DutyCycle:
    """How long a network takes, and how many frames it still rests."""

    seconds: float = 0.0
    rests: int = 0
    said: dict[int, _SmoothedPrediction] = field(default_factory=dict)


class LivePipeline:
    """What happens to each frame.

    Args:
        networks: loaded; one face costs each of them one call.
        finder: of faces, of this pipeline alone.
        settings: may be replaced at any time.
    """

    def __init__(
        self,
        networks: Sequence[RunClassifier],
        finder: FaceDetector,
        settings: LiveSettings | None = None,
    ):
        self.settings = settings or LiveSettings()
        self._tracker = FaceTracker(finder)
        self._costs = {network.id: _DutyCycle() for network in networks}
        self._networks = list(networks)

    def swap(self, networks: Sequence[RunClassifier]) -> None:
        """Ask other networks from the next frame on; the faces stay known."""
        self._costs = {n.id: self._costs.get(n.id, _DutyCycle()) for n in networks}
        self._networks = list(networks)

    def find_with(self, finder: FaceDetector) -> None:
        """Find by another finder from the next frame on; the faces stay known."""
        self._tracker.finder = finder

    def process(self, image: Image, now: float) -> list[LiveFace]:
        """Faces of a frame, and what is said of them.

        Args:
            image: `(height, width, 3)` blue, green, red, or grey; uint8.
            now: seconds, growing.
        """
        tracks = self._tracker.update(image, now)
        if not tracks:
            for cost in self._costs.values():
                cost.said.clear()
            return []
        grey = to_grey(image)
        said = {n.id: self._ask(n, self._costs[n.id], grey, tracks, now) for n in self._networks}
        return [
            LiveFace(
                track.number,
                track.face,
                {run: found[track.number].probabilities for run, found in said.items()},
                {
                    network.id: self._label(network, said[network.id][track.number])
                    for network in self._networks
                },
            )
            for track in tracks
            if all(track.number in found for found in said.values())
        ]

    def draw(self, image: NDArray[np.uint8], faces: Sequence[LiveFace]) -> None:
        """Boxes, and a line for each network, in place."""
        titles = len(self._networks) > 1
        for face in faces:
            lines = []
            for place, network in enumerate(self._networks):
                if network.id not in face.probabilities:
                    continue
                said, shares = face.labels[network.id], face.probabilities[network.id]
                # The shown class may trail the likeliest one: the figure is that of the word.
                share = shares[network.class_names.index(said)] if said else shares.max()
                mark = "AB"[place] + " " if titles else ""
                lines.append(f"{mark}{said or 'unsure'} {float(share):.0%}")
            draw_face(image, face.face, lines)

    def _ask(
        self,
        network: RunClassifier,
        cost: _DutyCycle,
        grey: Image,
        tracks: Sequence[Track],
        now: float,
    ) -> dict[int, _SmoothedPrediction]:
        new = [track for track in tracks if track.number not in cost.said]
        cost.said = {t.number: cost.said[t.number] for t in tracks if t.number in cost.said}
        asked = tracks if cost.rests <= 0 else new
        cost.rests -= 1
        if not asked:
            return cost.said
        began = time.perf_counter()
        raw = network(network.crops(grey, [track.face for track in asked]))
        found = network.calibrated(raw)
        seconds = time.perf_counter() - began
        cost.seconds = seconds if not cost.seconds else 0.7 * cost.seconds + 0.3 * seconds
        if cost.rests < 0:
            cost.rests = int(cost.seconds / (_SHARE / len(self._networks)))
        for track, row in zip(asked, found, strict=True):
            cost.said[track.number] = self._averaged(cost.said.get(track.number), row, now)
        return cost.said

    def _averaged(
        self, before: _SmoothedPrediction | None, row: NDArray[np.float32], now: float
    ) -> _SmoothedPrediction:
        if before is None:
            return _SmoothedPrediction(row, now, int(row.argmax()))
        tau = self.settings.smoothing
        share = 1.0 if tau <= 0 else 1 - np.exp(-max(now - before.at, 1e-3) / tau)
        mixed = (before.probabilities + np.float32(share) * (row - before.probabilities)).astype(
            "f4"
        )
        top = int(mixed.argmax())
        changes = tau <= 0 or mixed[top] > mixed[before.shown] + _CLEARLY
        return _SmoothedPrediction(mixed, now, top if changes else before.shown)

    def _label(self, network: RunClassifier, said: _SmoothedPrediction) -> str | None:
        sure = said.probabilities[said.shown] >= self.settings.least
        return network.class_names[said.shown] if sure else None
