"""Match the ids in a prediction table with the samples of a split."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fercore.data.splits import Split
from fercore.errors import UserError
from fercore.io.file_names import quoted

# Tables with more rows cannot hold one for each sample: their ids are not looked at one by one.
_MAX_ROWS_PER_SAMPLE = 20


def match_ids(
    given: Sequence[str], split: Split, file: str
) -> tuple[NDArray[np.intp] | None, UserError | None]:
    """Place of each row in the split, by the strictest reading of ids that fits every row."""
    own, fewest = split.ids.tolist(), [*given]
    if len(given) > _MAX_ROWS_PER_SAMPLE * len(own):
        return None, UserError(
            f"{file} has {len(given):,} rows, the split {len(own):,} samples; expected one row for "
            "each image"
        )
    for key in (str, _without_suffix, _stem, _loose):
        known = {key(name): place for place, name in enumerate(own)}
        if len(known) < len(own):
            continue  # this reading does not tell the samples apart
        unknown = [name for name in given if key(name) not in known]
        if unknown:
            fewest = min(fewest, unknown, key=len)
            continue
        places = [known[key(name)] for name in given]
        if len(set(places)) < len(places):
            times = Counter(places)
            twice = next(n for n, place in zip(given, places, strict=True) if times[place] > 1)
            return None, UserError(
                f"{file}: {quoted(twice)} stands more than once; expected one row for each image"
            )
        missing = set(range(len(own))) - set(places)
        if missing:
            return None, UserError(
                f"{file} lacks {len(missing):,} of the {len(own):,} samples of this split, such "
                f"as {quoted(own[min(missing)])}"
            )
        return np.array(places, np.intp), None
    return None, UserError(
        f"{file}: {len(fewest):,} ids are not of this split, such as {quoted(fewest[0])}; its ids "
        f"look like {quoted(own[0])}"
    )


def rows_by_split(
    given: Sequence[str], split: Split, elsewhere: Mapping[str, Sequence[str]]
) -> list[str] | None:
    """Name of the other split that each row belongs to; empty for rows of this split.

    Args:
        given: ids in a table.
        split: the samples that are looked for.
        elsewhere: ids of the other splits of the dataset.

    Returns:
        `None` unless each id is of one of the splits, and some are of another one.
    """
    own_ids = split.ids.tolist()
    if len(given) > len(own_ids) + sum(map(len, elsewhere.values())):
        return None
    for key in (str, _without_suffix, _stem, _loose):
        titles = {key(name): title for title, ids in elsewhere.items() for name in ids}
        own = {key(name) for name in own_ids}
        if own & titles.keys():
            continue  # this reading does not tell the splits apart
        found = ["" if key(name) in own else titles.get(key(name)) for name in given]
        known = [title for title in found if title is not None]
        if len(known) == len(found) and any(known):
            return known
    return None


def _without_suffix(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    image = path.suffix.lower() in _IMAGE_SUFFIXES
    return str(path.with_suffix("") if image else path)


def _stem(name: str) -> str:
    return PurePosixPath(_without_suffix(name)).name


def _loose(name: str) -> str:
    """The name without case and without leading zeros of its numbers."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", _stem(name).casefold())


_IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"),
    *(".gif", ".npy", ".avif", ".heic", ".heif"),
)


def positions(cells: Sequence[str], first: int, count: int) -> tuple[NDArray[np.intp], int] | None:
    """Read cells that number the samples of a split without a gap.

    Args:
        cells: such as `"17"` or `"fer0032298.png"`.
        first: position of the split's first sample in the dataset: numbers may count from there.
        count: samples of the split.

    Returns:
        The position of each, and the lowest number; `None` if they number it otherwise.
    """
    if len(cells) != count:
        return None
    numbers = [re.fullmatch(r"(?:[A-Za-z]*[_-]?)0*(\d{1,9})(?:\.0)?", _stem(c)) for c in cells]
    if not all(numbers):
        return None
    values = np.array([int(found.group(1)) for found in numbers if found])
    start = int(values.min())
    if start not in {0, 1, first, first + 1}:
        return None
    whole = len(np.unique(values)) == len(values) and values.max() - start == len(values) - 1
    return (np.asarray(values - start, np.intp), start) if whole else None
