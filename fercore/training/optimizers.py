"""Optimizers, built from their configuration."""

from typing import Any

import keras

from fercore.config.training import OptimizerConfig
from fercore.training.muon import Muon


def build_optimizer(config: OptimizerConfig) -> keras.optimizers.Optimizer:
    """Return the Keras optimizer that a config names."""
    settings: dict[str, Any] = {"learning_rate": config.learning_rate}
    # Unless it is set, AdamW and Muon have a weight decay by Keras's default.
    if config.weight_decay or config.name in {"adamw", "muon"}:
        settings["weight_decay"] = config.weight_decay
    if config.name == "muon":
        settings["adam_weight_decay"] = config.weight_decay
    if config.clip_norm:
        settings["clipnorm"] = config.clip_norm
    if config.ema_momentum:
        settings |= {"use_ema": True, "ema_momentum": config.ema_momentum}
    if config.name == "sgd":
        settings |= {"momentum": config.momentum, "nesterov": config.nesterov}
    optimizer = _OPTIMIZERS[config.name](**settings)
    if config.batch_norm_bias_rate != 1:
        _scale_learning_rate(optimizer, "beta", config.batch_norm_bias_rate)
    # Keras replaces the weights by their average at the end of `fit`, here after every epoch.
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


def _scale_learning_rate(optimizer: keras.optimizers.Optimizer, name: str, factor: float) -> None:
    """Multiply the learning rate of all variables of one name, such as `"beta"`, by a factor."""
    update_step = optimizer.update_step

    def scaled_update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        # TensorFlow passes its own variable, which has another name than the Keras variable.
        index = optimizer._get_variable_index(variable)
        has_name = optimizer._trainable_variables[index].name == name
        update_step(gradient, variable, learning_rate * factor if has_name else learning_rate)

    optimizer.update_step = scaled_update_step
