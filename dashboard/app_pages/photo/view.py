"""What the visitor of the Photo page has selected."""

from dataclasses import dataclass

from fercore.faces import detection
from fercore.runs.reader import Run


@dataclass(frozen=True)
class View:
    """What the page is to show.

    Attributes:
        runs: whose networks are asked, by id, in order.
        finder: of faces.
        whole: each photo is one face.
        least: probability below which a network is unsure.
        explained: the run whose answer is explained, if any.
        how: `"occlusion"`, `"grad-cam"` or `"off"`.
    """

    runs: dict[str, Run]
    finder: detection.DetectorKind
    whole: bool
    least: float
    explained: str | None
    how: str
