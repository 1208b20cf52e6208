"""Scale the levels of an image to 8 bits, by the range that they use."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The least number of bits that can hold the highest level is taken for the file's real depth.
_DEPTHS = (8, 10, 12, 14, 16, 24, 32)
_STRIP_PIXELS = 1 << 20  # converted at a time


def scale_levels(levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale levels of any type to 8 bits, by the range that they use.

    Whole numbers: the least of 8, 10, 12, 14, 16, 24 and 32 bits that holds the highest level.
    Floats: 0 to 1 where none is above 2, -1 to 1 where some are far below 0, else as whole numbers.
    """
    if levels.dtype == np.uint8:
        return np.array(levels)
    low, high = _finite_range(levels)
    is_float = levels.dtype.kind == "f"
    offset = 0.0
    if is_float and -1.1 <= low < -0.2 and high <= 1.1:
        offset, factor = 1.0, 255 / 2
    elif is_float and high <= 2:
        factor = 255.0
    else:
        bits = next((bits for bits in _DEPTHS if high < 2**bits), 32)
        factor = 255 / (2**bits - 1)
    eight = np.empty(levels.shape, np.uint8)
    for rows in strips(levels):
        values = levels[rows].astype(np.float32)
        np.nan_to_num(values, copy=False, nan=0.0, posinf=high, neginf=low)
        values += offset
        values *= factor
        eight[rows] = np.clip(np.rint(values), 0, 255)
    return eight


def _finite_range(levels: NDArray[Any]) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for rows in strips(levels):
        values = levels[rows]
        values = values[np.isfinite(values)]
        low = min(low, float(values.min(initial=np.inf if values.dtype.kind == "f" else 0)))
        high = max(high, float(values.max(initial=-np.inf if values.dtype.kind == "f" else 0)))
    return (low, high) if low <= high else (0.0, 0.0)


def strips(levels: NDArray[Any]) -> Iterator[slice]:
    """Rows of an image, some at a time."""
    height, width = levels.shape[:2]
    step = max(1, _STRIP_PIXELS // max(1, width))
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))
