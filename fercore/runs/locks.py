"""Locks of run directories.

A trainer holds the lock of its run from before it loads anything until its process ends. The
operating system frees the lock of a process that is killed. The lock of `ROOT/NAME` is the file
`ROOT/.locks/NAME.lock`: on Windows a folder that contains an open file cannot be renamed.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

FOLDER = ".locks"
HOST = socket.gethostname()

# A reader that checks a lock holds it for less than a millisecond: whoever takes it tries again.
_TAKE_SECONDS = 1.0
_CHECK_SECONDS = 0.004
# Threads of one process, such as a dashboard's, check one after another.
_checking = threading.Lock()


class LockHeldError(Exception):
    """Another process, or another writer in this one, holds the lock; the text names it."""


def take(folder: Path) -> "BaseFileLock | None":
    """Take the lock of a folder, which need not exist.

    Returns:
        The lock, which its `release()` frees; `None` if the file system has no locks.

    Raises:
        LockHeldError: if another holds it.
    """
    # A locked file cannot be read on Windows, so its holder's name stands beside it.
    file = _file(folder)
    holder = file.with_name(f"{file.name}.holder")
    try:
        lock = _acquire(folder, _TAKE_SECONDS)
    except LockHeldError:
        name = ""
        with suppress(OSError, ValueError):
            name = holder.read_text(encoding="utf-8").strip()
        raise LockHeldError(name or "another process") from None
    if lock is not None:
        with suppress(OSError):
            holder.write_text(f"process {os.getpid()} on {HOST}", encoding="utf-8")
    return lock


def is_held(folder: Path) -> bool | None:
    """Return whether a process holds the lock of a folder; `None` if that cannot be found out."""
    if not os.path.exists(_file(folder)):
        return False
    with _checking:
        try:
            lock = _acquire(folder, _CHECK_SECONDS)
        except LockHeldError:
            return True
        if lock is None:
            return None
        lock.release()
    return False


def seconds_since_written(file: Path) -> float:
    """Return the age of a file by the clock of its own file system.

    A file server and the machines that use it may disagree about the time. Both time stamps that
    are compared here are the file system's.
    """
    written = os.stat(file).st_mtime
    clock = _file(file.parent).with_name("clock")
    try:
        clock.parent.mkdir(exist_ok=True)
        clock.touch()
        now = clock.stat().st_mtime
    except OSError:  # such as on a file system that is mounted for reading alone
        now = time.time()
    return now - written


def _file(folder: Path) -> Path:
    # One run has one lock, whichever link leads to it.
    resolved = Path(os.path.realpath(folder))
    return resolved.parent / FOLDER / f"{resolved.name}.lock"


def _acquire(folder: Path, seconds: float) -> "BaseFileLock | None":
    from filelock import FileLock, Timeout

    file = _file(folder)
    try:
        file.parent.mkdir(exist_ok=True)
        # A lock that is a file's mere presence would outlive a process that is killed.
        lock = FileLock(file, thread_local=False, fallback_to_soft=False)
        lock.acquire(timeout=seconds, poll_interval=0.002 if seconds < 0.1 else 0.02)
    except Timeout:
        raise LockHeldError from None
    except (OSError, NotImplementedError):
        return None
    return lock
