"""Class and part of each image of a user's own dataset, by the folders that it lies in.

`train/happy/1.jpg` and `happy/train/1.jpg` belong to the training part and the class `happy`. The
parts are kept where there is a training part and another one. Validation without a test becomes the
test, on which nothing is chosen; the validation that is then missing is held out of training.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fercore import labels
from fercore.data.intake import rafdb
from fercore.data.intake.intake_log import IntakeLog
from fercore.data.pool import Sample
from fercore.data.splits import POOL
from fercore.errors import UserError
from fercore.names import storable_name

_MAX_CLASS_NAME = 64
_ROLE_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_ROLE_OF_NAME = {name: role for role, names in _ROLE_NAMES.items() for name in names}
_ROLE_FOLDER = re.compile(r"([a-z]+?)(?:[ _-]?(?:set|data|split|images))?")


class Found(NamedTuple):
    """An image file that was read.

    Attributes:
        image: its grey levels.
        name: its path; see `fercore.data.intake.members.Member`.
        where: the file in words.
        outer: folders of the path that are no class: the one that was added.
    """

    image: NDArray[np.uint8]
    name: str
    where: str
    outer: int


@dataclass(frozen=True)
class Arranged:
    """Images with their classes and parts, and what the user should know of these."""

    samples: list[Sample]
    notes: tuple[str, ...] = ()


def role_of(folder: str) -> str | None:
    """The part that a folder of this name holds, such as `"test"` for `Testing`; else `None`."""
    match = _ROLE_FOLDER.fullmatch(folder.strip().lower())
    return _ROLE_OF_NAME.get(match[1]) if match else None


def arrange(
    found: Sequence[Found], log: IntakeLog, lists: Mapping[str, str] | None = None
) -> Arranged:
    """Find class and part of each image; those that have none are bad files of the log.

    Args:
        found: the images.
        log: of what cannot be used.
        lists: class by image, where RAF-DB's list of labels is among the files.
    """
    if lists:
        return _by_list(found, lists, log)
    roles = [_role(entry) for entry in found]
    present = set(roles) - {None}
    divided = "train" in present and len(present) > 1
    placed: list[tuple[Found, str, str]] = []
    for entry, role in zip(found, roles, strict=True):
        label = _class_folder(entry, divided, bool(present))
        if label is None:
            problem = (
                "lies in no class folder; expected <class>/<image>, or one folder for each class "
                "without others in it"
            )
        elif divided and role is None:
            problem = f"lies outside {_listed(present)}, which other images lie in"
        else:
            placed.append((entry, label, (role or POOL) if divided else POOL))
            continue
        log.reject_read(f"{entry.where} {problem}")
    notes = []
    if divided and "test" not in present:
        placed = [
            (entry, label, "test" if role == "validation" else role)
            for entry, label, role in placed
        ]
        notes.append(
            "there is no test folder: the validation folder is used as the test split, and not to "
            "choose checkpoints"
        )
    elif present and not divided:
        notes.append(f"only {_listed(present)} is there: the images are not divided into parts")
    labelled, naming = _class_names(placed)
    ids = _ids(placed)
    return Arranged(
        [
            Sample(entry.image, labelled[label], name, role)
            for (entry, label, role), name in zip(placed, ids, strict=True)
        ],
        (*notes, *naming),
    )


def _role(entry: Found) -> str | None:
    folders = PurePosixPath(entry.name).parts[:-1]
    return next((role for folder in reversed(folders) if (role := role_of(folder))), None)


def _class_folder(entry: Found, divided: bool, has_parts: bool) -> str | None:
    folders = PurePosixPath(entry.name).parts[entry.outer : -1]
    named = [folder for folder in folders if not (has_parts and role_of(folder))]
    if named:
        return named[-1]
    # Without parts a class may be called train or test.
    return folders[-1] if folders and not divided else None


def _by_list(found: Sequence[Found], lists: Mapping[str, str], log: IntakeLog) -> Arranged:
    """Arrange the images of RAF-DB's original archive, the aligned ones where they are there."""
    stems = [PurePosixPath(entry.name).stem for entry in found]
    aligned = any(map(rafdb.is_aligned, stems))
    samples: list[Sample] = []
    unused = 0
    for entry, stem in zip(found, stems, strict=True):
        label, role = lists.get(rafdb.name_in_list(stem)), rafdb.role_by_name(stem)
        if aligned and not rafdb.is_aligned(stem):
            unused += 1
        elif label is None or role is None:
            log.reject_read(f"{entry.where} is not in the list of labels")
        else:
            samples.append(Sample(entry.image, label, f"{role}/{stem}", role))
    notes = ["classes and parts are those of RAF-DB's list of labels"]
    if unused:
        notes.append(f"{unused:,} images beside the aligned ones were left out")
    return Arranged(samples, tuple(notes))


def _class_names(placed: Sequence[tuple[Found, str, str]]) -> tuple[dict[str, str], list[str]]:
    """The name of the class of each folder, and what the user should know of them."""
    folders = {label for _, label, _ in placed}
    stems = [PurePosixPath(entry.name).stem for entry, _, _ in placed]
    if rafdb.is_numbered(folders, stems):
        names = {folder: rafdb.CLASS_NAMES[int(folder) - 1] for folder in folders}
        shown = ", ".join(f"{k} {name}" for k, name in enumerate(rafdb.CLASS_NAMES, start=1))
        return names, [f"the folders are numbered as in RAF-DB: {shown}"]
    names = {folder: class_name(folder) for folder in folders}
    if names and all(name.isdecimal() for name in names.values()):
        return names, [
            "the classes are called by numbers, as their folders are; rename the folders to what "
            "they show, or no other dataset has classes in common with this one"
        ]
    return names, []


def class_name(folder: str) -> str:
    """The class that a folder's name stands for: in NFC, in small letters, synonyms merged.

    Raises:
        UserError: if it is too long.
    """
    name = labels.canonical(unicodedata.normalize("NFC", storable_name(folder)))
    name = unicodedata.normalize("NFC", name)
    if len(name) > _MAX_CLASS_NAME:
        raise UserError(
            f"the folder {name[:_MAX_CLASS_NAME]}... has a name of {len(name)} characters, "
            f"expected {_MAX_CLASS_NAME} at most: it names a class; rename it"
        )
    return name


def _ids(placed: Sequence[tuple[Found, str, str]]) -> list[str]:
    """Paths below the part, without the suffix where that is not needed to tell images apart."""
    paths = []
    for entry, _, role in placed:
        parts = PurePosixPath(entry.name).parts[entry.outer :]
        if role != POOL:
            kept = (part for part in parts[:-1] if not role_of(part))
            parts = (_role(entry) or role, *kept, parts[-1])
        paths.append(PurePosixPath(*parts))
    times = Counter(_stored(path.with_suffix("")) for path in paths)
    ids = [
        _stored(path if times[_stored(path.with_suffix(""))] > 1 else path.with_suffix(""))
        for path in paths
    ]
    # Names that differ in the way that an accent is written, and in nothing else.
    times = Counter(ids)
    return [
        ascii(str(path))[1:-1] if times[name] > 1 and not _is_normal(path) else name
        for path, name in zip(paths, ids, strict=True)
    ]


def _stored(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", storable_name(str(path)))


def _is_normal(path: PurePosixPath) -> bool:
    return unicodedata.is_normalized("NFC", str(path))


def _listed(roles: set[str | None]) -> str:
    return " and ".join(f"{role}/" for role in _ROLE_NAMES if role in roles)
