"""What the datasets share that come as one set of images, and those derived from others."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.data import store
from fercore.data.audit import audit
from fercore.data.intake.members import sha256
from fercore.data.report import AddReport, DatasetStatus
from fercore.data.splits import POOL, DatasetVersion, Split, Splits
from fercore.errors import UserError

# Image, class name and id.
Sample = tuple[NDArray[np.uint8], str, str]
Groups = Callable[[NDArray[np.str_]], Mapping[str, NDArray[np.str_]]]

TITLES = {POOL: "All"}
_MAX_CLASSES = 256  # a label is one byte


def add(
    name: str,
    paths: Sequence[Path],
    root: Path,
    class_names: tuple[str, ...] | None,
    read: Callable[[], list[Sample]],
    remarks: Callable[[store.Manifest], tuple[str, ...]] = lambda manifest: (),
    again: bool = False,
) -> AddReport:
    """Install a dataset; the same files again change nothing.

    Args:
        name: of the dataset.
        paths: what `read` reads, all of it.
        root: data root.
        class_names: the label set; the sorted names that occur if absent.
        read: called unless these very files are installed.
        remarks: what the user should know of what was installed.
        again: whether to read these very files again.

    Raises:
        UserError: if an id stands twice, nothing was read, there are too few classes or too many,
            or the dataset cannot be stored.
    """
    digests = {path: sha256(path) for path in paths}
    installed = _installed(root, name)
    known = {source.sha256 for source in installed.sources} if installed else set()
    if installed and not again and known == set(digests.values()):
        return _report(installed, False, ("already installed, unchanged",))
    samples = sorted(
        ((image, store.printable(label), store.printable(name)) for image, label, name in read()),
        key=lambda sample: sample[2],
    )
    if not samples:
        raise UserError(f"{', '.join(path.name for path in paths)}: no image of {name} found")
    names = class_names or tuple(sorted({name for _, name, _ in samples}))
    if len(names) < 2:
        raise UserError(f"received images of {len(names)} class, expected at least two classes")
    if len(names) > _MAX_CLASSES:
        raise UserError(
            f"received images of {len(names)} classes, expected {_MAX_CLASSES} at most; the folder "
            "that an image lies in is its class, so put several of them into one"
        )
    ids = np.array([sample[2] for sample in samples])
    repeated = ids[1:][ids[1:] == ids[:-1]]
    if len(repeated):
        raise UserError(
            f"the image {repeated[0]} was given twice; add each file of the dataset once"
        )
    position = {name: number for number, name in enumerate(names)}
    labels = np.array([position[sample[1]] for sample in samples], np.uint8)
    parts = {POOL: Split(np.stack([sample[0] for sample in samples]), labels, ids)}
    sources = tuple(
        store.Source(name=store.printable(path.name), sha256=digest, gave=(POOL,), holds=(POOL,))
        for path, digest in digests.items()
    )
    found = store.write(root, name, names, parts, sources, held_out=False, audit=audit(parts))
    return _report(found, True, remarks(found))


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
    found = manifest.counts[POOL]
    if found == dict(published):
        return (f"every class holds as many images as {whose}",)
    return (f"{sum(found.values()):,} images installed, {whose} has {sum(published.values()):,}",)


def _describe(derived: store.Derivation) -> str:
    shares = ", ".join(
        f"{derived.titles.get(role, role)} {share:.1%}"
        for role, share in derived.faces_found.items()
    )
    return (
        f"aligned from {derived.dataset} {derived.fingerprint}, faces found by {derived.detector}: "
        f"{shares}"
    )


def _installed(root: Path, name: str) -> store.Manifest | None:
    try:
        found = store.read(root, name)
    except UserError:
        return None  # damaged: replaced as a whole
    return found[0] if found else None


def _report(manifest: store.Manifest, changed: bool, notes: tuple[str, ...]) -> AddReport:
    return AddReport(
        dataset=manifest.dataset,
        changed=changed,
        fingerprint=manifest.fingerprint,
        counts=manifest.counts,
        titles=TITLES,
        audit=manifest.audit,
        notes=notes,
    )
