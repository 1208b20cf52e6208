"""Read a delimited text file; detect its compression, encoding and delimiter."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from fercore.errors import UserError

SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
MAX_BYTES = 64 << 20
MAX_CELLS = 8_000_000
MAX_COLUMNS = 10_000

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_ROWS = 20
_MAX_COMMENTS = 10_000
# UTF-32 before UTF-16: its little-endian byte order mark begins with the same two bytes.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        name: of the file.
        header: names of the columns, without surrounding space.
        rows: cells, each row as long as the header.
        lines: line number of each row in the file, from 1.
        decimal_comma: whether numbers may be written with a decimal comma.
        notes: lines on how the file was read, if it is not plain UTF-8 with commas.
    """

    name: str
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    decimal_comma: bool
    notes: tuple[str, ...]


def is_table(path: Path) -> bool:
    """Return whether a file name has the suffix of a delimited text file, compressed or not."""
    name = path.name.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return name.endswith(SUFFIXES)


def read_delimited(path: Path) -> Table:
    """Read a table with a header.

    The content may be compressed by gzip, bzip2, xz or ZIP; in UTF-8, UTF-16, UTF-32 or
    Windows-1252; and delimited by commas, semicolons, tabs or vertical bars.

    Raises:
        UserError: if the file cannot be read, is too large, or its rows differ in length.
    """
    content = _decompress(path)
    text, encoding = _decode(content, path.name)
    notes = [f"read as {encoding}"] if encoding not in {"utf-8", "utf-8-sig"} else []
    # Excel's first line `sep=;`, and comments of other programs.
    first = re.match(r"sep=(.)\r?\n", text)
    delimiter = first.group(1) if first else None
    text, skipped = (text[first.end() :], 1) if first else (text, 0)
    start = 0
    while text.startswith("#", start) and skipped <= _MAX_COMMENTS:
        start, skipped = (text.find("\n", start) + 1) or len(text), skipped + 1
    text = text[start:]
    if not text.strip():
        raise UserError(f"{path.name} is empty; expected a table with a header")
    if file_format := _other_format(text):
        raise UserError(
            f"{path.name} is {file_format}, expected a table with a header (CSV or TSV)"
        )
    delimiter = delimiter or _detect_delimiter(text, path.name)
    if text.count(delimiter) + text.count("\n") > MAX_CELLS:
        raise UserError(f"{path.name} has more than {MAX_CELLS:,} cells, expected a smaller table")
    if delimiter != ",":
        notes.append(f"columns separated by {_delimiter_name(delimiter)}")
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num + skipped)
    except csv.Error as error:
        raise UserError(f"{path.name}, line {reader.line_num + skipped}: {error}") from None
    if len(rows) < 2:
        raise UserError(f"{path.name} has no rows below a header")
    if len(rows[0]) > MAX_COLUMNS:
        raise UserError(f"{path.name} has {len(rows[0]):,} columns, expected up to {MAX_COLUMNS:,}")
    header = _equalize_rows(rows, lines, path.name)
    return Table(path.name, header, rows[1:], lines[1:], delimiter != ",", tuple(notes))


def _decompress(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(6)
            file.seek(0)
            with _open_content(file, start) as stream:
                content = stream.read(MAX_BYTES + 1)
    except _READ_ERRORS as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"cannot read {path}: {' '.join(reason.split())[:160]}") from None
    if len(content) > MAX_BYTES:
        raise UserError(
            f"{path.name} has more than {MAX_BYTES >> 20} MiB of text, expected a smaller table"
        )
    return content


def _open_content(file: IO[bytes], start: bytes) -> IO[bytes]:
    """Open the content of a file that may be compressed, by its first bytes."""
    if start.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(file))
    if start.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(file))
    if start.startswith(b"\xfd7zXZ"):
        return cast(IO[bytes], lzma.open(file))
    if start.startswith(b"PK\x03\x04"):
        archive = zipfile.ZipFile(file)
        members = [entry for entry in archive.infolist() if is_table(Path(entry.filename))]
        if len(members) != 1:
            raise OSError(f"the ZIP holds {len(members)} tables, expected one")
        return archive.open(members[0])
    return file


def _decode(content: bytes, name: str) -> tuple[str, str]:
    """Return the text of a file, and its encoding."""
    for bom, encoding in _BOMS:
        if content.startswith(bom):
            return _decode_strictly(content, encoding, name), encoding
    # UTF-16 without a byte order mark: every second byte of plain Latin text is zero.
    sample = content[:4096]
    for encoding, high_bytes in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if len(high_bytes) > 8 and high_bytes.count(0) > 0.6 * len(high_bytes):
            return _decode_strictly(content, encoding, name), encoding
    if b"\0" in content:
        raise UserError(f"{name} is not a text file; expected a table with a header")
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), "Windows-1252"


def _other_format(text: str) -> str:
    """Return the format of a text that does not begin as a table does; empty if not recognised."""
    start = text.lstrip()[:200].lower()
    if re.match(r"\{|\[\s*[\[{\"]|\[\s*-?\d", start):
        return "JSON"
    if re.match(r"<(\?xml|!doctype|html|table|svg)", start):
        return "HTML or XML"
    return "a Git LFS pointer" if start.startswith("version https://git-lfs") else ""


def _decode_strictly(content: bytes, encoding: str, name: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeError:
        raise UserError(f"{name} is not a readable CSV file (damaged {encoding} text)") from None


def _detect_delimiter(text: str, name: str) -> str:
    """Return the delimiter that divides the first rows into the most columns of equal number."""
    sample = "\n".join(text[:200_000].splitlines()[: _SAMPLE_ROWS + 1])
    widths: dict[str, int] = {}
    for delimiter in _DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row]
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 0
        # The header may lack the name of the first column, as R writes it.
        if width > 1 and {len(row) for row in rows[1:]} <= {width, width + 1}:
            widths[delimiter] = width
    if widths:
        return max(widths, key=lambda delimiter: widths[delimiter])
    header = text.partition("\n")[0]
    most_frequent = max(_DELIMITERS, key=header.count)
    if not header.count(most_frequent):
        raise UserError(
            f"{name} is not a readable CSV file (its header {header[:60]!r} has one column); "
            "expected columns separated by ',', ';' or a tab"
        )
    return most_frequent


def _equalize_rows(rows: list[list[str]], lines: list[int], name: str) -> tuple[str, ...]:
    """Drop trailing empty cells, so that every row has the header's length; return the header.

    Raises:
        UserError: if a row has another length.
    """
    header = rows[0]
    # R writes no name for the column of row names.
    if header[-1] and all(len(row) == len(header) + 1 and row[-1] for row in rows[1:]):
        header = ["", *header]
    for row, line in zip(rows[1:], lines[1:], strict=True):
        while len(row) > len(header) and not row[-1]:
            row.pop()
        if len(row) != len(header):
            raise UserError(
                f"{name} is not a readable CSV file (line {line} has {len(row)} columns, the "
                f"header {len(header)})"
            )
    return tuple(header)


def _delimiter_name(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else f"{delimiter!r}"
