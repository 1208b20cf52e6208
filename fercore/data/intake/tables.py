"""Read the CSV edition of FER2013, row by row."""

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from fercore.data.intake.members import readable
from fercore.errors import UserError

COLUMNS = ("emotion", "pixels", "usage")
_MAX_LINE = 1 << 16  # 2,304 pixels take 9 kB at most

_LEVELS = {str(level): level for level in range(256)}


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a table.

    Attributes:
        number: position among the data rows, from 0, as pandas counts.
        label: the class number.
        usage: such as `"PublicTest"`.
        pixels: grey levels, row by row.
    """

    number: int
    label: int
    usage: str
    pixels: bytes


def read_rows(
    stream: IO[bytes], where: str, num_classes: int, num_pixels: int
) -> Iterator[Row] | None:
    """Read a table whose header names `COLUMNS`, in any order and case, with or without spaces.

    Args:
        stream: the file.
        where: the file in words, for messages.
        num_classes: labels run from 0 to below this.
        num_pixels: length of `Row.pixels`.

    Returns:
        The rows, or None if the header lacks one of the columns.

    Raises:
        UserError: while iterating, if a row does not hold what it should.
    """
    reader = csv.reader(_lines(io.TextIOWrapper(stream, "utf-8-sig", "replace", newline=""), where))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
    except csv.Error:  # such as a quote that never ends
        return None
    if not set(COLUMNS) <= set(header):
        return None
    places = [header.index(name) for name in COLUMNS]
    return _parse(reader, places, where, num_classes, num_pixels)


def _lines(text: io.TextIOWrapper, where: str) -> Iterator[str]:
    try:
        with readable(where):
            while line := text.readline(_MAX_LINE):
                if len(line) == _MAX_LINE:
                    raise UserError(f"{where} has a line longer than {_MAX_LINE}, expected a table")
                yield line
    finally:
        with suppress(ValueError):  # closed already, where a bad row ended the reading
            text.detach()  # the stream is the caller's to close


def _parse(
    reader: Iterator[list[str]],
    places: list[int],
    where: str,
    num_classes: int,
    num_pixels: int,
) -> Iterator[Row]:
    number = -1
    try:
        for cells in reader:
            if not cells:
                continue
            number += 1
            emotion, pixels, usage = (cells[place] for place in places)
            label = int(emotion)
            levels = bytes(map(_LEVELS.__getitem__, pixels.split()))
            if not 0 <= label < num_classes:
                raise ValueError(f"emotion {label}")
            if len(levels) != num_pixels:
                raise ValueError(f"{len(levels)} pixels")
            yield Row(number, label, usage.strip(), levels)
    except (ValueError, KeyError, IndexError, csv.Error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{where}, data row {number} (from 0) cannot be read ({_reason(error)}): expected an "
            f"emotion from 0 to {num_classes - 1} and {num_pixels} grey levels from 0 to 255"
        ) from error


def _reason(error: Exception) -> str:
    match error:
        case KeyError():
            return f"grey level {str(error.args[0])[:20]!r}"
        case IndexError():
            return "a column is missing"
        case _:
            return str(error)[:80]
