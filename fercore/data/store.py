"""The converted form of a dataset on disk.

    <root>/<name>/<fingerprint>.npz    images, labels and ids of every role; no pickles
    <root>/<name>/dataset.json         what is in it, and where it came from
    <root>/<name>/previous.json        the same of the version that it replaced
    <root>/.locks/<name>.lock          held while the dataset is changed

The JSON names the array file and is replaced last, so a reader finds the old dataset or the new
one, never a mixture. One previous version is kept, with its array file, so that a replacement can
be undone.
"""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from fercore.config.base import FrozenModel
from fercore.data.quality import Audit
from fercore.data.reports import AddReport
from fercore.data.splits import ROLES, UNSPLIT, Split, fingerprint
from fercore.errors import UserError
from fercore.io.files import atomic_write

MANIFEST = "dataset.json"
PREVIOUS = "previous.json"
_LOCKS = ".locks"
_MAX_TRIES = 3
_MAX_WAIT = 600  # seconds; the largest dataset takes two minutes to read


class Source(FrozenModel):
    """A file or folder that a user added.

    Attributes:
        name: its own name, without the path.
        sha256: of the file, or of the names and contents in the folder.
        gave: the roles that it held samples of.
        holds: those of them that have not been replaced since.
    """

    name: str
    sha256: str
    gave: tuple[str, ...]
    holds: tuple[str, ...]


class Derivation(FrozenModel):
    """What a derived dataset was made from, and how.

    Attributes:
        dataset: name of the source dataset.
        fingerprint: of its version.
        titles: what the source's literature calls each role.
        detector: that found the faces, such as `"yunet"`; empty where the labels alone are others.
        detector_sha256: of the detector's file.
        faces_found: fraction of the images of each role in which a face was found; the others are
            the source's, unchanged.
    """

    dataset: str
    fingerprint: str
    titles: dict[str, str]
    detector: str = ""
    detector_sha256: str = ""
    faces_found: dict[str, float] = Field(default_factory=dict)


class Manifest(FrozenModel):
    """`dataset.json`.

    Attributes:
        format: of this record.
        dataset: name.
        file: name of the array file beside it.
        bytes: size of that file.
        fingerprint: see `fercore.data.splits.Splits`.
        class_names: the label set.
        counts: samples by role and class.
        sources: what the samples came from.
        held_out: whether validation was taken out of training here, for want of its own.
        audit: the flaws that were counted.
        derived_from: the source of a dataset that was made from another one.
    """

    format: Literal[1] = 1
    dataset: str
    file: str = Field(pattern=r"^[0-9a-f]{16}\.npz$")
    bytes: int
    fingerprint: str
    class_names: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    sources: tuple[Source, ...]
    held_out: bool
    audit: Audit
    derived_from: Derivation | None = None


@contextmanager
def changing(root: Path, name: str) -> Iterator[None]:
    """Hold a dataset for oneself while it is read, changed and written; others wait.

    Raises:
        UserError: if another process has held it for ten minutes, or the lock cannot be made.
    """
    file = root / _LOCKS / f"{name}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file, timeout=_MAX_WAIT)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process has been changing {name} for {_MAX_WAIT // 60} minutes; wait for it, "
            "or end it, and try again"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise UserError(
            f"cannot write {name} under {root} ({getattr(error, 'strerror', '') or error}): "
            "expected a writable folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def previous(root: Path, name: str) -> Manifest | None:
    """The version that `undo` would bring back, or None if there is none that can be read."""
    try:
        found = _read_record(root, name, PREVIOUS)
    except UserError:
        return None
    try:
        now = manifest(root, name)
    except UserError:  # damaged, which is a reason to bring back the version before it
        return found
    return None if found is None or now is None or found.file == now.file else found


def undo(root: Path, name: str) -> Manifest:
    """Bring back the version that the last change replaced; a second call brings back the change.

    Raises:
        UserError: if there is none, or it cannot be written.
    """
    folder = root / name
    with changing(root, name):
        found = previous(root, name)
        if found is None:
            raise UserError(
                f"{name} has no previous version to bring back; expected a dataset that was "
                "replaced by: fercore data add, or align"
            )
        try:
            old, now = (folder / PREVIOUS).read_bytes(), (folder / MANIFEST).read_bytes()
            for path, content in ((folder / MANIFEST, old), (folder / PREVIOUS, now)):
                with atomic_write(path) as stream:
                    stream.write(content)
        except OSError as error:
            raise UserError(
                f"cannot write {name} under {root} ({error.strerror or error})"
            ) from error
    return found


def manifest(root: Path, name: str) -> Manifest | None:
    """What is installed, or None if nothing is.

    Raises:
        UserError: if the record or its array file is damaged.
    """
    return _read_record(root, name, MANIFEST)


def _read_record(root: Path, name: str, file: str) -> Manifest | None:
    folder = root / name
    try:
        text = (folder / file).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _damaged(folder / file, name, error) from error
    found = None
    try:
        found = Manifest.model_validate_json(text)
        if (folder / found.file).stat().st_size != found.bytes:
            raise ValueError(f"{found.file} is not {found.bytes} bytes long")
    except (ValidationError, ValueError, OSError) as error:
        raise _damaged(folder, name, error, found.derived_from if found else None) from error
    return found


def derivation(root: Path, name: str) -> Derivation | None:
    """What an installed dataset was derived from, even if its array file is damaged.

    `None` if it was not derived, is not installed, or its record cannot be read.
    """
    try:
        text = (root / name / MANIFEST).read_bytes()
        return Manifest.model_validate_json(text).derived_from
    except (OSError, ValidationError):
        return None


def read(root: Path, name: str) -> tuple[Manifest, dict[str, Split]] | None:
    """Load what is installed, or None if nothing is.

    Raises:
        UserError: if it is damaged.
    """
    for _ in range(_MAX_TRIES):
        found = manifest(root, name)
        if found is None:
            return None
        try:
            return found, _read_arrays(root, name, found)
        except UserError:
            # Replaced twice since its record was read, and so gone.
            if manifest(root, name) == found:
                raise
    raise UserError(f"{name} changes while it is read; try again")


def _read_arrays(root: Path, name: str, found: Manifest) -> dict[str, Split]:
    path = root / name / found.file
    try:
        # ZIP checks a CRC over every array while reading.
        with np.load(path, allow_pickle=False) as arrays:
            parts = {
                role: Split(*(arrays[f"{role}_{field}"] for field in ("images", "labels", "ids")))
                for role in (*ROLES, UNSPLIT)
                if f"{role}_images" in arrays
            }
        if {role: len(part) for role, part in parts.items()} != {
            role: sum(counts.values()) for role, counts in found.counts.items()
        }:
            raise ValueError("the counts differ from the record")
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, name, error, found.derived_from) from error
    return parts


