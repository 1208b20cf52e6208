"""Determine the input format of an imported network: layout, channels, size, normalization."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fercore.errors import UserError
from fercore.importers.scores import Scale

Layout = Literal["nhwc", "nchw"]

# ImageNet's mean and standard deviation, in units of 0 to 1, as model cards print them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Common normalizations by name: mean and standard deviation of grey levels from 0 to 255.
RANGES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "0-255": ((0.0,), (1.0,)),
    "0-1": ((0.0,), (255.0,)),
    "-1-1": ((127.5,), (127.5,)),
    "imagenet": (
        tuple(round(255 * value, 3) for value in IMAGENET_MEAN),
        tuple(round(255 * value, 3) for value in IMAGENET_STD),
    ),
    "-128-127": ((128.0,), (1.0,)),
}
# Sides that are tried if the file does not fix the size; it is used if only one fits the network.
COMMON_SIZES = (48, 64, 96, 100, 112, 128, 160, 192, 197, 224, 227, 240, 256, 260, 299)
MAX_SIZE = 4096
_LAYOUTS: tuple[Layout, ...] = ("nchw", "nhwc")
# Layout, channels, height and width; a side that the file does not fix is `None`.
_InputFormat = tuple[Layout, int, int | None, int | None]


@dataclass(frozen=True)
class ModelIOSpec:
    """The input and output format of an imported network.

    Attributes:
        layout: channels last or first.
        channels: 1, or 3 for the same grey level three times.
        size: `(height, width)` in pixels.
        mean: subtracted from grey levels of 0 to 255; one value per channel or one for all.
        std: divides the difference; one value per channel or one for all.
        output: how the scores are scaled, see `fercore.importers.scores.Scale`; `"raw"` leaves the
            scores unchanged.
        axes: number of axes of the input; fewer than four if it has no channel axis or is flat.
        output_name: of the output with the scores; the first output if empty.
    """

    layout: Layout
    channels: Literal[1, 3]
    size: tuple[int, int]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    output: Scale | Literal["raw"] = "probabilities"
    axes: int = 4
    output_name: str = ""


def with_range(spec: ModelIOSpec, name: str) -> ModelIOSpec:
    """Return the specification with the normalization of this name in `RANGES`."""
    mean, std = RANGES[name]
    if spec.channels == 1:
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    return replace(spec, mean=mean, std=std)


def list_input_specs(
    shape: list[int | None],
    name: str,
    layout: Layout | None,
    size: tuple[int, int] | None,
    channels: int | None,
) -> tuple[list[ModelIOSpec], bool]:
    """List the input formats that the shape of an input allows.

    Args:
        shape: of the input, with `None` for an axis of any length.
        name: of the file, for messages.
        layout: as given by the user, if the shape does not fix it.
        size: likewise, `(height, width)`.
        channels: likewise.

    Returns:
        The possible formats, and whether the size is open, so that `COMMON_SIZES` are listed.

    Raises:
        UserError: if the input is not an image, or does not fit the given options.
    """
    if len(shape) == 2:
        formats = _flat_formats(shape[1], layout, size, channels)
    elif len(shape) == 3:
        formats = [("nchw", 1, shape[1], shape[2])] if channels in {None, 1} else []
    elif len(shape) == 4:
        formats = _channel_formats(shape, name, layout, channels)
    else:
        raise UserError(
            f"{name} takes an input of {len(shape)} axes, expected four (batch, height, width and "
            "channels in any order), three without channels, or two with flattened images"
        )
    if not formats:
        raise UserError(
            f"{name} takes an input of the shape {_format_shape(shape)}, expected images with 1 or "
            f"3 channels{_format_options(layout, channels)}"
        )
    given_size = size or (0, 0)
    if size and not any(
        height in {None, size[0]} and width in {None, size[1]} for *_, height, width in formats
    ):
        raise UserError(
            f"received --size {size[0]}, {name} takes images of {formats[0][2]}x{formats[0][3]} "
            "pixels"
        )
    specs = []
    is_open = any(
        not (height or given_size[0]) or not (width or given_size[1])
        for *_, height, width in formats
    )
    for format_layout, format_channels, height, width in formats:
        sizes = [(side, side) for side in COMMON_SIZES] if is_open else [given_size]
        for default in sizes:
            pixels = height or default[0], width or default[1]
            if max(pixels) > MAX_SIZE:
                raise UserError(
                    f"{name} takes images of {pixels[0]}x{pixels[1]} pixels, expected sides of up "
                    f"to {MAX_SIZE}"
                )
            number: Literal[1, 3] = 1 if format_channels == 1 else 3
            specs.append(ModelIOSpec(format_layout, number, pixels, axes=len(shape)))
    return specs, is_open


def _channel_formats(
    shape: list[int | None], name: str, layout: Layout | None, channels: int | None
) -> list[_InputFormat]:
    """List the formats of an input with four axes."""
    formats: list[tuple[_InputFormat, bool]] = []
    axes: tuple[tuple[Layout, int | None, int | None, int | None], ...] = (
        ("nchw", shape[1], shape[2], shape[3]),
        ("nhwc", shape[3], shape[1], shape[2]),
    )
    for axes_layout, stored_channels, height, width in axes:
        if layout in {None, axes_layout}:
            formats += [
                ((axes_layout, number, height, width), stored_channels is not None)
                for number in (1, 3)
                if stored_channels in {None, number} and channels in {None, number}
            ]
    # A fixed number of channels tells which axis it is.
    fixed = [input_format for input_format, is_fixed in formats if is_fixed]
    if len(fixed) > 1:
        raise UserError(
            f"the input of {name}, {_format_shape(shape)}, does not tell which axis has the "
            "channels; expected --layout nchw or --layout nhwc"
        )
    return fixed or [input_format for input_format, _ in formats]


def _flat_formats(
    length: int | None, layout: Layout | None, size: tuple[int, int] | None, channels: int | None
) -> list[_InputFormat]:
    """List the formats of an input with flattened images."""
    formats: list[_InputFormat] = []
    for number in (1, 3):
        if channels not in {None, number}:
            continue
        height, width = size or (None, None)
        if length is not None:
            side = math.isqrt(length // number)
            if not size and side * side * number == length:
                height = width = side
            elif not height or not width or height * width * number != length:
                continue
        formats += [
            (key, number, height, width)
            for key in _LAYOUTS
            # With one channel, both layouts are the same.
            if (layout in {None, key} if number == 3 else key == "nchw")
        ]
    return formats


def _format_options(layout: Layout | None, channels: int | None) -> str:
    options = [f"--layout {layout}"] if layout else []
    options += [f"--channels {channels}"] if channels else []
    return f", as given by {' '.join(options)}" if options else ""


def _format_shape(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("any" if side is None else str(side) for side in shape) + ")"
