"""Replace files in one step, and read files of unknown origin."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
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


def open_regular(path: Path | str) -> IO[bytes]:
    """Open a regular file for reading. Never waits, as opening a FIFO would.

    Raises:
        OSError: if there is no such file, it is of another kind, or it cannot be read.
    """
    # A device is not even opened: that alone may have an effect.
    _require_regular(os.stat(path))
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _require_regular(os.fstat(handle))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path | str, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises:
        OSError: if there is no such file, it is of another kind or larger, or it cannot be read.
    """
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it holds more than {limit:,} bytes")
    return content


_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _require_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kinds = (name for is_kind, name in _KINDS if is_kind(found.st_mode))
        raise OSError(errno.EINVAL, f"it is {next(kinds, 'something else')}, expected a file")
