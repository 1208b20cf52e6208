"""Files that are replaced in one step, and names of files as text."""

import os
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file beside `path`, then let it take that name: a reader sees the old or the new.

    Raises:
        OSError: if the disk refuses; what was there is intact.
    """
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)  # it was made for its owner alone
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def printable(name: str) -> str:
    r"""Return a file's name as text that can be stored and printed anywhere that takes Unicode.

    Bytes that are not UTF-8 are written as `\udcXX`, control characters and characters that change
    the direction of writing as `\xXX` or `\uXXXX`.
    """
    return "".join(_escaped(char) if _is_hidden(char) else char for char in name)


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 1 << 8:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def _is_hidden(char: str) -> bool:
    if char in "\u200c\u200d":  # parts of words in Persian and in Indic scripts
        return False
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
