"""Store converted datasets on disk: read, write, undo, lock.

    <root>/<name>/<fingerprint>.npz    images, labels and ids of every role; no pickles
    <root>/<name>/dataset.json         manifest: contents and sources
    <root>/<name>/previous.json        manifest of the version that was replaced
    <root>/.locks/<name>.lock          locked while the dataset is changed

The manifest names the array file and is replaced last, so a reader finds the old dataset or the new
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
from pydantic import ConfigDict, Field, ValidationError

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
_MAX_WAIT_SECONDS = 600  # the largest dataset takes two minutes to read


class Source(FrozenModel):
    """A file or folder that a user added.

    Attributes:
        name: its name without the path.
        sha256: of the file, or of the names and contents of the files in the folder.
        gave: the roles that it held samples of.
        holds: the roles in `gave` that have not been replaced since.
    """

    name: str
    sha256: str
    gave: tuple[str, ...]
    holds: tuple[str, ...]


class Derivation(FrozenModel):
    """The source of a derived dataset, and how it was derived.

    Attributes:
        dataset: name of the source dataset.
        fingerprint: of the source's version.
        titles: name of each role in the source's literature.
        detector: face detector, such as `"yunet"`; empty where only the labels differ.
        detector_sha256: of the detector's file.
        faces_found: fraction of the images of each role in which a face was detected; the other
            images are those of the source, unchanged.
    """

    dataset: str
    fingerprint: str
    titles: dict[str, str]
    detector: str = ""
    detector_sha256: str = ""
    faces_found: dict[str, float] = Field(default_factory=dict)


class Manifest(FrozenModel):
    """The content of `dataset.json`.

    Attributes:
        format: version of this format.
        dataset: name of the dataset.
        file: name of the array file in the same folder.
        bytes: size of the array file.
        fingerprint: see `fercore.data.splits.Splits`.
        class_names: the label set.
        counts: samples by role and class.
        sources: the files that the samples were read from.
        validation_from_train: whether the validation split was taken out of training when the
            dataset was added, because it has none of its own; `held_out` in the file.
        audit: counts of duplicate and constant images.
        derived_from: the source of a derived dataset.
    """

    model_config = ConfigDict(populate_by_name=True)

    format: Literal[1] = 1
    dataset: str
    file: str = Field(pattern=r"^[0-9a-f]{16}\.npz$")
    bytes: int
    fingerprint: str
    class_names: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    sources: tuple[Source, ...]
    validation_from_train: bool = Field(alias="held_out")
    audit: Audit
    derived_from: Derivation | None = None


@contextmanager
def lock_dataset(root: Path, name: str) -> Iterator[None]:
    """Lock a dataset while it is read, changed and written; other processes wait.

    Raises:
        UserError: if another process has held the lock for ten minutes, or the lock cannot be made.
    """
    file = root / _LOCKS / f"{name}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file, timeout=_MAX_WAIT_SECONDS)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process has been changing {name} for {_MAX_WAIT_SECONDS // 60} minutes; wait "
            "for it, or end it, and try again"
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


def read_previous_manifest(root: Path, name: str) -> Manifest | None:
    """Return the version that `undo` would restore; `None` if there is none that can be read."""
    try:
        before = _read_manifest_file(root, name, PREVIOUS)
    except UserError:
        return None
    try:
        current = read_manifest(root, name)
    except UserError:  # damaged, which is a reason to restore the previous version
        return before
    return None if before is None or current is None or before.file == current.file else before


def undo(root: Path, name: str) -> Manifest:
    """Restore the version that the last change replaced; a second call restores the change.

    Raises:
        UserError: if there is no previous version, or it cannot be written.
    """
    folder = root / name
    with lock_dataset(root, name):
        before = read_previous_manifest(root, name)
        if before is None:
            raise UserError(
                f"{name} has no previous version to bring back; expected a dataset that was "
                "replaced by: fercore data add, or align"
            )
        try:
            old, current = (folder / PREVIOUS).read_bytes(), (folder / MANIFEST).read_bytes()
            for path, content in ((folder / MANIFEST, old), (folder / PREVIOUS, current)):
                with atomic_write(path) as stream:
                    stream.write(content)
        except OSError as error:
            raise UserError(
                f"cannot write {name} under {root} ({error.strerror or error})"
            ) from error
    return before


def read_manifest(root: Path, name: str) -> Manifest | None:
    """Return the manifest of an installed dataset; `None` if it is not installed.

    Raises:
        UserError: if the manifest or its array file is damaged.
    """
    return _read_manifest_file(root, name, MANIFEST)


def _read_manifest_file(root: Path, name: str, file: str) -> Manifest | None:
    folder = root / name
    try:
        text = (folder / file).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _damaged(folder / file, name, error) from error
    record = None
    try:
        record = Manifest.model_validate_json(text)
        if (folder / record.file).stat().st_size != record.bytes:
            raise ValueError(f"{record.file} is not {record.bytes} bytes long")
    except (ValidationError, ValueError, OSError) as error:
        raise _damaged(folder, name, error, record.derived_from if record else None) from error
    return record


def read_derivation(root: Path, name: str) -> Derivation | None:
    """Return the source of a derived dataset, even if its array file is damaged.

    `None` if it was not derived, is not installed, or its manifest cannot be read.
    """
    try:
        text = (root / name / MANIFEST).read_bytes()
        return Manifest.model_validate_json(text).derived_from
    except (OSError, ValidationError):
        return None


def read(root: Path, name: str) -> tuple[Manifest, dict[str, Split]] | None:
    """Load an installed dataset; `None` if it is not installed.

    Raises:
        UserError: if it is damaged.
    """
    for _ in range(_MAX_TRIES):
        record = read_manifest(root, name)
        if record is None:
            return None
        try:
            return record, _read_arrays(root, name, record)
        except UserError:
            # The dataset was replaced twice since its manifest was read, so the file is gone.
            if read_manifest(root, name) == record:
                raise
    raise UserError(f"{name} changes while it is read; try again")


def _read_arrays(root: Path, name: str, record: Manifest) -> dict[str, Split]:
    path = root / name / record.file
    try:
        # ZIP checks a CRC over every array while reading.
        with np.load(path, allow_pickle=False) as arrays:
            parts = {
                role: Split(*(arrays[f"{role}_{field}"] for field in ("images", "labels", "ids")))
                for role in (*ROLES, UNSPLIT)
                if f"{role}_images" in arrays
            }
        if {role: len(part) for role, part in parts.items()} != {
            role: sum(counts.values()) for role, counts in record.counts.items()
        }:
            raise ValueError("the counts differ from the record")
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, name, error, record.derived_from) from error
    return parts


def write(
    root: Path,
    name: str,
    class_names: tuple[str, ...],
    parts: Mapping[str, Split],
    sources: tuple[Source, ...],
    *,
    validation_from_train: bool,
    audit: Audit,
    derived_from: Derivation | None = None,
) -> Manifest:
    """Install a dataset; an installed version of it becomes the previous version.

    The caller holds the lock of `lock_dataset`.

    Raises:
        UserError: if it cannot be written, such as on a full disk; the installed version is intact.
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
            counts={role: count_classes(part, class_names) for role, part in parts.items()},
            sources=sources,
            validation_from_train=validation_from_train,
            audit=audit,
            derived_from=derived_from,
        )
        previous_file = _keep_previous(root, name, path.name)
        content = record.model_dump_json(indent=2, exclude_none=True, by_alias=True)
        with atomic_write(folder / MANIFEST) as stream:
            stream.write(content.encode() + b"\n")
    except OSError as error:
        raise UserError(
            f"cannot write {name} under {root} ({error.strerror or error}): expected room for "
            f"{sum(array.nbytes for array in arrays.values()) >> 20} MB in a writable folder; "
            "what was installed before is unchanged"
        ) from error
    for stale in folder.glob("*.npz"):
        if stale.name not in (path.name, previous_file):
            stale.unlink(missing_ok=True)
    for partial in (*folder.glob(".*.npz.*"), *folder.glob(".*.json.*")):
        partial.unlink(missing_ok=True)  # of a process that was killed while it wrote
    return record


