"""Summarize the layers of a Keras network."""

from typing import Any

import keras
import numpy as np

from fercore.runs.schema import LayerSummary


def layer_table(network: keras.Model) -> list[LayerSummary]:
    """One row per layer, in order, the input left out."""
    return [
        LayerSummary(
            name=layer.name,
            kind=type(layer).__name__,
            detail=_detail(layer.get_config()),
            output_shape=list(layer.output.shape[1:]),
            parameters=layer.count_params(),
            trainable=sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights),
        )
        for layer in network.layers
        if not isinstance(layer, keras.layers.InputLayer)
    ]


def _detail(settings: dict[str, Any]) -> str:
    words = []
    if "kernel_size" in settings:
        words += ["x".join(map(str, settings["kernel_size"])), settings["padding"]]
    if "pool_size" in settings:
        words.append("x".join(map(str, settings["pool_size"])))
    if settings.get("activation", "linear") != "linear":
        words.append(str(settings["activation"]))
    if "rate" in settings:
        words.append(f"rate {settings['rate']:g}")
    return ", ".join(words)
