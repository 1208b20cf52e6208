"""Build optimizers from their configuration."""

from typing import Any

import keras

from fercore.config.training import OptimizerConfig
from fercore.training.muon import Muon


def build_optimizer(config: OptimizerConfig) -> keras.optimizers.Optimizer:
    """The Keras optimizer that a config names."""
    settings: dict[str, Any] = {"learning_rate": config.learning_rate}
    # AdamW and Muon decay by Keras's own default unless they are told not to.
    if config.weight_decay or config.name in {"adamw", "muon"}:
        settings["weight_decay"] = config.weight_decay
    if config.name == "muon":
        settings["adam_weight_decay"] = config.weight_decay
    if config.clip_norm:
        settings["clipnorm"] = config.clip_norm
    if config.average:
        settings |= {"use_ema": True, "ema_momentum": config.average}
    if config.name == "sgd":
        settings |= {"momentum": config.momentum, "nesterov": config.nesterov}
    optimizer = _OPTIMIZERS[config.name](**settings)
    if config.batch_norm_bias_rate != 1:
        _scale_rate(optimizer, "beta", config.batch_norm_bias_rate)
    # Keras puts the average in the weights' place at the end of `fit`, which here is every epoch's.
    optimizer.finalize_variable_values = lambda weights: None
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
    "adadelta": keras.optimizers.Adadelta,
    "rmsprop": keras.optimizers.RMSprop,
    "muon": Muon,
}


def _scale_rate(optimizer: keras.optimizers.Optimizer, name: str, factor: float) -> None:
    """Multiply the learning rate of the variables of one name, such as `"beta"`."""
    update_step = optimizer.update_step

    def scaled(gradient: Any, variable: Any, learning_rate: Any) -> None:
        # TensorFlow passes its own variable, whose name is another than that of Keras's.
        known = optimizer._trainable_variables[optimizer._get_variable_index(variable)]
        rate = learning_rate * factor if known.name == name else learning_rate
        update_step(gradient, variable, rate)

    optimizer.update_step = scaled
