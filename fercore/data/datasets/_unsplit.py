"""Add, load and describe datasets that come as one set of images, and derived datasets."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fercore.data import store
from fercore.data.quality import audit
from fercore.data.readers.archives import sha256_of_path
from fercore.data.readers.skipped_files import IntakeLog
from fercore.data.reports import AddReport, DatasetStatus
from fercore.data.splits import ROLES, UNSPLIT, DatasetVersion, Split, Splits
from fercore.data.validation_split import take_validation_from_train
from fercore.errors import UserError
from fercore.io.file_names import storable_name

Groups = Callable[[NDArray[np.str_]], Mapping[str, NDArray[np.str_]]]

TITLES = {UNSPLIT: "All", "train": "Training", "validation": "Validation", "test": "Test"}
_MAX_CLASSES = 256  # a label is one byte
_MAX_ID = 200  # characters; numpy reserves the longest id's length for every id


class Sample(NamedTuple):
    """One image that was read.

    Attributes:
        image: `(height, width)` uint8.
        label: name of its class.
        id: its id, from its path.
        role: its split; `UNSPLIT` in a dataset without splits.
    """

    image: NDArray[np.uint8]
    label: str
    id: str
    role: str = UNSPLIT


def add(
    name: str,
    paths: Sequence[Path],
    root: Path,
    class_names: tuple[str, ...] | None,
    read: Callable[[], list[Sample]],
    log: IntakeLog,
    remarks: Callable[[store.Manifest], tuple[str, ...]] = lambda manifest: (),
    reread: bool = False,
) -> AddReport:
    """Install a dataset; adding the same files again changes nothing.

    If the dataset has splits but no validation, an eighth of training becomes validation.

    Args:
        name: of the dataset.
        paths: all files and folders that `read` reads.
        root: data root.
        class_names: the label set; `None` for the sorted names that occur.
        read: returns the samples; not called if the same files are installed.
        log: of the files that `read` could not use.
        remarks: returns notes on the installed dataset for the user.
        reread: whether to read the files even if the same files are installed.

    Raises:
        UserError: if a file cannot be used, an id occurs twice, nothing was read, there are too few
            or too many classes, or the dataset cannot be stored.
    """
    digests = {path: sha256_of_path(path) for path in paths}
    installed = store.read_intact_manifest(root, name)
    installed_digests = {source.sha256 for source in installed.sources} if installed else set()
    if installed and not reread and installed_digests == set(digests.values()):
        return store.build_report(installed, TITLES, False, ("already installed, unchanged",))
    samples = sorted(
        (
            Sample(image, storable_name(label), _shorten_id(storable_name(name)), role)
            for image, label, name, role in read()
        ),
        key=lambda sample: sample.id,
    )
    notes = log.notes()
    if not samples:
        files = ", ".join(storable_name(path.name) for path in paths)
        raise UserError(f"{files}: no image of {name} found{_in_parentheses(notes)}")
    names = class_names or tuple(sorted({sample.label for sample in samples}))
    _check_num_classes(names, notes)
    ids = [sample.id for sample in samples]
    repeated = next((one for one, other in itertools.pairwise(ids) if one == other), None)
    if repeated is not None:
        raise UserError(f"the image {repeated} was given twice; add each file of the dataset once")
    parts = _make_splits(samples, names)
    validation_from_train = "train" in parts and "validation" not in parts
    if validation_from_train:
        parts["train"], parts["validation"] = take_validation_from_train(parts["train"], len(names))
        if not len(parts["validation"]):
            raise UserError(
                "the training part has too few images to take a validation split out of it; "
                "expected two images of a class that are not equal, or a validation folder"
            )
    roles = tuple(role for role in (*ROLES, UNSPLIT) if role in parts)
    parts = {role: parts[role] for role in roles}
    sources = tuple(
        store.Source(name=storable_name(path.name), sha256=digest, gave=roles, holds=roles)
        for path, digest in digests.items()
    )
    manifest = store.write(
        root,
        name,
        names,
        parts,
        sources,
        validation_from_train=validation_from_train,
        audit=audit(parts),
    )
    if validation_from_train:
        count = len(parts["validation"])
        were = "image was" if count == 1 else "images were"
        notes += (f"{count:,} {were} taken out of training to choose checkpoints on",)
    notes += _missing_classes(manifest)
    return store.build_report(manifest, TITLES, True, (*remarks(manifest), *notes))


def _check_num_classes(class_names: tuple[str, ...], notes: tuple[str, ...]) -> None:
    count = len(class_names)
    if count < 2:
        raise UserError(
            f"received images of {count} class ({', '.join(class_names)}), expected at least two: "
            f"a folder for each{_in_parentheses(notes)}"
        )
    if count > _MAX_CLASSES:
        raise UserError(
            f"received images of {count} classes, expected {_MAX_CLASSES} at most; the folder of "
            "an image is its class, so merge some of the folders"
        )


def _missing_classes(manifest: store.Manifest) -> tuple[str, ...]:
    """Return a note for each of training and test that lacks a class."""
    lacking = {
        role: [name for name, count in manifest.counts[role].items() if not count]
        for role in ("train", "test")
        if role in manifest.counts
    }
    return tuple(
        f"the {TITLES[role].lower()} part has no image of {', '.join(names)}"
        for role, names in lacking.items()
        if names
    )


def _make_splits(samples: Sequence[Sample], class_names: tuple[str, ...]) -> dict[str, Split]:
    label_of = {name: number for number, name in enumerate(class_names)}
    by_role: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_role[sample.role].append(sample)
    return {
        role: Split(
            np.stack([sample.image for sample in by_role[role]]),
            np.array([label_of[sample.label] for sample in by_role[role]], np.uint8),
            np.array([sample.id for sample in by_role[role]]),
        )
        for role in (*ROLES, UNSPLIT)
        if role in by_role
    }


def _shorten_id(sample_id: str) -> str:
    """Replace the beginning of an id that is too long by a digest of the id."""
    if len(sample_id) <= _MAX_ID:
        return sample_id
    digest = hashlib.sha256(sample_id.encode()).hexdigest()[:16]
    return f"{digest}-{sample_id[-(_MAX_ID - 17) :]}"


def _in_parentheses(notes: tuple[str, ...]) -> str:
    return f" ({'; '.join(notes)})" if notes else ""


def load(root: Path, name: str, groups: Groups = lambda ids: {}) -> Splits:
    """Load an installed dataset.

    Args:
        root: data root.
        name: of the dataset.
        groups: returns the groups of samples from their ids, see `fercore.data.splits.Split`.

    Raises:
        UserError: if it is not installed, or damaged.
    """
    installed = store.read(root, name)
    if installed is None:
        raise UserError(
            f"{name} is not installed under {root}; add it with: fercore data add {name} PATH"
        )
    manifest, stored = installed
    derived = manifest.derived_from
    return Splits(
        name,
        manifest.class_names,
        {
            role: Split(part.images, part.labels, part.ids, groups(part.ids))
            for role, part in stored.items()
        },
        derived.titles if derived else TITLES,
        manifest.fingerprint,
        validation_from_train=manifest.validation_from_train,
        source=DatasetVersion(derived.dataset, derived.fingerprint) if derived else None,
    )


def status(root: Path, name: str) -> DatasetStatus:
    """Return the status of a dataset."""
    try:
        manifest = store.read_manifest(root, name)
    except UserError as error:
        return DatasetStatus(name, installed=False, remark=str(error))
    if manifest is None:
        remark = f"add it with: fercore data add {name} PATH"
        return DatasetStatus(name, installed=False, remark=remark)
    return DatasetStatus(
        name,
        installed=True,
        counts=manifest.counts,
        bytes=manifest.bytes,
        fingerprint=manifest.fingerprint,
        remark=_describe_derivation(manifest.derived_from) if manifest.derived_from else "",
    )


def compare_counts(
    manifest: store.Manifest, published: Mapping[str, int], publication: str
) -> tuple[str, ...]:
    """Return a note that compares the number of images with the published number."""
    counts = manifest.counts[UNSPLIT]
    if counts == dict(published):
        return (f"every class holds as many images as {publication}",)
    total, expected = sum(counts.values()), sum(published.values())
    return (f"{total:,} images installed, {publication} has {expected:,}",)


def _describe_derivation(derived: store.Derivation) -> str:
    if not derived.detector:
        return f"images of {derived.dataset} {derived.fingerprint} with other labels"
    shares = ", ".join(
        f"{derived.titles.get(role, role)} {share:.1%}"
        for role, share in derived.faces_found.items()
    )
    return (
        f"aligned from {derived.dataset} {derived.fingerprint}, faces found by {derived.detector}: "
        f"{shares}"
    )
