"""Scale the levels of an image to 8 bits by their range."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The depth of a file is taken to be the smallest of these that can represent its highest level.
_DEPTHS = (8, 10, 12, 14, 16)
_MIN_UNIT = 0.02  # lowest maximum of an image of 0 to 1; a darker one would look black
_MAX_OVERSHOOT = 0.1  # of the highest level: negative values that a filter leaves, clipped to 0
_MAX_FLOAT32 = 1e30  # levels beyond are converted in 64 bits
_STRIP_PIXELS = 1 << 20  # converted at a time


def scale_levels(levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale levels of any type to 8 bits by their range.

    Integers: the range is the smallest of 8, 10, 12, 14 and 16 bits that can represent the highest
    level (15 instead of 14 bits for signed integers). Floats: 0 to 1 if no level is above 2, -1 to
    1 if some levels are far below 0, else as for integers. For other ranges there is no convention:
    if some levels are far below 0, the lowest becomes black and the highest white; if all levels
    are tiny or need more than 16 bits, 0 becomes black and the highest white.
    """
    if levels.dtype == np.uint8:
        return np.array(levels)
    low, high = _finite_range(levels)
    black, white = _black_and_white(low, high, levels.dtype.kind)
    eight = np.empty(levels.shape, np.uint8)
    kind = np.float32 if max(-low, high) < _MAX_FLOAT32 else np.float64
    for rows in iter_strips(levels):
        values: NDArray[Any] = levels[rows].astype(kind)
        np.nan_to_num(values, copy=False, nan=black, posinf=high, neginf=low)
        np.subtract(values, black, out=values)
        np.multiply(values, 255 / (white - black), out=values)
        eight[rows] = np.clip(np.rint(values), 0, 255)
    return eight


def _black_and_white(low: float, high: float, kind: str) -> tuple[float, float]:
    """Return the levels that become 0 and 255, from the lowest and highest level and their kind.

    The kind is NumPy's: `"u"`, `"i"` or `"f"`.
    """
    if kind == "f":
        if -1.1 <= low < -0.2 and high <= 1.1:
            return -1.0, 1.0
        if (low >= -0.2 and _MIN_UNIT <= high <= 2) or low == high == 0:
            return 0.0, 1.0
    if low < -_MAX_OVERSHOOT * abs(high):
        return low, high if high > low else low + 1
    if kind == "f" and 0 < high < _MIN_UNIT:
        return 0.0, high
    depths = (*_DEPTHS[:-1], 15, 16) if kind == "i" else _DEPTHS
    return 0.0, next((2.0**bits - 1 for bits in depths if high < 2**bits), high)


def _finite_range(levels: NDArray[Any]) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for rows in iter_strips(levels):
        values = levels[rows]
        values = values[np.isfinite(values)]
        low = min(low, float(values.min(initial=np.inf if values.dtype.kind == "f" else 0)))
        high = max(high, float(values.max(initial=-np.inf if values.dtype.kind == "f" else 0)))
    return (low, high) if low <= high else (0.0, 0.0)


def iter_strips(levels: NDArray[Any]) -> Iterator[slice]:
    """Iterate over the rows of an image in slices of about `_STRIP_PIXELS` pixels."""
    height, width = levels.shape[:2]
    step = max(1, _STRIP_PIXELS // max(1, width))
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))
