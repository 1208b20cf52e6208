"""How a foreign network takes images: layout, channels, size and normalization."""

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
# What grey levels from 0 to 255 are usually turned into: mean and standard deviation.
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
# Sides tried where the file leaves the size open and only one of them fits the network.
COMMON_SIZES = (48, 64, 96, 100, 112, 128, 160, 192, 197, 224, 227, 240, 256, 260, 299)
MAX_SIZE = 4096
_LAYOUTS: tuple[Layout, ...] = ("nchw", "nhwc")
# Layout, channels, height and width; a side that the file leaves open is `None`.
_Reading = tuple[Layout, int, int | None, int | None]


@dataclass(frozen=True)
class Interface:
    """What a foreign network takes and gives.

    Attributes:
        layout: channels last or first.
        channels: 1, or 3 for the same grey level three times.
        size: `(height, width)` in pixels.
        mean: subtracted from grey levels of 0 to 255, one value a channel or one for all.
        std: what is left is divided by it.
        output: how the scores are scaled, see `fercore.importers.scores.Scale`; `"raw"` leaves
            them as they
            are.
        axes: of the input; fewer than four where it has no axis of channels or is flattened.
        output_name: of the output that holds the scores; the first if empty.
    """

    layout: Layout
    channels: Literal[1, 3]
    size: tuple[int, int]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    output: Scale | Literal["raw"] = "probabilities"
    axes: int = 4
    output_name: str = ""


def ranged(interface: Interface, name: str) -> Interface:
    """The interface with one of `RANGES`."""
    mean, std = RANGES[name]
    if interface.channels == 1:
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    return replace(interface, mean=mean, std=std)


def interfaces_of(
    shape: list[int | None],
    name: str,
    layout: Layout | None,
    size: tuple[int, int] | None,
    channels: int | None,
) -> tuple[list[Interface], bool]:
    """Every reading of an input that its shape allows, and whether its size is open."""
    if len(shape) == 2:
        found = _flattened(shape[1], layout, size, channels)
    elif len(shape) == 3:
        found = [("nchw", 1, shape[1], shape[2])] if channels in {None, 1} else []
    elif len(shape) == 4:
        found = _with_channels(shape, name, layout, channels)
    else:
        raise UserError(
            f"{name} takes an input of {len(shape)} axes, expected four (batch, height, width and "
            "channels in any order), three without channels, or two with flattened images"
        )
    if not found:
        raise UserError(
            f"{name} takes an input of the shape {_shown(shape)}, expected images with 1 or 3 "
            f"channels{_given(layout, channels)}"
        )
    given = size or (0, 0)
    if size and not any(
        height in {None, size[0]} and width in {None, size[1]} for *_, height, width in found
    ):
        raise UserError(
            f"received --size {size[0]}, {name} takes images of {found[0][2]}x{found[0][3]} pixels"
        )
    interfaces = []
    is_open = any(
        not (height or given[0]) or not (width or given[1]) for *_, height, width in found
    )
    for key, number, height, width in found:
        sides = [(side, side) for side in COMMON_SIZES] if is_open else [given]
        for side in sides:
            pixels = height or side[0], width or side[1]
            if max(pixels) > MAX_SIZE:
                raise UserError(
                    f"{name} takes images of {pixels[0]}x{pixels[1]} pixels, expected sides of up "
                    f"to {MAX_SIZE}"
                )
            interfaces.append(Interface(key, 1 if number == 1 else 3, pixels, axes=len(shape)))
    return interfaces, is_open


def _with_channels(
    shape: list[int | None], name: str, layout: Layout | None, channels: int | None
) -> list[_Reading]:
    readings: list[tuple[_Reading, bool]] = []
    sides: tuple[tuple[Layout, int | None, int | None, int | None], ...] = (
        ("nchw", shape[1], shape[2], shape[3]),
        ("nhwc", shape[3], shape[1], shape[2]),
    )
    for key, own, height, width in sides:
        if layout in {None, key}:
            readings += [
                ((key, number, height, width), own is not None)
                for number in (1, 3)
                if own in {None, number} and channels in {None, number}
            ]
    # A number of channels that is fixed tells where they are.
    fixed = [reading for reading, is_fixed in readings if is_fixed]
    if len(fixed) > 1:
        raise UserError(
            f"the input of {name}, {_shown(shape)}, does not tell where its channels are; expected "
            "--layout nchw or --layout nhwc"
        )
    return fixed or [reading for reading, _ in readings]


def _flattened(
    width: int | None, layout: Layout | None, size: tuple[int, int] | None, channels: int | None
) -> list[_Reading]:
    found: list[_Reading] = []
    for number in (1, 3):
        if channels not in {None, number}:
            continue
        height, across = size or (None, None)
        if width is not None:
            side = math.isqrt(width // number)
            if not size and side * side * number == width:
                height = across = side
            elif not height or not across or height * across * number != width:
                continue
        found += [
            (key, number, height, across)
            for key in _LAYOUTS
            # One channel is the same in both.
            if (layout in {None, key} if number == 3 else key == "nchw")
        ]
    return found


def _given(layout: Layout | None, channels: int | None) -> str:
    options = [f"--layout {layout}"] if layout else []
    options += [f"--channels {channels}"] if channels else []
    return f" as {' '.join(options)} says" if options else ""


def _shown(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("any" if side is None else str(side) for side in shape) + ")"
