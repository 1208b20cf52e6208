"""What the datasets share that come as one set of images, and those derived from others."""

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
from fercore.data.readers.archives import sha256
from fercore.data.readers.skipped_files import IntakeLog
from fercore.data.reports import AddReport, DatasetStatus
from fercore.data.splits import ROLES, UNSPLIT, DatasetVersion, Split, Splits
from fercore.data.validation_split import hold_out
from fercore.errors import UserError
from fercore.io.file_names import storable_name

Groups = Callable[[NDArray[np.str_]], Mapping[str, NDArray[np.str_]]]

TITLES = {UNSPLIT: "All", "train": "Training", "validation": "Validation", "test": "Test"}
_MAX_CLASSES = 256  # a label is one byte
_MAX_ID = 200  # characters; the longest one sets the room that each takes


class Sample(NamedTuple):
    """One image that was read.

    Attributes:
        image: `(height, width)` uint8.
        label: name of its class.
        id: its name, from its path.
        role: the part that it belongs to; `POOL` in a dataset without parts.
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
    again: bool = False,
) -> AddReport:
    """Install a dataset; the same files again change nothing.

    Of a dataset with parts but without validation, an eighth of training becomes that.

    Args:
        name: of the dataset.
        paths: what `read` reads, all of it.
        root: data root.
        class_names: the label set; the sorted names that occur if absent.
        read: called unless these very files are installed.
        log: what `read` could not use.
        remarks: what the user should know of what was installed.
        again: whether to read these very files again.

    Raises:
        UserError: if a file cannot be used, an id stands twice, nothing was read, there are too
            few classes or too many, or the dataset cannot be stored.
    """
    digests = {path: sha256(path) for path in paths}
    installed = store.undamaged(root, name)
    known = {source.sha256 for source in installed.sources} if installed else set()
    if installed and not again and known == set(digests.values()):
        return store.report(installed, TITLES, False, ("already installed, unchanged",))
    samples = sorted(
        (
            Sample(image, storable_name(label), _bounded(storable_name(name)), role)
            for image, label, name, role in read()
        ),
        key=lambda sample: sample.id,
    )
    notes = log.notes()
    if not samples:
        given = ", ".join(storable_name(path.name) for path in paths)
        raise UserError(f"{given}: no image of {name} found{_but(notes)}")
    names = class_names or tuple(sorted({sample.label for sample in samples}))
    _check_number(names, notes)
    ids = [sample.id for sample in samples]
    repeated = next((one for one, other in itertools.pairwise(ids) if one == other), None)
    if repeated is not None:
        raise UserError(f"the image {repeated} was given twice; add each file of the dataset once")
    parts = _parts(samples, names)
    held_out = "train" in parts and "validation" not in parts
    if held_out:
        parts["train"], parts["validation"] = hold_out(parts["train"], len(names))
        if not len(parts["validation"]):
            raise UserError(
                "the training part holds too few images to take some out to choose checkpoints on: "
                "expected two of a class that are not equal, or a validation folder"
            )
    roles = tuple(role for role in (*ROLES, UNSPLIT) if role in parts)
    parts = {role: parts[role] for role in roles}
    sources = tuple(
        store.Source(name=storable_name(path.name), sha256=digest, gave=roles, holds=roles)
        for path, digest in digests.items()
    )
    found = store.write(root, name, names, parts, sources, held_out=held_out, audit=audit(parts))
    if held_out:
        count = len(parts["validation"])
        were = "image was" if count == 1 else "images were"
        notes += (f"{count:,} {were} taken out of training to choose checkpoints on",)
    notes += _missing_classes(found)
    return store.report(found, TITLES, True, (*remarks(found), *notes))


def _check_number(class_names: tuple[str, ...], notes: tuple[str, ...]) -> None:
    count = len(class_names)
    if count < 2:
        raise UserError(
            f"received images of {count} class ({', '.join(class_names)}), expected at least two: "
            f"a folder for each{_but(notes)}"
        )
    if count > _MAX_CLASSES:
        raise UserError(
            f"received images of {count} classes, expected {_MAX_CLASSES} at most; the folder "
            "that an image lies in is its class, so put several of them into one"
        )


def _missing_classes(manifest: store.Manifest) -> tuple[str, ...]:
    """A line for each of training and test that lacks a class."""
    lacking = {
        role: [name for name, count in manifest.counts[role].items() if not count]
        for role in ("train", "test")
        if role in manifest.counts
    }
    return tuple(
        f"the {TITLES[role].lower()} part holds no image of {', '.join(names)}"
        for role, names in lacking.items()
        if names
    )


def _parts(samples: Sequence[Sample], class_names: tuple[str, ...]) -> dict[str, Split]:
    position = {name: number for number, name in enumerate(class_names)}
    by_role: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_role[sample.role].append(sample)
    return {
        role: Split(
            np.stack([sample.image for sample in by_role[role]]),
            np.array([position[sample.label] for sample in by_role[role]], np.uint8),
            np.array([sample.id for sample in by_role[role]]),
        )
        for role in (*ROLES, UNSPLIT)
        if role in by_role
    }


def _bounded(name: str) -> str:
    """A long id, shortened: its end, after a digest of all of it."""
    if len(name) <= _MAX_ID:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{digest}-{name[-(_MAX_ID - 17) :]}"


def _but(notes: tuple[str, ...]) -> str:
    return f" ({'; '.join(notes)})" if notes else ""


def load(root: Path, name: str, groups: Groups = lambda ids: {}) -> Splits:
    """Load what was installed.

    Args:
        root: data root.
        name: of the dataset.
        groups: see `fercore.data.splits.Split`; from the ids.

    Raises:
        UserError: if it is not installed, or damaged.
    """
    found = store.read(root, name)
    if found is None:
        raise UserError(
            f"{name} is not installed under {root}; add it with: fercore data add {name} PATH"
        )
    manifest, stored = found
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
        held_out=manifest.held_out,
        source=DatasetVersion(derived.dataset, derived.fingerprint) if derived else None,
    )


def status(root: Path, name: str) -> DatasetStatus:
    """What is installed."""
    how = f"add it with: fercore data add {name} PATH"
    try:
        found = store.manifest(root, name)
    except UserError as error:
        return DatasetStatus(name, installed=False, remark=str(error))
    if found is None:
        return DatasetStatus(name, installed=False, remark=how)
    return DatasetStatus(
        name,
        installed=True,
        counts=found.counts,
        bytes=found.bytes,
        fingerprint=found.fingerprint,
        remark=_describe(found.derived_from) if found.derived_from else "",
    )


def compare_counts(
    manifest: store.Manifest, published: Mapping[str, int], whose: str
) -> tuple[str, ...]:
    """One line on how many images there are, against the published number."""
    found = manifest.counts[UNSPLIT]
    if found == dict(published):
        return (f"every class holds as many images as {whose}",)
    return (f"{sum(found.values()):,} images installed, {whose} has {sum(published.values()):,}",)


def _describe(derived: store.Derivation) -> str:
    if not derived.detector:
        return f"images of {derived.dataset} {derived.fingerprint}, labelled anew"
    shares = ", ".join(
        f"{derived.titles.get(role, role)} {share:.1%}"
        for role, share in derived.faces_found.items()
    )
    return (
        f"aligned from {derived.dataset} {derived.fingerprint}, faces found by {derived.detector}: "
        f"{shares}"
    )
