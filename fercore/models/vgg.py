"""VGG: plain stacks of 3x3 convolutions with batch normalisation and global average pooling.

Four stages of two convolutions, each stage at half the resolution of the one before and twice as
wide (Simonyan & Zisserman, "Very Deep Convolutional Networks", ICLR 2015; batch normalisation:
Ioffe & Szegedy, ICML 2015; global average pooling in place of dense layers: Lin et al., "Network in
Network", ICLR 2014). Large dense convolutions keep a CPU busier than residual blocks of many small
operations. At 48x48 with seven outputs and the defaults: `"tiny"` 295,575 parameters, `"small"`
1,176,359, `"base"` 4,693,575. The weights fit images of any size.

The options for short trainings follow Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU"
(2024): a whitened first convolution, and convolutions that begin as the identity.
"""

import keras
from keras import KerasTensor, layers

from fercore.errors import UserError
from fercore.models._layers import BatchNormalization, DiracInitializer, Dropout, WhiteningConv2D

# Channels of the four stages.
_VARIANTS: dict[str, tuple[int, ...]] = {
    "tiny": (16, 32, 64, 128),
    "small": (32, 64, 128, 256),
    "base": (64, 128, 256, 512),
}
_WHITENING_KERNEL = 3


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "small",
    stage_dropout: float = 0.0,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.9,
    initializer: str = "he_normal",
    whitening: bool = False,
) -> keras.Model:
    """Build four stages of two 3x3 convolutions, global average pooling, and logits.

    Args:
        input_shape: `(height, width, 1)`, at least 16x16.
        num_classes: number of logits.
        variant: `"tiny"`, `"small"` or `"base"`.
        stage_dropout: dropout rate after the pooling of each stage.
        dropout: dropout rate before the logits.
        batch_norm_momentum: share of the moving statistics that each batch keeps.
        initializer: `"he_normal"` (He et al., 2015), or `"dirac"`: the first output channels copy
            the input channels, the others are initialized as with `"he_normal"`.
        whitening: put a fixed convolution before the network whose filters decorrelate 3x3 patches
            of the training images, see `fercore.models._layers.WhiteningConv2D`.

    Returns:
        A network from `(n, height, width, 1)` float32 grey levels, 0 to 255, to `(n, num_classes)`
        float32 logits.

    Raises:
        UserError: for an unknown variant or initializer.
    """
    if variant not in _VARIANTS:
        raise UserError(f"received variant = {variant!r}, expected one of: {', '.join(_VARIANTS)}")
    if initializer not in {"he_normal", "dirac"}:
        raise UserError(f"received initializer = {initializer!r}, expected 'he_normal' or 'dirac'")
    pixels = keras.Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 64, offset=-2.0, name="scale")(pixels)
    if whitening:
        x = WhiteningConv2D(_WHITENING_KERNEL, name="whitening")(x)
        x = layers.ReLU(name="whitening_relu")(x)
    for stage, filters in enumerate(_VARIANTS[variant], start=1):
        for part in "ab":
            x = _convolve(x, filters, initializer, batch_norm_momentum, f"stage{stage}_{part}")
        if stage < len(_VARIANTS[variant]):
            x = layers.MaxPooling2D(2, name=f"stage{stage}_pool")(x)
        if stage_dropout:
            x = Dropout(stage_dropout, name=f"stage{stage}_dropout")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    if dropout:
        x = Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name=f"vgg_{variant}")


def _convolve(
    x: KerasTensor, filters: int, initializer: str, momentum: float, name: str
) -> KerasTensor:
    kernel = DiracInitializer() if initializer == "dirac" else "he_normal"
    x = layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer=kernel, name=name
    )(x)
    x = BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
