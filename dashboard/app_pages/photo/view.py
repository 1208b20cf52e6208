"""`View`: the visitor's selection on the Photo page."""

from dataclasses import dataclass

from fercore.faces import detection
from fercore.runs.reader import Run


@dataclass(frozen=True)
class View:
    """The visitor's selection.

    Attributes:
        runs: selected runs by id, in order.
        detector: kind of the face detector.
        is_cropped: take each photo as one face instead of detecting faces.
        min_confidence: probability below which a prediction is marked as low confidence.
        explained: ids of the runs whose predictions get saliency maps.
        saliency_method: `"occlusion"`, `"grad-cam"` or `"off"`.
    """

    runs: dict[str, Run]
    detector: detection.DetectorKind
    is_cropped: bool
    min_confidence: float
    explained: tuple[str, ...]
    saliency_method: str
