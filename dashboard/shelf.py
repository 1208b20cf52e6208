"""Runs read once and kept until their files change: pure, thread-safe, no Streamlit."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from fercore import runs
from fercore.runs import STALE_SECONDS, Run

# The files that `fercore.runs.read_run` reads.
_RECORDS = (
    *("config.json", "status.json", "environment.json", "results.json"),
    *("notes.json", "latency.json", "log.jsonl", "layers.json"),
    *("predictions.npz", "model.onnx"),
)

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class _Kept:
    signature: Signature
    fresh: bool
    run: Run


class Shelf:
    """The runs under one root.

    A folder is read again when one of its records changes in time stamp or size, and when its
    heartbeat grows old: that alone turns a running run into a stalled one.
    """

    def __init__(self, root: Path):
        self.root = root
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Run]:
        """Every folder under the root, newest first, as `fercore.runs.list_runs` has them."""
        try:
            with os.scandir(self.root) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
                names = [entry.name for entry in visible if _is_folder(entry)]
        except OSError:
            names = []
        found = [self._read(name) for name in names]
        with self._lock:
            for gone in self._kept.keys() - set(names):
                del self._kept[gone]
        return sorted(found, key=lambda run: (runs.started(run), run.id), reverse=True)

    def find(self, run_id: str) -> Run | None:
        """The run of that id directly under the root; a path is no id."""
        if not run_id or run_id.startswith(".") or Path(run_id).name != run_id:
            return None
        if "\\" in run_id:  # a name that cannot be shown as it is (`fercore.files.printable`)
            return next((run for run in self.all() if run.id == run_id), None)
        return self._read(run_id) if os.path.isdir(self.root / run_id) else None

    def _read(self, name: str) -> Run:
        path = self.root / name
        try:
            signature = signature_of(path, *_RECORDS)
            fresh = _changed_lately(signature)
            with self._lock:
                kept = self._kept.get(name)
            if kept and (kept.signature, kept.fresh) == (signature, fresh):
                return kept.run
            run = runs.read_run(path)
        except OSError as error:
            return Run(path, "broken", problem=f"cannot be read ({error.strerror})")
        with self._lock:
            self._kept[name] = _Kept(signature, fresh, run)
        return run


def signature_of(folder: Path, *names: str) -> Signature:
    """Name, time stamp and size of each of the files that is there; zeros if unreadable."""
    # Plain strings: with a thousand runs, pathlib would take longer than the disk.
    base, found = str(folder), []
    for name in names:
        try:
            stat = os.stat(f"{base}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            found.append((name, 0, 0))
            continue
        found.append((name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # of a loop of links
        return False


def _changed_lately(signature: Signature) -> bool:
    # A heartbeat is stamped just before its file is written, so it is never the younger of the two.
    stamps = [stamp for name, stamp, _ in signature if name == "status.json"]
    return bool(stamps) and time.time() - stamps[0] / 1e9 < STALE_SECONDS
