"""Configuration of runs that were not trained here, and what every run's configuration has."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from fercore.config.base import FrozenModel
from fercore.config.protocol import ImageConfig, ProtocolConfig
from fercore.config.upgrade import upgrade_fields

RUN_NAME_SUFFIX = re.compile(r"-s\d+(-f\d+)?-\d{8}T\d{6}")


def is_run_name(name: str) -> bool:
    """Whether a name is that of a run, which tells seed and time, and not of an experiment."""
    return RUN_NAME_SUFFIX.search(name) is not None


class PublishedFigure(FrozenModel):
    """The figure that an experiment reproduces.

    Attributes:
        system: the paper's key in this project, such as `"le2019"`.
        row: what the paper calls the row, such as `"Table 3, Model 1, original"`.
        test_accuracy: percent, as printed.
        train_accuracy: percent, as printed, where the paper gives one.
    """

    system: str
    row: str
    test_accuracy: float = Field(gt=0, le=100)
    train_accuracy: float | None = Field(default=None, gt=0, le=100)


class RunConfig(FrozenModel):
    """What every run says of itself, trained here or imported.

    Attributes:
        name: file-name safe; the run directory begins with it.
        title: one line for people.
        published: the figure that it reproduces, if any.
        dataset: a module of `fercore.data.registry`, or a folder of images that was added under a
            name of
            its own.
        protocol: how its samples are divided.
        image: the size that the network sees.
        drop_classes: classes left out of training, selection and the headline figures. The
            network keeps one output for each class of the dataset.
        model: a module of `fercore.models`, or what an imported network is called.
        seed: of initialisation, order, dropout and augmentation.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)
    title: str
    published: PublishedFigure | None = None
    dataset: str
    protocol: ProtocolConfig = ProtocolConfig()
    image: ImageConfig = ImageConfig()
    drop_classes: tuple[str, ...] = ()
    model: str
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="before")
    @classmethod
    def _rename_old_fields(cls, fields: Any) -> Any:
        return upgrade_fields(fields) if isinstance(fields, Mapping) else fields


class ImportSource(FrozenModel):
    """What an imported run was made from.

    Attributes:
        kind: a table of class probabilities, or a network.
        file: its name.
        sha256: of its content.
        class_names: of its outputs, in its own order.
        layout: of the network's input: channels last or first.
        channels: grey, or the same grey level three times.
        size: pixels, height and width, that the network takes.
        mean: subtracted from the grey levels (0 to 255), one value a channel or one for all.
        std: what is left is divided by it,
            likewise.
        output: how the scores were read, see `fercore.importers.scores.Scale`; `"labels"` are
            predicted classes without probabilities.
        output_name: of the network's output, where it has several.
    """

    kind: Literal["predictions", "onnx"]
    file: str
    sha256: str
    class_names: tuple[str, ...]
    layout: Literal["nhwc", "nchw"] | None = None
    channels: Literal[1, 3] | None = None
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    output: Literal["probabilities", "percent", "sigmoid", "votes", "labels", "logits"] | None = (
        None
    )
    output_name: str | None = None


class ImportedConfig(RunConfig):
    """A network or predictions from elsewhere, evaluated here.

    What it was trained on is not known, so its figures never count as honest ones.
    """

    imported: ImportSource


TestTimeAugmentation = Literal["none", "flip", "ten_view"]
Average = Literal["arithmetic", "geometric"]


class Combination(FrozenModel):
    """What a combined run was made from.

    Attributes:
        members: the runs whose probabilities are averaged.
        tta: test-time augmentation: the views of each image that every member predicts, see
            `fercore.inference.ensemble_graph.build_ensemble_onnx`.
        imported: whether one of them, or of those that it was made from itself, was imported: then
            these figures count as honest ones as little as its own.
        average: `"arithmetic"`, the mean of the probabilities, or `"geometric"`, the softmax of the
            mean log-probability, see `fercore.evaluation.ensemble_selection.average_probabilities`.
        selected_on: the split whose accuracy chose the members; none where they were named.
        candidates: number of runs that the members were chosen from; none where they were named.
    """

    members: tuple[str, ...] = Field(min_length=1)
    tta: TestTimeAugmentation = "none"
    imported: bool = False
    average: Average = "arithmetic"
    selected_on: Literal["validation"] | None = None
    candidates: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _selected_from_candidates(self) -> "Combination":
        if (self.selected_on is None) != (self.candidates is None):
            raise ValueError("selected_on and candidates belong together")
        return self


class CombinedConfig(RunConfig):
    """The mean of several networks, or of one network over several views of an image."""

    combined: Combination
