"""Runs read once and kept until their files change: pure, thread-safe, no Streamlit."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from fercore import runs
from fercore.runs import Run

# The files that `fercore.runs.read_run` reads.
_RECORDS = (
    *("config.json", "status.json", "environment.json", "results.json"),
    *("notes.json", "latency.json"),
)

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class _Kept:
    signature: Signature
    run: Run


class Shelf:
    """The runs under one root.

    A folder is read again when one of its records changes in time stamp or size. Of a run that
    says it is starting or running, it is found out every time whether that is so.
    """

    def __init__(self, root: Path):
        self.root = root
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Run]:
        """Every folder under the root, newest first, as `fercore.runs.list_runs` has them."""
        try:
            with os.scandir(self.root) as entries:
                names = [entry.name for entry in entries if not entry.name.startswith(".")]
        except OSError:
            names = []
        found = [run for name in names if (run := self._read(name)) is not None]
        with self._lock:
            for gone in self._kept.keys() - {run.id for run in found}:
                del self._kept[gone]
        return sorted(found, key=lambda run: (runs.started(run), run.id), reverse=True)

    def find(self, run_id: str) -> Run | None:
        """The run of that name directly under the root; a path is no name."""
        if not run_id or run_id.startswith(".") or Path(run_id).name != run_id or "\\" in run_id:
            return None
        return self._read(run_id)

    def _read(self, name: str) -> Run | None:
        path = self.root / name
        try:
            signature = signature_of(path, *_RECORDS)
            if not signature and not path.is_dir():
                return None
            with self._lock:
                kept = self._kept.get(name)
            if kept and kept.signature == signature and _state_stands(kept.run):
                return kept.run
            run = runs.read_run(path)
        except OSError as error:
            return Run(path, "broken", problem=f"cannot be read ({error.strerror})")
        with self._lock:
            self._kept[name] = _Kept(signature, run)
        return run


def signature_of(folder: Path, *names: str) -> Signature:
    """Name, time stamp and size of each of the files that is there."""
    # Plain strings: with a thousand runs, pathlib would take longer than the disk.
    base, found = str(folder), []
    for name in names:
        try:
            stat = os.stat(f"{base}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        found.append((name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _state_stands(run: Run) -> bool:
    """Whether a run whose files have not changed still is, or still is not, at work."""
    status = run.status
    if status is None or run.state == "broken" or not runs.claims_activity(status):
        return True
    return run.is_active == runs.is_alive(run.path, status)
