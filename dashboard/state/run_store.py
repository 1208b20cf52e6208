"""Keep runs in memory until their files change: thread-safe, no Streamlit."""

import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

from fercore.runs import activity, reader
from fercore.runs.reader import Run

# The files that `fercore.runs.reader.read_run` reads.
_RECORDS = (
    *("config.json", "status.json", "environment.json", "results.json"),
    *("notes.json", "latency.json", "log.jsonl", "layers.json"),
    *("predictions.npz", "model.onnx"),
)

# States in which no process writes into the folder.
_SETTLED = ("finished", "interrupted", "failed", "diverged", "broken")

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class _Entry:
    folder: int  # its time stamp in nanoseconds
    signature: Signature
    run: Run


class RunCache:
    """The runs under one root.

    A folder is read again when a file that pages read changes in time stamp or size, and when a
    file appears, is replaced or is removed. A run with the state "starting" or "running" is checked
    every time: its process may have ended. As long as nothing changes, the `Run` objects stay the
    same, so that they can be the keys of other caches.
    """

    def __init__(self, root: Path):
        self.root = root
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self._scanned: list[Run] = []  # in the order of the last scan
        self._sorted: tuple[Run, ...] | None = None

    def all(self, *, quick: bool = False) -> list[Run]:
        """Return every folder under the root, in the order of `fercore.runs.listing.list_runs`.

        Args:
            quick: for a refresh by a timer: check only the time stamp of the folders of runs that
                have ended. Only a full scan notices a file that was edited in place.
        """
        try:
            with os.scandir(self.root) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
                names = [entry.name for entry in visible if _is_folder(entry)]
        except OSError:
            names = []
        runs = [run for name in names if (run := self._read(name, quick)) is not None]
        with self._lock:
            if self._sorted is None or runs != self._scanned:
                for gone in self._entries.keys() - set(names):
                    del self._entries[gone]
                newest = sorted(runs, key=lambda run: (reader.started(run), run.id), reverse=True)
                self._scanned, self._sorted = runs, tuple(newest)
            return list(self._sorted)

    def known(self) -> tuple[Run, ...]:
        """Return every run as of the last scan, newest first, without a look at the disk."""
        with self._lock:
            runs = self._sorted
        return tuple(self.all()) if runs is None else runs

    def find(self, run_id: str) -> Run | None:
        """Return the run of that id directly under the root; `None` for a path or an unknown id."""
        if not run_id or run_id.startswith(".") or Path(run_id).name != run_id:
            return None
        # A name that cannot be shown as it is, see `fercore.io.file_names.storable_name`.
        if "\\" in run_id:
            return next((run for run in self.all() if run.id == run_id), None)
        return self._read(run_id) if os.path.isdir(self.root / run_id) else None

    def _read(self, name: str, quick: bool = False) -> Run | None:
        # A plain string: with a thousand runs, pathlib would take longer than the disk.
        path = f"{self.root}/{name}"
        entry = self._entries.get(name)
        try:
            folder = os.stat(path)
            if not stat.S_ISDIR(folder.st_mode):
                return None
            settled = entry is not None and entry.run.state in _SETTLED
            if entry and quick and settled and entry.folder == folder.st_mtime_ns:
                return entry.run
            signature = signature_of(path, *_RECORDS)
            state = (folder.st_mtime_ns, signature)
            if entry and (entry.folder, entry.signature) == state and _is_state_current(entry.run):
                return entry.run
            run = reader.read_run(Path(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return Run(Path(path), "broken", problem=f"cannot be read ({error.strerror})")
        with self._lock:
            self._entries[name] = _Entry(*state, run)
        return run


def signature_of(folder: Path | str, *names: str) -> Signature:
    """Return name, time stamp and size of each of the files that exists; zeros if unreadable."""
    base, signature = str(folder), []
    for name in names:
        try:
            file = os.stat(f"{base}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            signature.append((name, 0, 0))
            continue
        signature.append((name, file.st_mtime_ns, file.st_size))
    return tuple(signature)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def _is_state_current(run: Run) -> bool:
    """Return whether the state of a run with unchanged files is still true: its process may end."""
    status = run.status
    if status is None or run.state == "broken" or not activity.claims_activity(status):
        return True
    return run.is_active == activity.is_alive(run.path, status)
