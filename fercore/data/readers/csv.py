"""Read FER2013's CSV files row by row: label, pixels and usage."""

import codecs
import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, cast

from fercore.data import labels
from fercore.data.readers.archives import archive_errors
from fercore.errors import UserError

COLUMNS = ("emotion", "pixels", "usage")
VOTES = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "nf"),
)
_MAX_LINE = 1 << 16  # 2,304 pixels take 9 kB at most
_DELIMITERS = ",;\t"

_LEVELS = {str(level): level for level in range(256)} | {
    f"{level}.0": level for level in range(256)
}
_PIXEL_COLUMN = re.compile(r"(?:pixels?|px?)?[ _.-]?\d+")
_ALIASES = {"label": "emotion", "emotions": "emotion", "pixel": "pixels", "split": "usage"}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


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


@dataclass(frozen=True)
class Table:
    """An open table: its header, in lower case and stripped, the rows below, and its name."""

    header: list[str]
    rows: Iterator[list[str]]
    where: str


def open_table(stream: IO[bytes], where: str) -> Table | None:
    """Read the header of a CSV file in UTF-8, UTF-16 or UTF-32, delimited by `,`, `;` or tab.

    Returns:
        The table; `None` if it has no header.
    """
    buffered = _make_peekable(stream)
    text = io.TextIOWrapper(buffered, detect_encoding(buffered.peek(4)[:4]), "replace", newline="")
    lines = _read_lines(text, where)
    first = next(lines, "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
    except csv.Error:  # such as a quote that is not closed
        return None
    return Table(header, reader, where)


def has_votes(table: Table) -> bool:
    """Return whether a table has the votes of FER+ (`fer2013new.csv`)."""
    return set(VOTES) <= set(table.header)


def detect_encoding(head: bytes) -> str:
    """Return the encoding of a text by its first four bytes; UTF-8 by default."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    if len(head) >= 2 and 0 in head[:2]:  # UTF-16 without a byte order mark: a header is ASCII
        return "utf-16-le" if head[1] == 0 else "utf-16-be"
    return "utf-8"


def read_rows(
    table: Table,
    class_names: Sequence[str],
    num_pixels: int,
    reject: Callable[[str], None],
) -> Iterator[Row] | None:
    """Read the rows of a table that has `COLUMNS`, in any order.

    A label is a number, also in the form `3.0`, or the name of a class. The pixels are in one
    column, separated by spaces or commas, or in one column each.

    Args:
        table: see `open_table`.
        class_names: labels are positions in it.
        num_pixels: length of `Row.pixels`.
        reject: called with a message for each invalid row; the row is left out.

    Returns:
        The rows; `None` if the header lacks one of the columns.

    Raises:
        UserError: while iterating, if the file cannot be read to its end.
    """
    header = [
        _ALIASES[name] if name in _ALIASES and _ALIASES[name] not in table.header else name
        for name in table.header
    ]
    if not {"emotion", "usage"} <= set(header):
        return None
    pixel_columns = [index for index, name in enumerate(header) if _PIXEL_COLUMN.fullmatch(name)]
    if "pixels" in header:
        pixel_columns = [header.index("pixels")]
    elif len(pixel_columns) != num_pixels:
        return None
    columns = (header.index("emotion"), header.index("usage"))
    return _parse_rows(table, columns, pixel_columns, class_names, num_pixels, reject)


def _make_peekable(stream: IO[bytes]) -> io.BufferedReader:
    if hasattr(stream, "peek"):
        return cast(io.BufferedReader, stream)
    return io.BufferedReader(cast(io.RawIOBase, stream))


def _read_lines(text: io.TextIOWrapper, where: str) -> Iterator[str]:
    try:
        with archive_errors(where):
            while line := text.readline(_MAX_LINE):
                if len(line) == _MAX_LINE:
                    raise UserError(f"{where} has a line longer than {_MAX_LINE}, expected a table")
                yield line
    finally:
        with suppress(ValueError):  # closed already, if a bad row ended the reading
            text.detach()  # the caller closes the stream


def _parse_rows(
    table: Table,
    columns: tuple[int, int],
    pixel_columns: Sequence[int],
    class_names: Sequence[str],
    num_pixels: int,
    reject: Callable[[str], None],
) -> Iterator[Row]:
    for number, cells in enumerate(iter_filled_rows(table)):
        try:
            emotion, usage = (cells[column] for column in columns)
            label = _parse_label(emotion, class_names)
            text = " ".join([cells[column] for column in pixel_columns])
            levels = bytes(map(_LEVELS.__getitem__, _split_levels(text)))
            if len(levels) != num_pixels:
                raise ValueError(f"{len(levels)} pixels")
        except (ValueError, KeyError, IndexError) as error:
            reject(
                f"{table.where}, data row {number} (from 0) cannot be read ({_reason(error)}): "
                f"expected an emotion from 0 to {len(class_names) - 1}, or its name, and "
                f"{num_pixels} grey levels from 0 to 255"
            )
        else:
            yield Row(number, label, usage.strip(), levels)


def iter_filled_rows(table: Table) -> Iterator[list[str]]:
    """Iterate over the rows of a table that are not blank.

    Raises:
        UserError: if the file is not a CSV file.
    """
    try:
        for cells in table.rows:
            if cells:
                yield cells
    except csv.Error as error:
        raise UserError(f"{table.where} is not a table ({error}); expected a CSV file") from error


def _parse_label(text: str, class_names: Sequence[str]) -> int:
    emotion = labels.canonical(text)
    if emotion in class_names:
        return list(class_names).index(emotion)
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"emotion {text[:20]!r}") from None
    if value not in range(len(class_names)):
        raise ValueError(f"emotion {text[:20]}")
    return int(value)


def _split_levels(text: str) -> list[str]:
    """Split grey levels that are separated by spaces, commas or semicolons, also in brackets."""
    if not text[:1].isdigit() or "," in text or ";" in text:
        text = text.translate(_SEPARATORS)
    return text.split()


_SEPARATORS = str.maketrans(",;[]()", "      ")


def _reason(error: Exception) -> str:
    match error:
        case KeyError():
            return f"grey level {str(error.args[0])[:20]!r}"
        case IndexError():
            return "a column is missing"
        case _:
            return str(error)[:80]
