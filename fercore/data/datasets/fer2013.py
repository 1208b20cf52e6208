"""FER2013 (Goodfellow et al., 2013): 35,887 grey faces of 48x48 pixels, seven expressions.

Taken from every edition that users have: `fer2013.csv`, `icml_face_data.csv`, and the image folders
of Kaggle, each as it is, in a ZIP or in a TAR. PublicTest chooses checkpoints, PrivateTest is the
test. The pixels of the folder edition differ from those of the CSV by JPEG rounding, so the two
have different fingerprints.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.data import labels, store
from fercore.data.folder_layout import role_of
from fercore.data.quality import audit
from fercore.data.readers.archives import TABLES, Member, readable, sha256, walk
from fercore.data.readers.csv import Row, is_votes, open_table, read_rows
from fercore.data.readers.images import MAX_BYTES, decode_grey
from fercore.data.readers.skipped_files import IntakeLog
from fercore.data.reports import AddReport, DatasetStatus, OnProgress
from fercore.data.splits import ROLES, Split, Splits, fingerprint
from fercore.data.validation_split import hold_out
from fercore.errors import UserError
from fercore.images.decoding import IMAGE_SUFFIXES
from fercore.io.file_names import storable_name

NAME = "fer2013"
CLASS_NAMES = labels.FER2013
TITLES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
SIZE = (48, 48)

# Images by class, as the challenge published them.
OFFICIAL = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "validation": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}

_ROLE_OF_NAME = {title.lower(): role for role, title in TITLES.items()}
_HOW = f"fercore data add {NAME} PATH"


@dataclass
class _Samples:
    """What has been read so far, of one role."""

    images: list[NDArray[np.uint8]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def split(self) -> Split:
        # Two file names of the folder edition stand in two class folders, with different faces.
        times = Counter(self.ids)
        ids = np.array(
            [
                f"{name}_{CLASS_NAMES[label]}" if times[name] > 1 else name
                for name, label in zip(self.ids, self.labels, strict=True)
            ]
        )
        order = np.argsort(ids)
        ids = ids[order]
        repeated = ids[1:][ids[1:] == ids[:-1]]
        if len(repeated):
            raise UserError(
                f"the image {repeated[0]} was given twice; add each file of the dataset once"
            )
        return Split(np.stack(self.images)[order], np.array(self.labels, np.uint8)[order], ids)


def load(root: Path) -> Splits:
    """Load what `add` installed.

    Raises:
        UserError: if it is not installed, lacks a split, or is damaged.
    """
    found = store.read(root, NAME)
    if found is None:
        raise UserError(f"{NAME} is not installed under {root}; add it with: {_HOW}")
    manifest, parts = found
    missing = [TITLES[role] for role in ROLES if role not in parts]
    if missing:
        raise UserError(
            f"{NAME} under {root} lacks {' and '.join(missing)}; add the rest with: {_HOW}, or "
            "make a dataset of your own of what there is: fercore data add NAME PATH --new"
        )
    return Splits(
        NAME, CLASS_NAMES, parts, TITLES, manifest.fingerprint, held_out=manifest.held_out
    )


def status(root: Path) -> DatasetStatus:
    """What is installed."""
    try:
        found = store.manifest(root, NAME)
    except UserError as error:
        return DatasetStatus(NAME, installed=False, remark=str(error))
    if found is None:
        return DatasetStatus(NAME, installed=False, remark=f"add it with: {_HOW}")
    missing = [TITLES[role] for role in ROLES if role not in found.counts]
    return DatasetStatus(
        NAME,
        installed=not missing,
        counts=found.counts,
        bytes=found.bytes,
        fingerprint=found.fingerprint,
        remark=f"lacks {' and '.join(missing)}; add the rest with: {_HOW}" if missing else "",
    )


def add(
    paths: Sequence[Path],
    root: Path,
    on_progress: OnProgress | None = None,
    skip_bad: bool = False,
) -> AddReport:
    """Install FER2013 from any of its editions, or the parts of it that the files hold.

    Splits that the files do not hold stay as they were installed before.

    Raises:
        UserError: if a file is missing, damaged, holds no image of FER2013, or cannot be stored.
    """
    digests = {path: sha256(path) for path in paths}
    old, parts = _installed(root)
    known = (
        {source.sha256 for source in old.sources if source.gave == source.holds} if old else set()
    )
    if old and set(digests.values()) <= known:
        return store.report(old, TITLES, False, ("already installed, unchanged",))

    samples: dict[str, _Samples] = defaultdict(_Samples)
    gave: dict[Path, set[str]] = {}
    anonymous = False
    log = IntakeLog(skip_bad, on_progress)
    for path in paths:
        before = {role: len(part.ids) for role, part in samples.items()}
        anonymous |= _read(path, samples, log)
        gave[path] = {role for role, part in samples.items() if len(part.ids) > before.get(role, 0)}
    notes = list(log.notes())
    given = {role: part.split() for role, part in samples.items() if part.images}

    if anonymous and "validation" in given and "test" not in {*given, *parts}:
        given["test"] = _as_test(given.pop("validation"))
        for roles in gave.values():
            roles ^= {"validation", "test"} if "validation" in roles else set()
        notes.append(
            f"there is no test folder: the validation folder is used as {TITLES['test']}, and not "
            "to choose checkpoints"
        )
    _refuse_overlap(old, given, anonymous)
    held_out = old is not None and old.held_out and "validation" not in given
    # What was taken out of another edition's training would stand in this one.
    if "train" in given and "validation" not in given and (anonymous or held_out):
        given["train"], given["validation"] = hold_out(given["train"], len(CLASS_NAMES))
        held_out = True
        for roles in gave.values():
            roles |= {"validation"} if "train" in roles else set()
        if anonymous and not any(note.startswith("there is no test") for note in notes):
            notes.append(
                "the file names do not tell PublicTest from PrivateTest: all of the test folder "
                "became PrivateTest"
            )
        notes.append(
            f"{len(given['validation']):,} images were taken out of Training to choose checkpoints "
            "on"
        )
    for role in given:
        if role in parts and fingerprint({role: parts[role]}) != fingerprint({role: given[role]}):
            notes.append(f"{TITLES[role]} was replaced by the one in these files")
    merged = {role: (parts | given)[role] for role in ROLES if role in parts or role in given}
    manifest = store.write(
        root,
        NAME,
        CLASS_NAMES,
        merged,
        _sources(old, digests, gave),
        held_out=held_out,
        audit=audit(merged),
    )
    return store.report(manifest, TITLES, True, (*notes, *_remarks(manifest)))


def _read(path: Path, samples: Mapping[str, _Samples], log: IntakeLog) -> bool:
    """Read one path into the samples; whether the file names left the split to the folders."""
    before, anonymous = log.read + log.bad, False
    for member in walk(path, log.passed_over):
        if member.has_suffix(TABLES):
            if not _read_table(member, samples, log):
                log.pass_over(member)
        elif member.has_suffix(IMAGE_SUFFIXES):
            with log.one_image():
                anonymous |= _read_image(member, samples)
        else:
            log.pass_over(member)
    if log.read + log.bad == before:
        raise UserError(
            f"{storable_name(path.name)} holds no image of FER2013; expected fer2013.csv, "
            "icml_face_data.csv, or folders such as train/happy and test/happy with 48x48 images"
            + "".join(f" ({note})" for note in log.others)
        )
    return anonymous


def _read_table(member: Member, samples: Mapping[str, _Samples], log: IntakeLog) -> bool:
    """Read the images of a table; whether it is one of FER2013's."""
    with readable(member.where), member.open() as stream:
        table = open_table(stream, member.where)
        if table is None:
            return False
        if is_votes(table):
            raise UserError(
                f"{member.where} holds the votes of FER+ and no pixels; expected fer2013.csv. The "
                "votes become a dataset with: fercore data add ferplus PATH"
            )
        rows = read_rows(table, CLASS_NAMES, SIZE[0] * SIZE[1], log.reject)
        if rows is None:  # another table, such as the challenge's example submission
            if {"emotion", "pixels"} <= set(table.header):
                log.left_out(f"{member.where}, for want of the column Usage, which tells the split")
            return False
        for row in rows:
            with log.one_image():
                _keep_row(row, samples, member.where)
    return True


