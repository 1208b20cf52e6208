"""Read a delimited text file as other programs write it: encoding, compression and delimiter."""

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
# UTF-32 before UTF-16: its little-endian mark begins with the same two bytes.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        name: of the file.
        header: names of the columns, without surrounding space.
        rows: cells, each row as long as the header.
        lines: line number of each row in the file, from 1.
        decimal_comma: whether numbers may be written with a decimal comma.
        notes: how the file was read, where that was not plain UTF-8 with commas.
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
    content = _decompressed(path)
    text, encoding = _decoded(content, path.name)
    notes = [f"read as {encoding}"] if encoding not in {"utf-8", "utf-8-sig"} else []
    # Excel's own first line, and comments of other programs.
    first = re.match(r"sep=(.)\r?\n", text)
    delimiter = first.group(1) if first else None
    text, skipped = (text[first.end() :], 1) if first else (text, 0)
    start = 0
    while text.startswith("#", start) and skipped <= _MAX_COMMENTS:
        start, skipped = (text.find("\n", start) + 1) or len(text), skipped + 1
    text = text[start:]
    if not text.strip():
        raise UserError(f"{path.name} is empty; expected a table with a header")
    if form := _other_form(text):
        raise UserError(f"{path.name} holds {form}, expected a table with a header (CSV or TSV)")
    delimiter = delimiter or _delimiter(text, path.name)
    if text.count(delimiter) + text.count("\n") > MAX_CELLS:
        raise UserError(f"{path.name} has more than {MAX_CELLS:,} cells, the largest table taken")
    if delimiter != ",":
        notes.append(f"columns separated by {_shown(delimiter)}")
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
    header = _even_out(rows, lines, path.name)
    return Table(path.name, header, rows[1:], lines[1:], delimiter != ",", tuple(notes))


def _decompressed(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(6)
            file.seek(0)
            with _opened(file, start) as stream:
                content = stream.read(MAX_BYTES + 1)
    except _DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"cannot read {path}: {' '.join(reason.split())[:160]}") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{path.name} holds more than {MAX_BYTES >> 20} MiB, the largest taken")
    return content


def _opened(file: IO[bytes], start: bytes) -> IO[bytes]:
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


def _decoded(content: bytes, name: str) -> tuple[str, str]:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _strictly(content, encoding, name), encoding
    # UTF-16 without a mark: every second byte of plain Latin text is zero.
    sample = content[:4096]
    for encoding, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[0::2])):
        if len(zeros) > 8 and zeros.count(0) > 0.6 * len(zeros):
            return _strictly(content, encoding, name), encoding
    if b"\0" in content:
        raise UserError(f"{name} is not a text file; expected a table with a header")
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), "Windows-1252"


def _other_form(text: str) -> str:
    """What a text is that begins as no table of delimited columns does; empty if none of these."""
    start = text.lstrip()[:200].lower()
    if re.match(r"\{|\[\s*[\[{\"]|\[\s*-?\d", start):
        return "JSON"
    if re.match(r"<(\?xml|!doctype|html|table|svg)", start):
        return "HTML or XML"
    return "a Git LFS pointer" if start.startswith("version https://git-lfs") else ""


def _strictly(content: bytes, encoding: str, name: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeError:
        raise UserError(f"{name} is not a readable CSV file (damaged {encoding} text)") from None


def _delimiter(text: str, name: str) -> str:
    """The delimiter that divides the first rows into equally many columns, and the most."""
    sample = "\n".join(text[:200_000].splitlines()[: _SAMPLE_ROWS + 1])
    widths: dict[str, int] = {}
    for delimiter in _DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row]
        except csv.Error:
            continue
        # A header may lack the name of the first column, as R writes it.
        if (
            rows
            and len(rows[0]) > 1
            and {len(row) for row in rows[1:]}
            <= {
                len(rows[0]),
                len(rows[0]) + 1,
            }
        ):
            widths[delimiter] = len(rows[0])
    if widths:
        return max(widths, key=lambda delimiter: widths[delimiter])
    header = text.partition("\n")[0]
    found = max(_DELIMITERS, key=header.count)
    if not header.count(found):
        raise UserError(
            f"{name} is not a readable CSV file (its header {header[:60]!r} has one column); "
            "expected columns separated by ',', ';' or a tab"
        )
    return found


def _even_out(rows: list[list[str]], lines: list[int], name: str) -> tuple[str, ...]:
    """Give every row the length of the header; return the header."""
    header = rows[0]
    # R leaves the column of row names without a name.
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


def _shown(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else f"{delimiter!r}"
