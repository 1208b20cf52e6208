"""Summary of the layers of a Keras network."""

from typing import Any

import keras
import numpy as np

from fercore.runs.schema import LayerSummary


def summarize_layers(network: keras.Model) -> list[LayerSummary]:
    """Return one row per layer, in order, without the input layer."""
    return [
        LayerSummary(
            name=layer.name,
            kind=type(layer).__name__,
            detail=_describe_settings(layer.get_config()),
            output_shape=list(layer.output.shape[1:]),
            parameters=layer.count_params(),
            trainable=sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights),
        )
        for layer in network.layers
        if not isinstance(layer, keras.layers.InputLayer)
    ]


def _describe_settings(settings: dict[str, Any]) -> str:
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