def _keep_row(row: Row, samples: Mapping[str, _Samples], where: str) -> None:
    role = _role_of(row.usage)
    if role is None:
        raise UserError(
            f"{where}, data row {row.number} (from 0): received the usage "
            f"{storable_name(row.usage[:40])!r}, expected {', '.join(TITLES.values())}"
        )
    part = samples[role]
    part.images.append(np.frombuffer(row.pixels, np.uint8).reshape(SIZE))
    part.labels.append(row.label)
    part.ids.append(f"{TITLES[role]}_{row.number:05d}")


def _read_image(member: Member, samples: Mapping[str, _Samples]) -> bool:
    folders = [folder.lower() for folder in member.folders]
    emotion = labels.canonical(folders[-1]) if folders else ""
    if emotion not in CLASS_NAMES:
        folder = storable_name(folders[-1]) if folders else "."
        raise UserError(
            f"{member.where} lies in the folder {folder!r}, expected one folder for each of: "
            f"{', '.join(CLASS_NAMES)}"
        )
    role = _ROLE_OF_NAME.get(member.stem.partition("_")[0].lower())
    named = role is not None
    if role is None:
        places = [place for folder in folders[:-1] if (place := _role_of(folder))]
        if not places:
            raise UserError(
                f"neither the name nor the folders of {member.where} tell its split; expected "
                "train/ and test/ folders, or names such as PublicTest_123.jpg"
            )
        role = places[-1]
    image = decode_grey(member.read(MAX_BYTES), SIZE, member.where)
    part = samples[role]
    part.images.append(image)
    part.labels.append(CLASS_NAMES.index(emotion))
    # Names that tell nothing repeat from folder to folder.
    stem = storable_name(member.stem)
    part.ids.append(stem if named else f"{TITLES[role]}_{emotion}_{stem}")
    return not named