def _keep_previous(root: Path, name: str, new_file: str) -> str | None:
    """Keep the manifest that is about to be replaced.

    Returns:
        The name of the previous version's array file; `None` if there is no previous version.
    """
    folder = root / name
    try:
        current = read_manifest(root, name)
    except UserError:  # damaged: the version before it is kept
        current = None
    if current is not None and current.file != new_file:
        content = (folder / MANIFEST).read_bytes()
        with atomic_write(folder / PREVIOUS) as stream:
            stream.write(content)
        return current.file
    try:
        before = _read_manifest_file(root, name, PREVIOUS)
    except UserError:
        before = None
    return before.file if before else None


def count_classes(part: Split, class_names: tuple[str, ...]) -> dict[str, int]:
    """Return the number of samples of a split by class name."""
    counts = np.bincount(part.labels, minlength=len(class_names)).tolist()
    return dict(zip(class_names, counts, strict=True))


def _damaged(
    path: Path, name: str, error: Exception, derived_from: Derivation | None = None
) -> UserError:
    reason = " ".join(str(error).split())[:120]
    command = f"fercore data add {name} PATH"
    if derived_from and derived_from.detector:
        command = f"fercore data align {derived_from.dataset} --name {name}"
    return UserError(f"{path} is damaged ({reason}); add the dataset again with: {command}")


def read_intact_manifest(root: Path, name: str) -> Manifest | None:
    """Return the manifest of an installed dataset; `None` if it is absent or damaged."""
    try:
        installed = read(root, name)
    except UserError:
        return None
    return installed[0] if installed else None


def build_report(
    manifest: Manifest, titles: Mapping[str, str], changed: bool, notes: tuple[str, ...]
) -> AddReport:
    """Build the report of adding a dataset from its manifest."""
    return AddReport(
        dataset=manifest.dataset,
        changed=changed,
        fingerprint=manifest.fingerprint,
        counts=manifest.counts,
        titles=titles,
        audit=manifest.audit,
        notes=notes,
    )
