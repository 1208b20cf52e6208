"""Configuration of an experiment, and the rules between its parts.

An experiment is one TOML file in `fercore/configs/`. Its comment header states what it reproduces
and which command runs it. Its fields are those of `ExperimentConfig`.
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

# Fields that may differ between two runs of one experiment.
_NOT_RECIPE = {"seed", "precision", "steps_per_execution", "devices", "title", "published"}
_NOT_RECIPE_PROTOCOL = ("fold", "split_seed")


class ExperimentConfig(RunConfig):
    """The complete configuration of a training: the same config and seed give the same run.

    Attributes:
        model_options: keyword arguments of the model's `build`.
        augmentation: random operations on the training images.
        init_from: a run on the same image size. Training starts from its weights, except those of
            the last layer, which depends on the classes.
        loss: loss of the logits: softmax cross-entropy, or the L2 multi-class SVM. With the SVM,
            the softmax of the logits is no probability.
        head: source of the final probabilities: the network, or a random forest that is fitted,
            after the training, on the inputs of the network's last layer.
        distillation: teachers of this network.
        label_smoothing: weight of the uniform distribution in the targets.
        class_weights: weigh each sample by `n / (k n_c)`, scikit-learn's "balanced".
        optimizer: optimizer and its settings.
        schedule: schedule of the learning rate.
        progressive_resizing: image size in the first epochs. The validation split is scaled
            likewise; only an epoch at full size can be kept as the best one.
        early_stopping: condition for stopping before `epochs`.
        keep: the evaluated checkpoint: `"best"`, the epoch with the highest accuracy on the
            validation split, or `"last"`.
        batch_size: images per step.
        epochs: largest number of epochs.
        precision: `"auto"` computes in bfloat16 on devices that are faster with it (CPUs with AMX
            or AVX512-BF16, GPUs from Ampere on), otherwise in float32. Weights are always float32.
        steps_per_execution: steps in one call of the compiled function.
        devices: number of devices of this machine that share every batch (JAX only). The result of
            a step is the same as on one device. The few images of an epoch that the devices cannot
            share evenly are left out.
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
        """Return the fields that all runs of an experiment share: all but seed, fold and titles."""
        fields = self.model_dump(mode="json", exclude=_NOT_RECIPE)
        for name in _NOT_RECIPE_PROTOCOL:
            fields["protocol"].pop(name)
        return fields

    def is_same_experiment(self, other: "ExperimentConfig") -> bool:
        """Return whether both configure the same experiment, whatever their seeds and folds.

        The teachers may differ in name: a config may name their experiment or their runs.
        """
        if self.name != other.name:
            return False
        recipes = self.recipe(), other.recipe()
        teachers = [set(fields["distillation"].pop("teachers")) for fields in recipes]
        if not all(map(is_run_name, set.union(*teachers))):
            teachers = [{RUN_NAME_SUFFIX.split(name)[0] for name in names} for names in teachers]
        return recipes[0] == recipes[1] and teachers[0] == teachers[1]

    @model_validator(mode="after")
    def _require_fixed_checkpoint_where_nothing_is_selected(self) -> "ExperimentConfig":
        follows_validation = self.schedule.kind == "plateau" or self.early_stopping.patience > 0
        if self.protocol.test == "validation" and (self.keep != "last" or follows_validation):
            raise ValueError(
                'protocol.test = "validation" evaluates on the split that otherwise selects the '
                'checkpoint: expected keep = "last", no schedule by plateau and no early stopping'
            )
        if self.protocol.test == "train_fold" and (self.keep != "last" or follows_validation):
            raise ValueError(
                'protocol.test = "train_fold" selects nothing on a split: expected keep = "last", '
                "no schedule by plateau and no early stopping"
            )
        return self

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> "ExperimentConfig":
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
    def _require_one_size_where_it_matters(self) -> "ExperimentConfig":
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
    def _require_even_batches(self) -> "ExperimentConfig":
        if self.batch_size % self.devices:
            raise ValueError(
                f"received batch_size = {self.batch_size}, which {self.devices} devices cannot "
                "share evenly"
            )
        return self
