"""Notes, tags, pins, the archive, and deletion that can be undone.

A deleted run lies in `.deleted/` under the runs root, where no list looks, until that is emptied.
Several tabs and commands may do all of this at once: each change is made under a lock, and on what
stands on the disk then.
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
        newer: the notes that stand on the disk.
    """

    def __init__(self, message: str, newer: Notes):
        super().__init__(message)
        self.newer = newer


def annotate(run: Run, base: Notes | None = None, add_text: str = "", **changes: Any) -> Notes:
    """Change some of what people say of a run. All other fields stay as they are on the disk.

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
    with _locked(run.path.parent):
        known = _read_notes(run)
        if base is not None:
            wanted = changes.get("text", base.text)
            if known.text != base.text and wanted not in {known.text, base.text}:
                raise NoteConflictError(
                    f"the note of {run.id} was changed meanwhile; nothing was saved", known
                )
            if wanted == base.text:  # not changed by the caller
                changes.pop("text", None)
            if "tags" in changes:
                changes["tags"] = _merge_tags(known.tags, base.tags, changes["tags"])
        if add_text.strip():
            changes["text"] = f"{known.text}\n\n{add_text}" if known.text else add_text
        try:
            notes = Notes.model_validate(known.model_dump() | changes)
        except ValidationError as error:
            raise UserError(f"{run.id}: {damage.describe(error)}") from None
        if notes != known:
            try:
                RunWriter(run.path).write_record(notes)
            except OSError as error:
                raise UserError(f"cannot write into {run.path}: {error.strerror}") from None
    return notes


def parse_tags(text: str) -> tuple[str, ...]:
    """Tags from words parted by commas or spaces, each once, in order."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def delete(run: Run) -> None:
    """Move a run out of every list; `restore` brings it back.

    Raises:
        UserError: if the folder is no run, a process is at work on it, or the disk refuses.
    """
    _require_run(run)
    folder = run.path.parent / DELETED
    with _locked(run.path.parent), hold_lock(run.path):
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
    """The deleted runs that can be restored, newest first."""
    return list_runs(root / DELETED)


def restore(root: Path, run_id: str) -> Run:
    """Bring a deleted run back.

    Raises:
        UserError: if there is none of that name, or another run has taken it.
    """
    with _locked(root):
        there = {run.id: run.path for run in deleted(root)}
        if run_id not in there:
            known = ", ".join(there) or "none"
            raise UserError(f"received {run_id!r}, expected a deleted run: {known}")
        path = root / there[run_id].name
        with hold_lock(path):
            if path.exists():
                raise UserError(f"there is another run called {run_id}; rename that folder first")
            try:
                there[run_id].rename(path)
            except OSError as error:
                raise UserError(f"cannot restore {run_id}: {error.strerror}") from None
    return read_run(path)


def purge(root: Path, run_ids: Sequence[str] | None = None) -> int:
    """Remove deleted runs for good: those named, or all; how many.

    Raises:
        UserError: if the disk refuses.
    """
    if not (root / DELETED).is_dir():
        return 0
    with _locked(root):
        gone = [run for run in deleted(root) if run_ids is None or run.id in run_ids]
        for run in gone:
            try:
                with hold_lock(run.path):
                    if run.path.is_symlink():
                        run.path.unlink()
                    else:
                        shutil.rmtree(run.path)
            except OSError as error:
                raise UserError(f"cannot remove {run.path}: {error.strerror}") from None
    return len(gone)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Let no other process or thread change notes or delete runs under a root.

    Raises:
        UserError: if the lock cannot be had.
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


def _merge_tags(
    known: Sequence[str], base: Sequence[str], wanted: Sequence[str]
) -> tuple[str, ...]:
    """The tags on the disk, with what was added to and removed from those that were shown."""
    removed = set(base) - set(wanted)
    kept = [tag for tag in known if tag not in removed]
    added = [tag for tag in wanted if tag not in base]
    return tuple(dict.fromkeys([*kept, *added]))


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
