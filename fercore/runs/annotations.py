"""Notes, tags, pins, the archive, and deletion that can be undone.

A deleted run is moved to `.deleted/` under the runs root, which no list reads, until it is purged.
Several tabs and commands may change runs at once: each change is made under a lock, to the content
of the files at that time.
"""

import itertools
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from fercore.errors import UserError
from fercore.runs import damage
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run, read_run
from fercore.runs.schema import Notes
from fercore.runs.writer import RunWriter, hold_lock

DELETED = ".deleted"
LOCK = ".curation.lock"
LOCK_SECONDS = 10.0


class NoteConflictError(UserError):
    """A note was changed by someone else since it was shown.

    Attributes:
        newer: the notes on the disk.
    """

    def __init__(self, message: str, newer: Notes):
        super().__init__(message)
        self.newer = newer


def annotate(run: Run, base: Notes | None = None, add_text: str = "", **changes: Any) -> Notes:
    """Change some notes of a run. All other fields stay as they are on the disk.

    Args:
        run: any that can be read.
        base: the notes that were shown when the changes were made. With it, tags are merged: those
            that were added to `base` are added, those that were removed are removed. Without it,
            they are replaced, and so is the text.
        add_text: a paragraph to add to the text.
        changes: new values of fields of `Notes`.

    Returns:
        The notes as they are now on the disk.

    Raises:
        NoteConflictError: if the text is to be changed, and is neither that of `base` any more nor
            the new one already. Nothing is written.
        UserError: if the folder is no run, its notes cannot be read, a text is too long, or the
            disk refuses.
    """
    _require_run(run)
    with locked_root(run.path.parent):
        stored = _read_notes(run)
        if base is not None:
            text = changes.get("text", base.text)
            if stored.text != base.text and text not in {stored.text, base.text}:
                raise NoteConflictError(
                    f"the note of {run.id} was changed meanwhile; nothing was saved", stored
                )
            if text == base.text:  # not changed by the caller
                changes.pop("text", None)
            if "tags" in changes:
                changes["tags"] = _merge_tags(stored.tags, base.tags, changes["tags"])
        if add_text.strip():
            changes["text"] = f"{stored.text}\n\n{add_text}" if stored.text else add_text
        try:
            notes = Notes.model_validate(stored.model_dump() | changes)
        except ValidationError as error:
            raise UserError(f"{run.id}: {damage.describe(error)}") from None
        if notes != stored:
            try:
                RunWriter(run.path).write_record(notes)
            except OSError as error:
                raise UserError(f"cannot write into {run.path}: {error.strerror}") from None
    return notes


def parse_tags(text: str) -> tuple[str, ...]:
    """Split text at commas and spaces into tags, each once, in order."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def delete(run: Run) -> None:
    """Move a run out of every list; `restore` brings it back.

    Raises:
        UserError: if the folder is no run, a process is at work on it, or the disk refuses.
    """
    _require_run(run)
    folder = run.path.parent / DELETED
    with locked_root(run.path.parent), hold_lock(run.path):
        _require_run(read_run(run.path))  # it may have changed since it was shown
        name = run.path.name
        try:
            folder.mkdir(exist_ok=True)
            if (folder / name).exists():  # one of that name that was deleted before
                names = (f"{name}-{number}" for number in itertools.count(2))
                free = next(other for other in names if not (folder / other).exists())
                (folder / name).rename(folder / free)
            run.path.rename(folder / name)
        except OSError as error:
            raise UserError(f"cannot delete {run.path}: {error.strerror}") from None


def deleted(root: Path) -> list[Run]:
    """List the deleted runs that can be restored, newest first."""
    return list_runs(root / DELETED)


def restore(root: Path, run_id: str) -> Run:
    """Bring a deleted run back.

    Raises:
        UserError: if there is none of that name, or another run has taken it.
    """
    with locked_root(root):
        paths = {run.id: run.path for run in deleted(root)}
        if run_id not in paths:
            names = ", ".join(paths) or "none"
            raise UserError(f"received {run_id!r}, expected a deleted run: {names}")
        path = root / paths[run_id].name
        with hold_lock(path):
            if path.exists():
                raise UserError(f"there is another run called {run_id}; rename that folder first")
            try:
                paths[run_id].rename(path)
            except OSError as error:
                raise UserError(f"cannot restore {run_id}: {error.strerror}") from None
    return read_run(path)


def purge(root: Path, run_ids: Sequence[str] | None = None) -> int:
    """Remove deleted runs for good: those named, or all. Return their number.

    Raises:
        UserError: if the disk refuses.
    """
    if not (root / DELETED).is_dir():
        return 0
    with locked_root(root):
        removed = [run for run in deleted(root) if run_ids is None or run.id in run_ids]
        for run in removed:
            try:
                with hold_lock(run.path):
                    if run.path.is_symlink():
                        run.path.unlink()
                    else:
                        shutil.rmtree(run.path)
            except OSError as error:
                raise UserError(f"cannot remove {run.path}: {error.strerror}") from None
    return len(removed)


@contextmanager
def locked_root(root: Path) -> Iterator[None]:
    """Hold the lock that every change of notes and every deletion under a root takes.

    Raises:
        UserError: if the lock cannot be taken.
    """
    if not root.is_dir():
        raise UserError(f"received {root}, expected a folder of runs")
    lock = FileLock(root / LOCK)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise UserError(
            f"another program has held {root / LOCK} for {LOCK_SECONDS:.0f} seconds; try again"
        ) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot lock {root / LOCK}: {reason}") from None
    try:
        yield
    finally:
        lock.release()


def _merge_tags(stored: Sequence[str], base: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """Apply the changes from `base`, the tags that were shown, to `new` to the stored tags."""
    removed = set(base) - set(new)
    remaining = [tag for tag in stored if tag not in removed]
    added = [tag for tag in new if tag not in base]
    return tuple(dict.fromkeys([*remaining, *added]))


def _read_notes(run: Run) -> Notes:
    file = run.path / "notes.json"
    try:
        return Notes.model_validate_json(damage.read_record(file))
    except FileNotFoundError:
        return Notes()
    except (OSError, ValueError):
        raise UserError(
            f"{file} cannot be read, and would be replaced; mend it, or remove it first"
        ) from None


def _require_run(run: Run) -> None:
    if run.config is None:
        raise UserError(f"{run.id} is not a run of this package ({run.problem}); left as it is")