def _role_of(name: str) -> str | None:
    """The part that a folder or a usage of this name stands for."""
    return _ROLE_OF_NAME.get(name.strip().lower()) or role_of(name)


def _as_test(validation: Split) -> Split:
    """A validation folder as the test part, its images named after that."""
    old, new = f"{TITLES['validation']}_", f"{TITLES['test']}_"
    ids = [new + name.removeprefix(old) for name in validation.ids.tolist()]
    return Split(validation.images, validation.labels, np.array(ids))


def _installed(root: Path) -> tuple[store.Manifest | None, dict[str, Split]]:
    """What can be built on; a damaged install is replaced as a whole."""
    try:
        return store.read(root, NAME) or (None, {})
    except UserError:
        return None, {}


def _refuse_overlap(old: store.Manifest | None, given: Collection[str], anonymous: bool) -> None:
    """Refuse to set PublicTest beside a test folder that may hold it, by other names and pixels."""
    if old is None:
        return
    mixed = "test" in given and not {"train", "validation"} & set(given) and anonymous
    if mixed and "validation" in old.counts and not old.held_out:
        what = "a test folder that does not tell PublicTest from PrivateTest, beside a PublicTest"
    elif "validation" in given and "test" not in given and "test" in old.counts and old.held_out:
        what = "a PublicTest, beside a test folder that does not tell it from PrivateTest"
    else:
        return
    raise UserError(
        f"received {what} that is installed: checkpoints would be chosen on images of the test. "
        "Add all parts of one edition in one command: fercore data add fer2013 PATH PATH..."
    )


def _sources(
    old: store.Manifest | None, digests: Mapping[Path, str], gave: Mapping[Path, set[str]]
) -> tuple[store.Source, ...]:
    replaced = set().union(*gave.values())
    kept = []
    for source in old.sources if old else ():
        holds = tuple(role for role in source.holds if role not in replaced)
        if holds:
            kept.append(source.model_copy(update={"holds": holds}))
    added = [
        store.Source(name=storable_name(path.name), sha256=digest, gave=roles, holds=roles)
        for path, digest in digests.items()
        for roles in [tuple(role for role in ROLES if role in gave[path])]
    ]
    return (*kept, *added)


def _remarks(manifest: store.Manifest) -> list[str]:
    """How the counts compare with the official ones, and what is missing."""
    counts = {role: tuple(found.values()) for role, found in manifest.counts.items()}
    if manifest.held_out and {"train", "validation"} <= set(counts):
        whole = zip(counts.pop("train"), counts.pop("validation"), strict=True)
        counts["train"] = tuple(sum(pair) for pair in whole)
    remarks = []
    for role, found in counts.items():
        official = OFFICIAL[role]
        # A merged test folder is PublicTest and PrivateTest together.
        both = tuple(a + b for a, b in zip(OFFICIAL["validation"], official, strict=True))
        if role == "test" and manifest.held_out and found == both:
            remarks.append("PrivateTest holds the official PublicTest and PrivateTest together")
        elif found != official:
            remarks.append(
                f"{TITLES[role]} holds {sum(found):,} images, the official one {sum(official):,}"
            )
    if not remarks and len(counts) == len(ROLES):
        remarks.append("every class and split holds as many images as the official set")
    missing = [TITLES[role] for role in ROLES if role not in manifest.counts]
    if missing:
        remarks.append(f"still missing: {', '.join(missing)}; add the rest with: {_HOW}")
    return remarks
