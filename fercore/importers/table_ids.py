"""Match the ids in a prediction table with the samples of a split."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fercore.data.splits import Split
from fercore.errors import UserError
from fercore.io.file_names import quoted

# A table with more rows per sample is refused without comparing its ids.
_MAX_ROWS_PER_SAMPLE = 20


def match_ids(
    given: Sequence[str], split: Split, file: str
) -> tuple[NDArray[np.intp] | None, UserError | None]:
    """Match the ids of a table with the samples of a split.

    The ids are compared as they are, then without suffix, without folders, and without case and
    leading zeros. The first comparison that matches every row is used.

    Args:
        given: ids in a table.
        split: the samples.
        file: name of the table, for messages.

    Returns:
        The index of each row in the split, `(n,)`, and `None`; or `None` and the error.
    """
    sample_ids, unmatched = split.ids.tolist(), [*given]
    if len(given) > _MAX_ROWS_PER_SAMPLE * len(sample_ids):
        return None, UserError(
            f"{file} has {len(given):,} rows, the split {len(sample_ids):,} samples; expected one "
            "row for each image"
        )
    for normalize in _NORMALIZATIONS:
        index_of = {normalize(name): index for index, name in enumerate(sample_ids)}
        if len(index_of) < len(sample_ids):
            continue  # normalized ids of different samples are equal
        unknown = [name for name in given if normalize(name) not in index_of]
        if unknown:
            unmatched = min(unmatched, unknown, key=len)
            continue
        indices = [index_of[normalize(name)] for name in given]
        if len(set(indices)) < len(indices):
            times = Counter(indices)
            repeated = next(n for n, i in zip(given, indices, strict=True) if times[i] > 1)
            return None, UserError(
                f"{file}: {quoted(repeated)} occurs more than once; expected one row for each image"
            )
        missing = set(range(len(sample_ids))) - set(indices)
        if missing:
            return None, UserError(
                f"{file} lacks {len(missing):,} of the {len(sample_ids):,} samples of this split, "
                f"such as {quoted(sample_ids[min(missing)])}"
            )
        return np.array(indices, np.intp), None
    return None, UserError(
        f"{file}: {len(unmatched):,} ids are not of this split, such as {quoted(unmatched[0])}; "
        f"its ids look like {quoted(sample_ids[0])}"
    )


def rows_by_split(
    given: Sequence[str], split: Split, other_ids: Mapping[str, Sequence[str]]
) -> list[str] | None:
    """Return the name of the other split of each row; empty for rows of this split.

    Args:
        given: ids in a table.
        split: the samples of this split.
        other_ids: ids of the other splits of the dataset, by name of the split.

    Returns:
        `None` unless each id is of one of the splits, and at least one is of another split.
    """
    sample_ids = split.ids.tolist()
    if len(given) > len(sample_ids) + sum(map(len, other_ids.values())):
        return None
    for normalize in _NORMALIZATIONS:
        title_of = {normalize(name): title for title, ids in other_ids.items() for name in ids}
        normalized_ids = {normalize(name) for name in sample_ids}
        if normalized_ids & title_of.keys():
            continue  # normalized ids of different splits are equal
        titles = [
            "" if normalize(name) in normalized_ids else title_of.get(normalize(name))
            for name in given
        ]
        matched = [title for title in titles if title is not None]
        if len(matched) == len(titles) and any(matched):
            return matched
    return None


def _without_suffix(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    image = path.suffix.lower() in _IMAGE_SUFFIXES
    return str(path.with_suffix("") if image else path)


def _stem(name: str) -> str:
    return PurePosixPath(_without_suffix(name)).name


def _without_case_and_zeros(name: str) -> str:
    """Return the stem in lower case, without leading zeros of its numbers."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", _stem(name).casefold())


# From the strictest to the most tolerant.
_NORMALIZATIONS: tuple[Callable[[str], str], ...] = (
    *(str, _without_suffix, _stem, _without_case_and_zeros),
)
_IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"),
    *(".gif", ".npy", ".avif", ".heic", ".heif"),
)


def parse_positions(
    cells: Sequence[str], first: int, count: int
) -> tuple[NDArray[np.intp], int] | None:
    """Parse cells that number the samples of a split without a gap.

    Args:
        cells: such as `"17"` or `"fer0032298.png"`.
        first: position of the split's first sample in the dataset, from which numbers may count.
        count: number of samples of the split.

    Returns:
        The position of each cell, and the lowest number; `None` if the cells do not number the
        samples.
    """
    if len(cells) != count:
        return None
    numbers = [re.fullmatch(r"(?:[A-Za-z]*[_-]?)0*(\d{1,9})(?:\.0)?", _stem(c)) for c in cells]
    if not all(numbers):
        return None
    values = np.array([int(match.group(1)) for match in numbers if match])
    start = int(values.min())
    if start not in {0, 1, first, first + 1}:
        return None
    is_complete = len(np.unique(values)) == len(values) and values.max() - start == len(values) - 1
    return (np.asarray(values - start, np.intp), start) if is_complete else None