def write(
    root: Path,
    name: str,
    class_names: tuple[str, ...],
    parts: Mapping[str, Split],
    sources: tuple[Source, ...],
    *,
    held_out: bool,
    audit: Audit,
    derived_from: Derivation | None = None,
) -> Manifest:
    """Install a dataset in place of what is there, which becomes the previous version.

    The caller holds it by `changing`.

    Raises:
        UserError: if it cannot be written, such as on a full disk; what was there is intact.
    """
    digest = fingerprint(parts)
    folder = root / name
    arrays = {
        f"{role}_{field}": getattr(part, field)
        for role, part in parts.items()
        for field in ("images", "labels", "ids")
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{digest}.npz"
        with atomic_write(path) as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        record = Manifest(
            dataset=name,
            file=path.name,
            bytes=path.stat().st_size,
            fingerprint=digest,
            class_names=class_names,
            counts={role: count(part, class_names) for role, part in parts.items()},
            sources=sources,
            held_out=held_out,
            audit=audit,
            derived_from=derived_from,
        )
        kept = _keep_previous(root, name, path.name)
        with atomic_write(folder / MANIFEST) as stream:
            stream.write(record.model_dump_json(indent=2, exclude_none=True).encode() + b"\n")
    except OSError as error:
        raise UserError(
            f"cannot write {name} under {root} ({error.strerror or error}): expected room for "
            f"{sum(array.nbytes for array in arrays.values()) >> 20} MB in a writable folder; "
            "what was installed before is unchanged"
        ) from error
    for stale in folder.glob("*.npz"):
        if stale.name not in (path.name, kept):
            stale.unlink(missing_ok=True)
    for torn in (*folder.glob(".*.npz.*"), *folder.glob(".*.json.*")):
        torn.unlink(missing_ok=True)  # of a process that was killed while it wrote
    return record


def _keep_previous(root: Path, name: str, new_file: str) -> str | None:
    """Keep the record of what is about to be replaced; the array file of the previous version."""
    folder = root / name
    try:
        now = manifest(root, name)
    except UserError:  # damaged: what was there before it is kept
        now = None
    if now is not None and now.file != new_file:
        content = (folder / MANIFEST).read_bytes()
        with atomic_write(folder / PREVIOUS) as stream:
            stream.write(content)
        return now.file
    try:
        before = _read_record(root, name, PREVIOUS)
    except UserError:
        before = None
    return before.file if before else None


def count(part: Split, class_names: tuple[str, ...]) -> dict[str, int]:
    """Samples of a split by class name."""
    found = np.bincount(part.labels, minlength=len(class_names)).tolist()
    return dict(zip(class_names, found, strict=True))


def _damaged(
    path: Path, name: str, error: Exception, derived_from: Derivation | None = None
) -> UserError:
    reason = " ".join(str(error).split())[:120]
    how = f"fercore data add {name} PATH"
    if derived_from and derived_from.detector:
        how = f"fercore data align {derived_from.dataset} --name {name}"
    return UserError(f"{path} is damaged ({reason}); add the dataset again with: {how}")


def undamaged(root: Path, name: str) -> Manifest | None:
    """Return what is installed of a dataset; `None` if nothing is, or it is damaged."""
    try:
        found = read(root, name)
    except UserError:
        return None
    return found[0] if found else None


def report(
    manifest: Manifest, titles: Mapping[str, str], changed: bool, notes: tuple[str, ...]
) -> AddReport:
    """Return what adding a dataset did, from what is installed now."""
    return AddReport(
        dataset=manifest.dataset,
        changed=changed,
        fingerprint=manifest.fingerprint,
        counts=manifest.counts,
        titles=titles,
        audit=manifest.audit,
        notes=notes,
    )
