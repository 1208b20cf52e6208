"""FEA Model 1 and Model 2 (Katkar, "Recognizing Emotions by Analyzing Facial Expressions", 2021).

Figures 6 and 7 of the paper list the layers. Both networks have 318,407 parameters at 48x48 with
seven outputs; Model 2 adds a dropout after each of the two poolings.
"""

import keras
from keras import layers

from fercore.errors import UserError
from fercore.models._layers import Dropout


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "model1",
    dropout: float = 0.25,
) -> keras.Model:
    """Build three unpadded convolutions and a hidden layer of 64 units.

    Args:
        input_shape: `(height, width, 1)`, at least 18x18.
        num_classes: number of logits.
        variant: `"model1"` or `"model2"`.
        dropout: dropout rate of Model 2. The paper does not state it; 0.25 is the rate of the Keras
            examples that its code follows.

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
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    if variant == "model2":
        x = Dropout(dropout, name="dropout1")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    if variant == "model2":
        x = Dropout(dropout, name="dropout2")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv3")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name=f"katkar2021_{variant}")
