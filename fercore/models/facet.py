"""Facet, a family of small residual networks for 48x48 faces, designed in this project.

The parts are basic residual blocks (He et al., "Deep Residual Learning", CVPR 2016) with batch
normalisation after every convolution except depthwise ones, shortcuts that pool before they project
(ResNet-D: He et al., "Bag of Tricks", CVPR 2019), squeeze-and-excitation (Hu et al., CVPR 2018),
stochastic depth (Huang et al., ECCV 2016), and mean or attention pooling of the last feature map.
At 48x48 with seven outputs and the defaults: `"tiny"` 269,285 parameters, `"small"` 1,252,803,
`"base"` 4,986,885.
"""

import keras
from keras import KerasTensor, layers

from fercore.errors import UserError
from fercore.models._layers import BatchNormalization, Dropout

# Channels and number of blocks of each stage; the first stage has the full resolution.
_VARIANTS: dict[str, tuple[tuple[int, int], ...]] = {
    "tiny": ((16, 1), (32, 1), (64, 1), (112, 1)),
    "small": ((32, 1), (64, 1), (128, 1), (256, 1)),
    "base": ((48, 1), (96, 2), (192, 2), (320, 2)),
}


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    variant: str = "tiny",
    squeeze: int = 8,
    drop_path: float = 0.0,
    dropout: float = 0.0,
    pooling: str = "mean",
    convolution: str = "full",
    width: float = 1.0,
) -> keras.Model:
    """Build stages of residual blocks, each at half the resolution of the stage before.

    Args:
        input_shape: `(height, width, 1)`, at least 16x16.
        num_classes: number of logits.
        variant: `"tiny"`, `"small"` or `"base"`.
        squeeze: reduction ratio of squeeze-and-excitation; 0 switches it off.
        drop_path: probability that training skips the last block; the probabilities of the blocks
            before it rise to this value in equal steps.
        dropout: dropout rate before the logits.
        pooling: `"mean"`, or `"attention"`: a mean weighted by a softmax over the positions.
        convolution: kind of the convolutions in the blocks: `"full"`, or `"separable"`: depthwise,
            then across the channels (Howard et al., "MobileNets", 2017).
        width: factor for all numbers of channels, which are rounded to multiples of eight.

    Returns:
        A network from `(n, height, width, 1)` float32 grey levels, 0 to 255, to `(n, num_classes)`
        float32 logits.

    Raises:
        UserError: for an unknown variant, pooling or convolution, or a width that is not positive.
    """
    if variant not in _VARIANTS:
        raise UserError(f"received variant = {variant!r}, expected one of: {', '.join(_VARIANTS)}")
    if pooling not in {"mean", "attention"}:
        raise UserError(f"received pooling = {pooling!r}, expected 'mean' or 'attention'")
    if convolution not in {"full", "separable"}:
        raise UserError(f"received convolution = {convolution!r}, expected 'full' or 'separable'")
    if not 0 < width <= 16:
        raise UserError(f"received width = {width!r}, expected a factor above 0, at most 16")
    stages = [
        (max(8, 8 * round(filters * width / 8)), count) for filters, count in _VARIANTS[variant]
    ]
    pixels = keras.Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 64, offset=-2.0, name="scale")(pixels)
    x = _convolve(x, stages[0][0], 3, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    num_blocks = sum(count for _, count in stages)
    block = 0
    for stage, (filters, count) in enumerate(stages, start=1):
        for part in range(count):
            block += 1
            x = _block(
                x,
                filters,
                halve=stage > 1 and part == 0,
                squeeze=squeeze,
                drop_path=drop_path * block / num_blocks,
                separable=convolution == "separable",
                name=f"stage{stage}_{'abcdefgh'[part]}",
            )
    x = _pool(x, pooling)
    if dropout:
        x = Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name=f"facet_{variant}")


def _block(
    x: KerasTensor,
    filters: int,
    *,
    halve: bool,
    squeeze: int,
    drop_path: float,
    separable: bool,
    name: str,
) -> KerasTensor:
    convolve = _convolve_separably if separable else _convolve
    shortcut = x
    if halve:
        shortcut = layers.AveragePooling2D(2, name=f"{name}_pool")(shortcut)
    if shortcut.shape[-1] != filters:
        shortcut = _convolve(shortcut, filters, 1, f"{name}_shortcut")
    y = convolve(x, filters, 3, f"{name}_conv1", strides=2 if halve else 1)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = convolve(y, filters, 3, f"{name}_conv2")
    if squeeze:
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(y)
        gate = layers.Dense(max(filters // squeeze, 4), activation="relu", name=f"{name}_down")(
            gate
        )
        gate = layers.Dense(filters, activation="sigmoid", name=f"{name}_gate")(gate)
        y = layers.Multiply(name=f"{name}_excite")([y, gate])
    if drop_path:
        y = layers.Dropout(drop_path, noise_shape=(None, 1, 1, 1), name=f"{name}_path")(y)
    x = layers.Add(name=f"{name}_add")([shortcut, y])
    return layers.ReLU(name=f"{name}_relu2")(x)


def _convolve(x: KerasTensor, filters: int, size: int, name: str, strides: int = 1) -> KerasTensor:
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)


def _convolve_separably(
    x: KerasTensor, filters: int, size: int, name: str, strides: int = 1
) -> KerasTensor:
    x = layers.DepthwiseConv2D(
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )(x)
    return _convolve(x, filters, 1, name)


def _pool(x: KerasTensor, pooling: str) -> KerasTensor:
    if pooling == "mean":
        return layers.GlobalAveragePooling2D(name="mean")(x)
    _, height, width, channels = x.shape
    positions = layers.Reshape((height * width, channels), name="places")(x)
    scores = layers.Dense(1, dtype="float32", name="scores")(positions)
    weights = layers.Softmax(axis=1, name="attention")(scores)
    pooled = layers.Dot(axes=1, name="pooled")([weights, positions])
    return layers.Flatten(name="features")(pooled)
