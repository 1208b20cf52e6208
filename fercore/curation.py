"""Notes, tags, pins, the archive, and deletion that can be undone.

A deleted run lies in `.deleted/` under the runs root, where no list looks, until that is emptied.
"""

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fercore.errors import UserError
from fercore.recorder import RunWriter, held
from fercore.records import Notes
from fercore.runs import Run, list_runs, read_run

DELETED = ".deleted"


def annotate(run: Run, **changes: Any) -> Notes:
    """Change what people say of a run, and store it in its folder.

    Args:
        run: any that can be read.
        changes: fields of `Notes`.

    Raises:
        UserError: if the folder is no run, a text is too long, or the disk refuses.
    """
    _require_run(run)
    _require_readable_notes(run)
    try:
        notes = Notes.model_validate(run.notes.model_dump() | changes)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise UserError(f"{run.id}: {problem['loc'][0]}: {problem['msg']}") from None
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
    try:
        with held(run.path):
            folder.mkdir(exist_ok=True)
            if (folder / run.id).exists():  # one of that name that was deleted before
                names = (f"{run.id}-{number}" for number in itertools.count(2))
                free = next(name for name in names if not (folder / name).exists())
                (folder / run.id).rename(folder / free)
            run.path.rename(folder / run.id)
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
    names = [run.id for run in deleted(root)]
    if run_id not in names:
        known = ", ".join(names) or "none"
        raise UserError(f"received {run_id!r}, expected a deleted run: {known}")
    try:
        with held(root / run_id):
            if (root / run_id).exists():
                raise UserError(f"there is another run called {run_id}; rename that folder first")
            (root / DELETED / run_id).rename(root / run_id)
    except OSError as error:
        raise UserError(f"cannot restore {run_id}: {error.strerror}") from None
    return read_run(root / run_id)


def purge(root: Path, run_ids: Sequence[str] | None = None) -> int:
    """Remove deleted runs for good: those named, or all; how many.

    Raises:
        UserError: if the disk refuses.
    """
    gone = [run for run in deleted(root) if run_ids is None or run.id in run_ids]
    for run in gone:
        try:
            with held(run.path):
                shutil.rmtree(run.path)
        except OSError as error:
            raise UserError(f"cannot remove {run.path}: {error.strerror}") from None
    return len(gone)


def _require_readable_notes(run: Run) -> None:
    file = run.path / "notes.json"
    try:
        Notes.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        pass
    except (OSError, ValueError):
        raise UserError(
            f"{file} cannot be read, and would be replaced; mend it, or remove it first"
        ) from None


def _require_run(run: Run) -> None:
    if run.config is None:
        raise UserError(f"{run.id} is not a run of this package ({run.problem}); left as it is")
