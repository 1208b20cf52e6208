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

# States in which nobody writes into the folder as a matter of course.
_SETTLED = ("finished", "interrupted", "failed", "diverged", "broken")

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class _Entry:
    folder: int  # its time stamp in nanoseconds
    signature: Signature
    run: Run


class RunCache:
    """The runs under one root.

    A folder is read again when one of the files that pages read changes in time stamp or size, and
    when a file appears, is replaced or is removed. Of a run that says it is starting or running, it
    is found out every time whether that is so. As long as nothing changes, the `Run` objects are
    the same: what was computed from them can be kept with them as the key.
    """

    def __init__(self, root: Path):
        self.root = root
        self._kept: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self._found: list[Run] = []  # as the last scan came upon them
        self._sorted: tuple[Run, ...] | None = None

    def all(self, *, quick: bool = False) -> list[Run]:
        """Every folder under the root, newest first, as `fercore.runs.listing.list_runs` has them.

        Args:
            quick: for a refresh by timer. Look only at the time stamp of a folder in which nobody
                trains: a file that was edited in place, not replaced, is noticed by the next full
                scan alone.
        """
        try:
            with os.scandir(self.root) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
                names = [entry.name for entry in visible if _is_folder(entry)]
        except OSError:
            names = []
        found = [run for name in names if (run := self._read(name, quick)) is not None]
        with self._lock:
            if self._sorted is None or found != self._found:
                for gone in self._kept.keys() - set(names):
                    del self._kept[gone]
                newest = sorted(found, key=lambda run: (reader.started(run), run.id), reverse=True)
                self._found, self._sorted = found, tuple(newest)
            return list(self._sorted)

    def known(self) -> tuple[Run, ...]:
        """Every run as the last scan found it, newest first; nothing is read again."""
        with self._lock:
            known = self._sorted
        return tuple(self.all()) if known is None else known

    def find(self, run_id: str) -> Run | None:
        """The run of that id directly under the root; a path is no id."""
        if not run_id or run_id.startswith(".") or Path(run_id).name != run_id:
            return None
        if (
            "\\" in run_id
        ):  # a name that cannot be shown as it is (`fercore.io.file_names.storable_name`)
            return next((run for run in self.all() if run.id == run_id), None)
        return self._read(run_id) if os.path.isdir(self.root / run_id) else None

    def _read(self, name: str, quick: bool = False) -> Run | None:
        # A plain string: with a thousand runs, pathlib would take longer than the disk.
        path = f"{self.root}/{name}"
        kept = self._kept.get(name)
        try:
            found = os.stat(path)
            if not stat.S_ISDIR(found.st_mode):
                return None
            settled = kept is not None and kept.run.state in _SETTLED
            if kept and quick and settled and kept.folder == found.st_mtime_ns:
                return kept.run
            signature = signature_of(path, *_RECORDS)
            state = (found.st_mtime_ns, signature)
            if kept and (kept.folder, kept.signature) == state and _state_stands(kept.run):
                return kept.run
            run = reader.read_run(Path(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return Run(Path(path), "broken", problem=f"cannot be read ({error.strerror})")
        with self._lock:
            self._kept[name] = _Entry(*state, run)
        return run


def signature_of(folder: Path | str, *names: str) -> Signature:
    """Name, time stamp and size of each of the files that is there; zeros if unreadable."""
    base, found = str(folder), []
    for name in names:
        try:
            file = os.stat(f"{base}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            found.append((name, 0, 0))
            continue
        found.append((name, file.st_mtime_ns, file.st_size))
    return tuple(found)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # of a loop of links
        return False


def _state_stands(run: Run) -> bool:
    """Whether a run whose files have not changed still is, or still is not, at work."""
    status = run.status
    if status is None or run.state == "broken" or not activity.claims_activity(status):
        return True
    return run.is_active == activity.is_alive(run.path, status)
