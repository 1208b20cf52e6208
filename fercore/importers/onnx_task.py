"""The task and the outcome of evaluating an imported network in a separate process."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.importers.onnx_inputs import ModelIOSpec
from fercore.importers.scores import Scale


@dataclass(frozen=True)
class Task:
    """The network to evaluate, the images, and the options of the user.

    Attributes:
        file: the network.
        class_names: of the dataset.
        labels: of the outputs, as given by the user; empty if not given.
        layout: of the input, as given; `None` if not given.
        channels: likewise.
        size: likewise, `(height, width)`.
        normalizations: candidates by name: mean and standard deviation on grey levels of 0 to 255.
        output_name: name of the output with the scores, as given; `None` if not given.
        scale: of the scores, as given; `None` if not given.
        images: `(n, height, width)` uint8 validation images on which candidates are compared.
        truth: `(n,)`, their classes.
        evaluated: the images to predict, by role.
        validation_title: name of the validation split, for messages.
    """

    file: Path
    class_names: tuple[str, ...]
    labels: tuple[str, ...]
    layout: Any
    channels: int | None
    size: tuple[int, int] | None
    normalizations: dict[str, tuple[tuple[float, ...], tuple[float, ...]]]
    output_name: str | None
    scale: Scale | None
    images: NDArray[np.uint8]
    truth: NDArray[np.integer]
    evaluated: dict[str, NDArray[np.uint8]]
    validation_title: str

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the images."""
        return int(self.images.shape[1]), int(self.images.shape[2])


@dataclass(frozen=True)
class Outcome:
    """The result of evaluating a network.

    Attributes:
        spec: its input and output format.
        names: of its outputs.
        content: of the converted network, as a `model.onnx` of this package.
        probabilities: `(n, k)` by role.
        accuracies: on validation images by candidate; empty if there was one candidate.
        notes: lines for the user on how the network was read.
        opset: ONNX operator set.
        layers: rows of the layer table.
    """

    spec: ModelIOSpec
    names: tuple[str, ...]
    content: bytes
    probabilities: dict[str, NDArray[np.float32]]
    accuracies: dict[str, float]
    notes: list[str]
    opset: int
    layers: list[dict[str, Any]]
