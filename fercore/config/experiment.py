"""Configuration of one experiment: every part of it, and the rules between them.

An experiment is one TOML file in `fercore/configs/`. Its comment header says what it reproduces
and which command runs it; its fields are those of `ExperimentConfig`.
"""

from typing import Any, Literal

from pydantic import Field, model_validator

from fercore.config.augmentation import AugmentationConfig
from fercore.config.run import RUN_NAME_SUFFIX, RunConfig, is_run_name
from fercore.config.training import (
    DistillationConfig,
    EarlyStoppingConfig,
    OptimizerConfig,
    ProgressiveResizingConfig,
    ScheduleConfig,
)

# What may differ between two runs of one experiment.
_NOT_RECIPE = {"seed", "precision", "steps_per_execution", "devices", "title", "published"}
_NOT_RECIPE_PROTOCOL = ("fold", "split_seed")


class ExperimentConfig(RunConfig):
    """One experiment, complete: the same config and seed give the same run.

    Attributes:
        model_options: keyword arguments of the model's `build`.
        augmentation: changes drawn at training time.
        init_from: a run on the same image size. Training starts from its weights, except those of
            the last layer, which depends on the classes.
        loss: on the network's logits: softmax cross-entropy, or the L2 multi-class SVM, under
            which the logits are scores and their softmax is no probability.
        head: what gives the final probabilities: the network, or a random forest fitted on the
            features that enter its last layer, once it is trained.
        distillation: networks that teach this one.
        label_smoothing: weight of the uniform distribution in the targets.
        class_weights: weigh each sample by `n / (k n_c)`, scikit-learn's "balanced".
        optimizer: what moves the weights.
        schedule: how its learning rate moves.
        progressive_resizing: the size of the images in the first epochs. The validation split is
            scaled likewise; only an epoch at full size can be kept as the best one.
        early_stopping: when to stop before `epochs`.
        keep: the epoch whose weights are kept and judged: that with the highest accuracy on the
            validation split, or the last.
        batch_size: images a step.
        epochs: at most.
        precision: `"auto"` computes in bfloat16 where the device gains from it (CPUs with AMX or
            AVX512-BF16, GPUs from Ampere on), else in float32; weights are float32 always.
        steps_per_execution: steps in one call of the compiled function.
        devices: of this machine, that share every batch (on JAX); a step is what it would be on
            one. Of every epoch they leave out the few images that would not divide evenly.
    """

    model_options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    augmentation: AugmentationConfig = AugmentationConfig()
    init_from: str | None = None
    loss: Literal["cross_entropy", "l2_svm"] = "cross_entropy"
    head: Literal["network", "random_forest"] = "network"
    distillation: DistillationConfig = DistillationConfig()
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: bool = False
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    progressive_resizing: ProgressiveResizingConfig = ProgressiveResizingConfig()
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    keep: Literal["best", "last"] = "best"
    batch_size: int = Field(default=64, ge=1)
    epochs: int = Field(ge=1)
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    steps_per_execution: int = Field(default=8, ge=1)
    devices: int = Field(default=1, ge=1, le=64)

    def recipe(self) -> dict[str, Any]:
        """What the runs of one experiment share: everything but seed, fold, device and titles."""
        fields = self.model_dump(mode="json", exclude=_NOT_RECIPE)
        for name in _NOT_RECIPE_PROTOCOL:
            fields["protocol"].pop(name)
        return fields

    def is_same_experiment(self, other: "ExperimentConfig") -> bool:
        """Whether this is the other experiment, of whatever seed or fold.

        Teachers may be named otherwise: an experiment names their experiment, a run of it the runs.
        """
        if self.name != other.name:
            return False
        one, two = self.recipe(), other.recipe()
        teachers = [set(fields["distillation"].pop("teachers")) for fields in (one, two)]
        if not all(map(is_run_name, set.union(*teachers))):
            teachers = [{RUN_NAME_SUFFIX.split(name)[0] for name in names} for names in teachers]
        return one == two and teachers[0] == teachers[1]

    @model_validator(mode="after")
    def _nothing_chosen_on_what_is_judged(self) -> "ExperimentConfig":
        steered = self.schedule.kind == "plateau" or self.early_stopping.patience > 0
        if self.protocol.test == "validation" and (self.keep != "last" or steered):
            raise ValueError(
                'protocol.test = "validation" judges the split that chooses otherwise: expected '
                'keep = "last", no schedule by plateau and no early stopping'
            )
        if self.protocol.test == "train_fold" and (self.keep != "last" or steered):
            raise ValueError(
                'protocol.test = "train_fold" chooses nothing on a split: expected keep = "last", '
                "no schedule by plateau and no early stopping"
            )
        return self

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> "ExperimentConfig":
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(
                f"label_smoothing belongs to the cross-entropy, received loss = {self.loss!r}"
            )
        if self.schedule.minimum > self.optimizer.learning_rate:
            raise ValueError(
                f"received schedule.minimum = {self.schedule.minimum:g}, above "
                f"optimizer.learning_rate = {self.optimizer.learning_rate:g}, the highest rate"
            )
        return self

    @model_validator(mode="after")
    def _one_size_where_it_matters(self) -> "ExperimentConfig":
        if self.progressive_resizing.size is None:
            return self
        if self.schedule.kind == "plateau" or self.early_stopping.patience:
            raise ValueError(
                "progressive_resizing changes the validation loss when the size changes: expected "
                "no schedule by plateau and no early stopping"
            )
        if self.distillation.teachers and self.distillation.mode != "precomputed":
            raise ValueError(
                'progressive_resizing needs distillation.mode = "precomputed": teachers take one '
                "size"
            )
        return self

    @model_validator(mode="after")
    def _batches_divide(self) -> "ExperimentConfig":
        if self.batch_size % self.devices:
            raise ValueError(
                f"received batch_size = {self.batch_size}, which {self.devices} devices cannot "
                "share evenly"
            )
        return self
