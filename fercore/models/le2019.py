"""Shallow and Deep CNN (Le, Pham & Hoang, "CNNs for Facial Emotion Recognition", 2019).

Section 4 of the paper describes both. The layer table of the Deep CNN is Figure 8 of Khopkar &
Saxena (2021), who train the same network: 4,478,727 parameters at 48x48 with seven outputs.
"""

import keras
from keras import KerasTensor, layers

from fercore.errors import UserError
from fercore.models._layers import BatchNormalization, Dropout, FractionalMaxPooling2D

# (filters, kernel size) of each block, and units of each hidden layer.
_BLOCKS = {
    "shallow": [(64, 3), (128, 5)],
    "deep": [(64, 3), (128, 5), (512, 3), (512, 3)],
}
_FRACTIONAL_RATIO = 1.5
_HIDDEN = {"shallow": [256], "deep": [256, 512]}


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "deep",
    dropout: float = 0.25,
    pooling: str = "max",
) -> keras.Model:
    """Build two or four blocks of convolution, batch normalisation, ReLU, pooling and dropout.

    Args:
        input_shape: `(height, width, 1)`, at least 4x4 for `"shallow"` and 16x16 for `"deep"`.
        num_classes: number of logits.
        variant: `"shallow"` or `"deep"`. The hidden layers of the Deep CNN have batch normalisation
            and dropout; that of the Shallow CNN is a plain hidden layer, as the paper describes it.
        dropout: dropout rate after every pooling, and after every hidden layer of the Deep CNN.
        pooling: `"max"` halves the resolution; `"fractional"` divides it by 1.5 in pseudo-random
            regions. The paper tried fractional max-pooling without stating the ratio; 1.5 is our
            choice.

    Returns:
        A network from `(n, height, width, 1)` float32 grey levels, 0 to 255, to `(n, num_classes)`
        float32 logits.

    Raises:
        UserError: if variant or pooling is unknown.
    """
    if pooling not in {"max", "fractional"}:
        raise UserError(f"received pooling = {pooling!r}, expected 'max' or 'fractional'")
    if variant not in _BLOCKS:
        raise UserError(f"received variant = {variant!r}, expected one of: {', '.join(_BLOCKS)}")
    pixels = keras.Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 255, name="scale")(pixels)
    for number, (filters, kernel_size) in enumerate(_BLOCKS[variant], start=1):
        x = layers.Conv2D(filters, kernel_size, padding="same", name=f"conv{number}")(x)
        x = _normalise_and_activate(x, f"conv{number}")
        if pooling == "max":
            x = layers.MaxPooling2D(name=f"pool{number}")(x)
        else:
            x = FractionalMaxPooling2D(_FRACTIONAL_RATIO, name=f"pool{number}")(x)
        x = Dropout(dropout, name=f"dropout{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(_HIDDEN[variant], start=1):
        x = layers.Dense(units, name=f"hidden{number}")(x)
        if variant == "deep":
            x = _normalise_and_activate(x, f"hidden{number}")
            x = Dropout(dropout, name=f"hidden{number}_dropout")(x)
        else:
            x = layers.ReLU(name=f"hidden{number}_relu")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name=f"le2019_{variant}")


def _normalise_and_activate(x: KerasTensor, name: str) -> KerasTensor:
    x = BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
