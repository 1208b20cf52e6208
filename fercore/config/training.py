"""Configuration of optimizer, schedule, early stopping, resizing and distillation."""

from typing import Literal

from pydantic import Field, model_validator

from fercore.config.base import FrozenModel


class OptimizerConfig(FrozenModel):
    """A Keras optimizer and its settings.

    Attributes:
        name: the Keras class; `"muon"` is `fercore.training.muon.Muon`.
        learning_rate: the highest rate of the schedule.
        momentum: only for `sgd`.
        nesterov: whether the momentum is Nesterov's; only for `sgd`.
        weight_decay: decoupled decay of all kernels per step, 0 for none.
        clip_norm: largest norm of each gradient, 0 for no limit.
        ema_momentum: momentum of an exponential moving average (EMA) of the weights, such as 0.998
            (Polyak & Juditsky, 1992). The averaged weights are evaluated and kept, with batch
            normalisation statistics estimated anew; 0 keeps the weights themselves.
        batch_norm_bias_rate: factor of the learning rate for the biases of batch normalisation
            (Jordan, "94% on CIFAR-10 in 3.29 Seconds", 2024, section 3.4, uses 64 with SGD).
    """

    name: Literal["adam", "adamw", "sgd", "adadelta", "rmsprop", "muon"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float = Field(default=0.0, ge=0)
    ema_momentum: float = Field(default=0.0, ge=0, lt=1)
    batch_norm_bias_rate: float = Field(default=1.0, gt=0, le=1000)

    @model_validator(mode="after")
    def _require_sgd_for_momentum(self) -> "OptimizerConfig":
        if self.name != "sgd" and (self.momentum or self.nesterov):
            raise ValueError(f"momentum and nesterov belong to sgd, received name = {self.name!r}")
        return self


class ScheduleConfig(FrozenModel):
    """Schedule of the learning rate over the epochs.

    Attributes:
        kind: `"constant"`; `"cosine"`: falls to zero in the epoch after the last (Loshchilov &
            Hutter, 2017); `"plateau"`: is multiplied by `factor` after `patience` epochs in which
            the validation loss has not fallen.
        warmup_epochs: number of epochs in which the rate rises linearly to its highest value.
        factor: only for `plateau`.
        patience: number of epochs, only for `plateau`.
        minimum: the lowest rate, for `plateau` and `cosine`.
    """

    kind: Literal["constant", "cosine", "plateau"] = "constant"
    warmup_epochs: int = Field(default=0, ge=0)
    factor: float = Field(default=0.1, gt=0, lt=1)
    patience: int = Field(default=10, ge=1)
    minimum: float = Field(default=0.0, ge=0)


class ProgressiveResizingConfig(FrozenModel):
    """Train on smaller images first, which makes those epochs cheaper.

    Attributes:
        size: height and width of the small images, in pixels; `None` trains at full size only.
        fraction: fraction of the epochs, from the first on, with the small images.
    """

    size: int | None = Field(default=None, ge=8, le=512)
    fraction: float = Field(default=0.6, gt=0, lt=1)


class EarlyStoppingConfig(FrozenModel):
    """Stop after `patience` consecutive epochs without a new best value; 0 never stops."""

    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    patience: int = Field(default=0, ge=0)


class DistillationConfig(FrozenModel):
    """Knowledge distillation from trained networks (Hinton et al., 2015).

    Attributes:
        teachers: names of runs, or of experiments: every finished seed of an experiment is a
            teacher if the file that `mode` needs is present.
        mode: when the teachers predict. `"online"`: in every step, on the augmented and mixed
            images that the network sees; needs the teachers' checkpoints, which stay on the machine
            that trained them. The target is the mean of their probabilities at the temperature.
            `"precomputed"`: once before the training, on each image and, where the augmentation
            flips, its mirror image; needs their `model.onnx`, and a step costs no more than without
            teachers. The target is the mean of their probabilities, raised to one over the
            temperature and normalised.
        weight: weight of the teachers' probabilities in the loss; the labels have the rest.
        temperature: divisor of the logits before the softmax, for the network and its teachers.
    """

    teachers: tuple[str, ...] = ()
    mode: Literal["online", "precomputed"] = "online"
    weight: float = Field(default=0.5, gt=0, le=1)
    temperature: float = Field(default=2.0, gt=0)
