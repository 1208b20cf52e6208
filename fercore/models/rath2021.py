"""Networks with one and with two convolutions for eight emotions of LFW faces (Rath, 2021).

The text is "Convolutional Neural Network Model For Emotion (Facial Expression) Identification".
Section "Model Building" lists the network with two convolutions. Figure 5 is the layer table of the
network with one convolution: 2,168,776 parameters at 50x50 with eight outputs.
"""

import keras
from keras import layers

from fercore.errors import UserError
from fercore.models._layers import Dropout


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "two",
    dropout: float = 0.25,
) -> keras.Model:
    """Build one or two unpadded convolutions and one or two hidden layers.

    Args:
        input_shape: `(height, width, 1)`, at least 6x6 for `"one"` and 12x12 for `"two"`.
        num_classes: number of logits.
        variant: number of convolutions, `"one"` or `"two"`.
        dropout: dropout rate after the first pooling and after the first hidden layer.

    Returns:
        A network from `(n, height, width, 1)` float32 grey levels, 0 to 255, to `(n, num_classes)`
        float32 logits.

    Raises:
        UserError: if the variant is unknown.
    """
    if variant not in {"one", "two"}:
        raise UserError(f"received variant = {variant!r}, expected 'one' or 'two'")
    pixels = keras.Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 255, name="scale")(pixels)
    x = layers.Conv2D(32, 5, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = Dropout(dropout, name="dropout1")(x)
    if variant == "two":
        x = layers.Conv2D(16, 3, activation="relu", name="conv2")(x)
        x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="hidden1")(x)
    x = Dropout(dropout, name="dropout2")(x)
    if variant == "two":
        x = layers.Dense(32, activation="relu", name="hidden2")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name=f"rath2021_{variant}")
