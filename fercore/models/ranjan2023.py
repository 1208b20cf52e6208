"""Model 1 and Model 2 (Ranjan, "Facial Expression Recognition", 2023), for FER2013 and CK+.

Tables 4.1 and 4.2 list the layers. Model 2 has 3,841,543 parameters at 48x48 with seven outputs.
Table 4.1 prints 71,655 parameters for the last layer of Model 1, which fits no layer of seven
outputs. With the second hidden layer of 64 units that the text describes, Model 1 has 883,559
parameters, which agrees with the 0.88M of Table 4.5.
"""

import keras
from keras import KerasTensor, layers

from fercore.errors import UserError
from fercore.models._layers import BatchNormalization, Dropout


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "model2",
    dropout: float = 0.25,
) -> keras.Model:
    """Build three blocks of two convolutions, or one convolution and four blocks of one.

    Initial weights are Gaussian with standard deviation `sqrt(2 / n_in)` (He et al., 2015; the
    paper prints `sqrt(2 / 2 n_in)`); initial biases are zero.

    Args:
        input_shape: `(height, width, 1)`, at least 36x36 for `"model1"` and 18x18 for `"model2"`.
        num_classes: number of logits.
        variant: `"model1"` or `"model2"`.
        dropout: dropout rate after every pooling and every hidden layer.

    Returns:
        A network from `(n, height, width, 1)` float32 grey levels, 0 to 255, to `(n, num_classes)`
        float32 logits.

    Raises:
        UserError: if the variant is unknown.
    """
    if variant not in {"model1", "model2"}:
        raise UserError(f"received variant = {variant!r}, expected 'model1' or 'model2'")
    pixels = keras.Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 255, name="scale")(pixels)
    x = (_features_model1 if variant == "model1" else _features_model2)(x, dropout)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate((1024, 64) if variant == "model1" else (256, 512), start=1):
        x = layers.Dense(
            units, activation="relu", kernel_initializer=_gaussian(), name=f"hidden{number}"
        )(x)
        if variant == "model2" or number == 1:
            x = BatchNormalization(name=f"hidden{number}_bn")(x)
        x = Dropout(dropout, name=f"hidden{number}_dropout")(x)
    last = layers.Dense(num_classes, kernel_initializer=_gaussian(), dtype="float32", name="logits")
    return keras.Model(pixels, last(x), name=f"ranjan2023_{variant}")


def _features_model1(x: KerasTensor, dropout: float) -> KerasTensor:
    for block, filters in enumerate((32, 64, 128), start=1):
        for part in ("a", "b"):
            x = _convolve(x, filters, 3, "valid", f"conv{block}{part}")
            # The first convolution of the first block is not normalised.
            if (block, part) != (1, "a"):
                x = BatchNormalization(name=f"conv{block}{part}_bn")(x)
        x = layers.MaxPooling2D(name=f"pool{block}")(x)
        x = Dropout(dropout, name=f"dropout{block}")(x)
    return x


def _features_model2(x: KerasTensor, dropout: float) -> KerasTensor:
    x = _convolve(x, 32, 3, "valid", "conv0")
    for block, (filters, size) in enumerate([(64, 3), (128, 5), (512, 3), (512, 3)], start=1):
        x = _convolve(x, filters, size, "same", f"conv{block}")
        x = BatchNormalization(name=f"conv{block}_bn")(x)
        x = layers.MaxPooling2D(name=f"pool{block}")(x)
        x = Dropout(dropout, name=f"dropout{block}")(x)
    return x


def _convolve(x: KerasTensor, filters: int, size: int, padding: str, name: str) -> KerasTensor:
    return layers.Conv2D(
        filters,
        size,
        padding=padding,
        activation="relu",
        kernel_initializer=_gaussian(),
        name=name,
    )(x)


def _gaussian() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")
