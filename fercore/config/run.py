"""Configuration shared by all runs, and that of imported runs and ensembles."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from fercore.config.base import FrozenModel
from fercore.config.protocol import ImageConfig, ProtocolConfig
from fercore.config.upgrade import upgrade_fields

RUN_NAME_SUFFIX = re.compile(r"-s\d+(-f\d+)?-\d{8}T\d{6}")


def is_run_name(name: str) -> bool:
    """Return whether a name is a run name, which has a seed and a time, not an experiment."""
    return RUN_NAME_SUFFIX.search(name) is not None


class PublishedFigure(FrozenModel):
    """The published figure that an experiment reproduces.

    Attributes:
        system: key of the paper in `papers.toml`, such as `"le2019"`.
        row: name of the row in the paper, such as `"Table 3, Model 1, original"`.
        test_accuracy: percent, as printed.
        train_accuracy: percent, as printed, if the paper states one.
    """

    system: str
    row: str
    test_accuracy: float = Field(gt=0, le=100)
    train_accuracy: float | None = Field(default=None, gt=0, le=100)


class RunConfig(FrozenModel):
    """Configuration that every run has, whether trained, imported or an ensemble.

    Attributes:
        name: safe as a file name; the name of the run directory begins with it.
        title: one line for people.
        published: the published figure that the run reproduces, if any.
        dataset: name of a dataset of `fercore.data.registry`, or of the user's own.
        protocol: splits of the dataset.
        image: image size of the network.
        drop_classes: classes left out of training, selection and the headline figures. The
            network keeps one output for each class of the dataset.
        model: a module of `fercore.models`, or the name of an imported network.
        seed: seed of initialization, order of the images, dropout and augmentation.
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
    """Source of an imported run.

    Attributes:
        kind: a table of predictions, or a network.
        file: name of the file.
        sha256: SHA-256 of its content.
        class_names: names of its outputs, in the order of the file.
        layout: layout of the network's input: channels last or first.
        channels: channels of the input: 1, or 3 with equal grey levels.
        size: height and width of the input, in pixels.
        mean: subtracted from the grey levels (0 to 255); one value per channel, or one for all.
        std: divisor after the subtraction; one value per channel, or one for all.
        output: scale of the scores, see `fercore.importers.scores.Scale`; `"labels"` are predicted
            classes without probabilities.
        output_name: name of the network's output, if there are several.
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
    """An imported network or imported predictions, evaluated here.

    Its training data are unknown, so its figures never count as leak-free.
    """

    imported: ImportSource


TestTimeAugmentation = Literal["none", "flip", "ten_view"]
Average = Literal["arithmetic", "geometric"]


class Combination(FrozenModel):
    """Members of an ensemble, and how it averages them.

    Attributes:
        members: the runs whose probabilities are averaged.
        tta: test-time augmentation: the views of each image that every member predicts, see
            `fercore.inference.ensemble_graph.build_ensemble_onnx`.
        imported: whether a member, or a member of a member, was imported. Then the figures never
            count as leak-free.
        average: `"arithmetic"`, the mean of the probabilities, or `"geometric"`, the softmax of the
            mean log-probability, see `fercore.evaluation.ensemble_selection.average_probabilities`.
        selected_on: the split by whose accuracy the members were selected; `None` if the user
            named them.
        candidates: number of runs that the members were selected from; `None` likewise.
    """

    members: tuple[str, ...] = Field(min_length=1)
    tta: TestTimeAugmentation = "none"
    imported: bool = False
    average: Average = "arithmetic"
    selected_on: Literal["validation"] | None = None
    candidates: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _require_selection_with_candidates(self) -> "Combination":
        if (self.selected_on is None) != (self.candidates is None):
            raise ValueError(
                f"received selected_on = {self.selected_on!r} and candidates = {self.candidates}, "
                "expected both or neither"
            )
        return self


class CombinedConfig(RunConfig):
    """Configuration of an ensemble: several networks, or one with test-time augmentation."""

    combined: Combination
