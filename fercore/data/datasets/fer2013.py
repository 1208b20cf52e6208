"""FER2013 (Goodfellow et al., 2013): 35,887 grey faces of 48x48 pixels, seven expressions.

Read from every edition in circulation: `fer2013.csv`, `icml_face_data.csv`, and the image folders
of Kaggle, each as a plain file or folder, in a ZIP or in a TAR. PublicTest is the validation split
and PrivateTest the test split. The pixels of the folder edition differ from those of the CSV by
JPEG rounding, so the two have different fingerprints.
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
from fercore.data.readers.archives import TABLES, Member, archive_errors, sha256_of_path, walk
from fercore.data.readers.csv import Row, has_votes, open_table, read_rows
from fercore.data.readers.images import MAX_BYTES, decode_grey
from fercore.data.readers.skipped_files import IntakeLog
from fercore.data.reports import AddReport, DatasetStatus, OnProgress
from fercore.data.splits import ROLES, Split, Splits, fingerprint
from fercore.data.validation_split import take_validation_from_train
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
_ADD_COMMAND = f"fercore data add {NAME} PATH"


@dataclass
class _Samples:
    """The samples of one role that have been read so far."""

    images: list[NDArray[np.uint8]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def to_split(self) -> Split:
        # Two file names of the folder edition occur in two class folders, with different faces.
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
    """Load the installed dataset.

    Raises:
        UserError: if it is not installed, lacks a split, or is damaged.
    """
    installed = store.read(root, NAME)
    if installed is None:
        raise UserError(f"{NAME} is not installed under {root}; add it with: {_ADD_COMMAND}")
    manifest, parts = installed
    missing = [TITLES[role] for role in ROLES if role not in parts]
    if missing:
        raise UserError(
            f"{NAME} under {root} lacks {' and '.join(missing)}; add the rest with: "
            f"{_ADD_COMMAND}, or make a dataset of your own from these files: fercore data add "
            "NAME PATH --new"
        )
    return Splits(
        NAME,
        CLASS_NAMES,
        parts,
        TITLES,
        manifest.fingerprint,
        validation_from_train=manifest.validation_from_train,
    )


def status(root: Path) -> DatasetStatus:
    """Return the status of the dataset."""
    try:
        manifest = store.read_manifest(root, NAME)
    except UserError as error:
        return DatasetStatus(NAME, installed=False, remark=str(error))
    if manifest is None:
        return DatasetStatus(NAME, installed=False, remark=f"add it with: {_ADD_COMMAND}")
    missing = [TITLES[role] for role in ROLES if role not in manifest.counts]
    remark = f"lacks {' and '.join(missing)}; add the rest with: {_ADD_COMMAND}" if missing else ""
    return DatasetStatus(
        NAME,
        installed=not missing,
        counts=manifest.counts,
        bytes=manifest.bytes,
        fingerprint=manifest.fingerprint,
        remark=remark,
    )


def add(
    paths: Sequence[Path],
    root: Path,
    on_progress: OnProgress | None = None,
    skip_bad: bool = False,
) -> AddReport:
    """Install FER2013 from any of its editions, or only the splits that the files contain.

    Splits that the files do not contain stay as they are installed.

    Raises:
        UserError: if a file is missing, damaged, has no image of FER2013, or cannot be stored.
    """
    digests = {path: sha256_of_path(path) for path in paths}
    old, parts = _read_installed(root)
    complete_digests = (
        {source.sha256 for source in old.sources if source.gave == source.holds} if old else set()
    )
    if old and set(digests.values()) <= complete_digests:
        return store.build_report(old, TITLES, False, ("already installed, unchanged",))

    samples: dict[str, _Samples] = defaultdict(_Samples)
    gave: dict[Path, set[str]] = {}
    anonymous = False
    log = IntakeLog(skip_bad, on_progress)
    for path in paths:
        before = {role: len(part.ids) for role, part in samples.items()}
        anonymous |= _read(path, samples, log)
        gave[path] = {role for role, part in samples.items() if len(part.ids) > before.get(role, 0)}
    notes = list(log.notes())
    new_parts = {role: part.to_split() for role, part in samples.items() if part.images}

    if anonymous and "validation" in new_parts and "test" not in {*new_parts, *parts}:
        new_parts["test"] = _rename_to_test(new_parts.pop("validation"))
        for roles in gave.values():
            roles ^= {"validation", "test"} if "validation" in roles else set()
        notes.append(
            f"there is no test folder: the validation folder is used as {TITLES['test']}, and not "
            "to choose checkpoints"
        )
    _refuse_overlap(old, new_parts, anonymous)
    validation_from_train = (
        old is not None and old.validation_from_train and "validation" not in new_parts
    )
    needs_validation = "train" in new_parts and "validation" not in new_parts
    # A validation split that was taken out of another edition's training occurs in this training.
    if needs_validation and (anonymous or validation_from_train):
        new_parts["train"], new_parts["validation"] = take_validation_from_train(
            new_parts["train"], len(CLASS_NAMES)
        )
        validation_from_train = True
        for roles in gave.values():
            roles |= {"validation"} if "train" in roles else set()
        if anonymous and not any(note.startswith("there is no test") for note in notes):
            notes.append(
                "the file names do not tell PublicTest from PrivateTest: all of the test folder "
                "became PrivateTest"
            )
        notes.append(
            f"{len(new_parts['validation']):,} images were taken out of Training to choose "
            "checkpoints on"
        )
    for role, part in new_parts.items():
        if role in parts and fingerprint({role: parts[role]}) != fingerprint({role: part}):
            notes.append(f"{TITLES[role]} was replaced by the one in these files")
    all_parts = parts | new_parts
    merged = {role: all_parts[role] for role in ROLES if role in all_parts}
    manifest = store.write(
        root,
        NAME,
        CLASS_NAMES,
        merged,
        _sources(old, digests, gave),
        validation_from_train=validation_from_train,
        audit=audit(merged),
    )
    return store.build_report(manifest, TITLES, True, (*notes, *_remarks(manifest)))


def _read(path: Path, samples: Mapping[str, _Samples], log: IntakeLog) -> bool:
    """Read one path into the samples.

    Returns:
        Whether the split of an image was read from its folders, as its file name does not tell it.
    """
    before, anonymous = log.read + log.bad, False
    for member in walk(path, log.passed_over):
        if member.has_suffix(TABLES):
            if not _read_table(member, samples, log):
                log.pass_over(member)
        elif member.has_suffix(IMAGE_SUFFIXES):
            with log.count_image():
                anonymous |= _read_image(member, samples)
        else:
            log.pass_over(member)
    if log.read + log.bad == before:
        raise UserError(
            f"{storable_name(path.name)} has no image of FER2013; expected fer2013.csv, "
            "icml_face_data.csv, or folders such as train/happy and test/happy with 48x48 images"
            + "".join(f" ({note})" for note in log.others)
        )
    return anonymous


def _read_table(member: Member, samples: Mapping[str, _Samples], log: IntakeLog) -> bool:
    """Read the images of a table; return whether it is a table of FER2013."""
    with archive_errors(member.where), member.open() as stream:
        table = open_table(stream, member.where)
        if table is None:
            return False
        if has_votes(table):
            raise UserError(
                f"{member.where} has the votes of FER+ and no pixels; expected fer2013.csv. Add "
                "the votes with: fercore data add ferplus PATH"
            )
        rows = read_rows(table, CLASS_NAMES, SIZE[0] * SIZE[1], log.reject)
        if rows is None:  # another table, such as the challenge's example submission
            if {"emotion", "pixels"} <= set(table.header):
                log.left_out(f"{member.where}: it has no column Usage, which names the split")
            return False
        for row in rows:
            with log.count_image():
                _add_row(row, samples, member.where)
    return True


def _add_row(row: Row, samples: Mapping[str, _Samples], where: str) -> None:
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
    """Read one image into the samples; return whether its split was read from its folders."""
    folders = [folder.lower() for folder in member.folders]
    emotion = labels.canonical(folders[-1]) if folders else ""
    if emotion not in CLASS_NAMES:
        folder = storable_name(folders[-1]) if folders else "."
        raise UserError(
            f"{member.where} is in the folder {folder!r}, expected one folder for each of: "
            f"{', '.join(CLASS_NAMES)}"
        )
    role = _ROLE_OF_NAME.get(member.stem.partition("_")[0].lower())
    has_role_in_name = role is not None
    if role is None:
        folder_roles = [role for folder in folders[:-1] if (role := _role_of(folder))]
        if not folder_roles:
            raise UserError(
                f"neither the name nor the folders of {member.where} tell its split; expected "
                "train/ and test/ folders, or names such as PublicTest_123.jpg"
            )
        role = folder_roles[-1]
    image = decode_grey(member.read(MAX_BYTES), SIZE, member.where)
    part = samples[role]
    part.images.append(image)
    part.labels.append(CLASS_NAMES.index(emotion))
    # Names without the split, such as 1.jpg, occur in several folders.
    stem = storable_name(member.stem)
    part.ids.append(stem if has_role_in_name else f"{TITLES[role]}_{emotion}_{stem}")
    return not has_role_in_name


def _role_of(name: str) -> str | None:
    """Return the role of a folder, or of a value of the column Usage; `None` if it has none."""
    return _ROLE_OF_NAME.get(name.strip().lower()) or role_of(name)


def _rename_to_test(validation: Split) -> Split:
    """Return a validation split with the ids of a test split."""
    old, new = f"{TITLES['validation']}_", f"{TITLES['test']}_"
    ids = [new + name.removeprefix(old) for name in validation.ids.tolist()]
    return Split(validation.images, validation.labels, np.array(ids))


def _read_installed(root: Path) -> tuple[store.Manifest | None, dict[str, Split]]:
    """Read the installed splits; none if the installed dataset is damaged."""
    try:
        return store.read(root, NAME) or (None, {})
    except UserError:
        return None, {}


def _refuse_overlap(
    old: store.Manifest | None, new_roles: Collection[str], anonymous: bool
) -> None:
    """Raise if PublicTest would be combined with a test folder that may contain it.

    The names and pixels of the images may differ, so the overlap cannot be detected.
    """
    if old is None:
        return
    adds_test_only = "test" in new_roles and not {"train", "validation"} & set(new_roles)
    adds_validation = "validation" in new_roles and "test" not in new_roles
    if (
        adds_test_only
        and anonymous
        and "validation" in old.counts
        and not old.validation_from_train
    ):
        what = "a test folder that does not tell PublicTest from PrivateTest, beside a PublicTest"
    elif adds_validation and "test" in old.counts and old.validation_from_train:
        what = "a PublicTest, beside a test folder that does not tell it from PrivateTest"
    else:
        return
    raise UserError(
        f"received {what} that is installed: checkpoints would be selected on images of the test "
        "split. Add all parts of one edition in one command: fercore data add fer2013 PATH PATH..."
    )


def _sources(
    old: store.Manifest | None, digests: Mapping[Path, str], gave: Mapping[Path, set[str]]
) -> tuple[store.Source, ...]:
    """Return the sources of the merged dataset: the old ones that still hold roles, and the new."""
    replaced = set().union(*gave.values())
    old_sources = []
    for source in old.sources if old else ():
        holds = tuple(role for role in source.holds if role not in replaced)
        if holds:
            old_sources.append(source.model_copy(update={"holds": holds}))
    added = [
        store.Source(name=storable_name(path.name), sha256=digest, gave=roles, holds=roles)
        for path, digest in digests.items()
        for roles in [tuple(role for role in ROLES if role in gave[path])]
    ]
    return (*old_sources, *added)


def _remarks(manifest: store.Manifest) -> list[str]:
    """Return remarks that compare the counts with the official ones and name missing splits."""
    counts = {role: tuple(by_class.values()) for role, by_class in manifest.counts.items()}
    if manifest.validation_from_train and {"train", "validation"} <= set(counts):
        pairs = zip(counts.pop("train"), counts.pop("validation"), strict=True)
        counts["train"] = tuple(sum(pair) for pair in pairs)
    remarks = []
    for role, installed in counts.items():
        official = OFFICIAL[role]
        # A merged test folder contains PublicTest and PrivateTest.
        both = tuple(a + b for a, b in zip(OFFICIAL["validation"], official, strict=True))
        if role == "test" and manifest.validation_from_train and installed == both:
            remarks.append("PrivateTest holds the official PublicTest and PrivateTest together")
        elif installed != official:
            remarks.append(
                f"{TITLES[role]} holds {sum(installed):,} images, the official one "
                f"{sum(official):,}"
            )
    if not remarks and len(counts) == len(ROLES):
        remarks.append("every class and split holds as many images as the official set")
    missing = [TITLES[role] for role in ROLES if role not in manifest.counts]
    if missing:
        remarks.append(f"still missing: {', '.join(missing)}; add the rest with: {_ADD_COMMAND}")
    return remarks
