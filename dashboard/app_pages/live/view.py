"""`View`: the visitor's selection on the Webcam page."""

from dataclasses import dataclass

from fercore.faces import detection
from fercore.inference.predictor import RunClassifier
from fercore.inference.video_pipeline import LiveSettings
from fercore.runs.reader import Run


@dataclass(frozen=True)
class View:
    """The visitor's selection.

    Attributes:
        runs: selected runs by id, in order.
        networks: of these runs, loaded.
        detector: kind of the face detector.
        settings: of the pipeline.
    """

    runs: dict[str, Run]
    networks: list[RunClassifier]
    detector: detection.DetectorKind
    settings: LiveSettings
