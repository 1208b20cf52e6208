"""Run a module of this package in another process, with limits on time and memory."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from fercore import machine
from fercore.errors import UserError

# Exit status of a process that ran out of memory.
MEMORY_EXIT = 77
_MEMORY_ERRORS = ("bad_alloc", "bad allocation", "failed to allocate", "out of memory")
_POLL_SECONDS = 0.05
# Address space of each thread: its stack and the allocator's arena.
_BYTES_PER_THREAD = 80 << 20


def run_isolated(
    module: str, folder: Path, subject: str, seconds: float, memory_bytes: int
) -> None:
    """Run `python -m module folder memory` to its end, or end it when it exceeds a limit.

    The module prints a line after each step; the time limit is from one line to the next. The
    memory limit is on the memory beyond that at the call of `limit_memory`.

    Args:
        module: of this package.
        folder: where the module reads its task and writes its outcome.
        subject: the file that is processed, for messages.
        seconds: limit from one line to the next.
        memory_bytes: limit on resident memory.

    Raises:
        UserError: if it exceeded a limit, or ended without an outcome.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(folder), str(memory_bytes)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "MALLOC_ARENA_MAX": "2"},
        stdin=subprocess.PIPE,  # closed when this process ends, which ends the other one
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("FERCORE_DEBUG") else subprocess.DEVNULL,
    )
    assert process.stdout is not None
    progress = _Progress(process.stdout)
    try:
        while process.poll() is None:
            if progress.seconds_since() > seconds:
                raise UserError(
                    f"{subject} gave no answer within {seconds:g} seconds; no run was made. "
                    "For a slow network, pass a higher --time-limit"
                )
            used = machine.resident_memory(process.pid)
            if progress.base and used - progress.base > memory_bytes:
                raise _memory_limit_error(subject, memory_bytes)
            time.sleep(_POLL_SECONDS)
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
        process.stdout.close()
    if process.returncode == MEMORY_EXIT:
        raise _memory_limit_error(subject, memory_bytes)
    if process.returncode:
        raise UserError(
            f"{subject} ended the process that loaded it (status {process.returncode}); no run "
            "was made. Export the network again, or with another version of its exporter"
        )


def is_memory_error(error: BaseException) -> bool:
    """Return whether an error means that the process ran out of memory."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _MEMORY_ERRORS)


def report_progress(line: str = "") -> None:
    """Print a line, which restarts the time limit of the waiting process."""
    print(line, flush=True)


def limit_memory(memory_bytes: int) -> None:
    """Limit the memory of this process beyond its memory now, and end it with its parent.

    Systems without a limit on address space (macOS, Windows) have only the check in the waiting
    process.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    report_progress(f"base {machine.resident_memory(os.getpid())}")
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        threads = _BYTES_PER_THREAD * machine.count_cores()
        limit = pages * resource.getpagesize() + memory_bytes + memory_bytes // 4 + threads
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (ImportError, OSError, ValueError):
        pass


class _Progress:
    """Reads the lines that a process prints: the time of the last one, and its initial memory."""

    def __init__(self, stream: IO[bytes]):
        self.base = 0
        self._last = time.monotonic()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def seconds_since(self) -> float:
        return time.monotonic() - self._last

    def _read(self, stream: IO[bytes]) -> None:
        try:
            for line in stream:
                self._last = time.monotonic()
                if line.startswith(b"base "):
                    self.base = int(line.split()[1])
        except ValueError:
            pass  # the stream was closed


def _end_with_parent() -> None:
    # `sys.stdin` has a lock that would stop the interpreter from ending.
    while os.read(0, 1):
        pass
    os._exit(1)


def _memory_limit_error(subject: str, memory_bytes: int) -> UserError:
    return UserError(
        f"{subject} takes more than {memory_bytes / 2**30:.1f} GiB of memory to load and run; no "
        "run was made. For a large network, pass a higher --memory-limit (GiB)"
    )
