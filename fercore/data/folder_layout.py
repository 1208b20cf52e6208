"""Class and part of each image of a user's own dataset, by the folders that it lies in.

`train/happy/1.jpg` and `happy/train/1.jpg` belong to the training part and the class `happy`. The
parts are kept where there is a training part and another one. Validation without a test becomes the
test, on which nothing is chosen; the validation that is then missing is held out of training.
Folders that differ in the name of the part alone, as `fer_train_48` and `fer_test_48`, are parts.
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

from fercore.data import labels
from fercore.data.datasets._unsplit import Sample
from fercore.data.readers import rafdb
from fercore.data.readers.skipped_files import IntakeLog
from fercore.data.splits import UNSPLIT
from fercore.errors import UserError
from fercore.io.file_names import storable_name

_MAX_CLASS_NAME = 64
_EMOTIONS = {*labels.FER2013, *labels.CKPLUS}
_ROLE_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validate", "validation", "dev", "publictest"),
    "test": ("test", "testing", "eval", "evaluation", "holdout", "privatetest"),
}
_EVALUATION = ("eval", "evaluation")  # the test, but where another folder is called so
_ROLE_OF_NAME = {name: role for role, names in _ROLE_NAMES.items() for name in names}
_ROLE_FOLDER = re.compile(r"([a-z]+?)(?:[ _-]?(?:set|data|split|images))?")
_ROLE_WORD = re.compile(rf"(?<![a-z])({'|'.join(_ROLE_OF_NAME)})(?![a-z])")


_INVISIBLE = re.compile("[\ufe0e\ufe0f]")  # an emoji as a text or as a picture


class Found(NamedTuple):
    """An image file that was read.

    Attributes:
        image: its grey levels.
        name: its path; see `fercore.data.readers.archives.Member`.
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
    """The part that a folder of this name holds, such as `"test"` for `Testing`; else `None`.

    What `eval` is depends on the folders beside it: `None` as well.
    """
    word = _role_word(folder)
    return None if word in _EVALUATION else _ROLE_OF_NAME.get(word)


def _role_word(folder: str) -> str:
    match = _ROLE_FOLDER.fullmatch(folder.strip().lower())
    return match[1] if match else ""


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
    folders = _role_folders(found)
    roles = [_role(entry, folders) for entry in found]
    present = set(roles) - {None}
    divided = "train" in present and len(present) > 1
    placed: list[tuple[Found, str, str]] = []
    classes = _ClassFolders(found, folders if present else {}, divided)
    for entry, role in zip(found, roles, strict=True):
        label = classes.of(entry)
        if label is None:
            problem = (
                "lies in no class folder; expected <class>/<image>, or one folder for each class "
                "without others in it"
            )
        elif divided and role is None:
            problem = f"lies outside {_listed(present)}, which other images lie in"
        else:
            placed.append((entry, label, (role or UNSPLIT) if divided else UNSPLIT))
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
        are = "is" if len(present) == 1 else "are"
        notes.append(f"only {_listed(present)} {are} there: the images are not divided into parts")
    labelled, naming = _class_names(placed)
    notes += classes.notes()
    ids = _ids(placed, folders)
    return Arranged(
        [
            Sample(entry.image, labelled[label], name, role)
            for (entry, label, role), name in zip(placed, ids, strict=True)
        ],
        (*notes, *naming),
    )


def _role_folders(found: Sequence[Found]) -> dict[str, str]:
    """The part of each folder name that stands for one."""
    names = {folder for entry in found for folder in PurePosixPath(entry.name).parts[:-1]}
    roles = {name: role for name in names if (role := _ROLE_OF_NAME.get(_role_word(name)))}
    # Others are parts together with those that differ in the name of the part alone.
    families: dict[str, dict[str, str]] = {}
    for name in names - set(roles):
        words = _ROLE_WORD.findall(name.lower())
        if len(words) == 1:
            family = re.sub(r"\d+", "0", _ROLE_WORD.sub("*", name.lower()))
            families.setdefault(family, {})[name] = _ROLE_OF_NAME[words[0]]
    for siblings in families.values():
        if "train" in siblings.values() and len(set(siblings.values())) > 1:
            roles |= siblings
    evaluation = {
        name for name in roles if not set(_EVALUATION).isdisjoint(_ROLE_WORD.findall(name.lower()))
    }
    others = {role for name, role in roles.items() if name not in evaluation}
    if "test" in others and "validation" not in others:
        roles |= dict.fromkeys(evaluation, "validation")
    return roles


def _role(entry: Found, role_folders: Mapping[str, str]) -> str | None:
    folders = PurePosixPath(entry.name).parts[:-1]
    return next((role for folder in reversed(folders) if (role := role_folders.get(folder))), None)


class _ClassFolders:
    """Which folder of an image's path is its class.

    It is the innermost one; but where that is no emotion, and every image has a folder that is one,
    as in `happy/subject1/1.jpg`, it is the latter.
    """

    def __init__(self, found: Sequence[Found], role_folders: Mapping[str, str], divided: bool):
        self._roles, self._divided = role_folders, divided
        named = [self._named(entry) for entry in found]
        emotions = [next(filter(_is_emotion, reversed(folders)), None) for folders in named]
        self._by_emotion = None not in emotions
        self._below: set[str] = set()
        self._above: set[str] = set()
        for folders, emotion in zip(named, emotions, strict=True):
            place = len(folders) - 1
            if self._by_emotion and emotion is not None:
                place = len(folders) - 1 - folders[::-1].index(emotion)
            self._below |= set(folders[place + 1 :])
            self._above.add("/".join(folders[:place]))

    def of(self, entry: Found) -> str | None:
        """The folder that is the class of an image, if there is one."""
        folders = self._named(entry)
        if folders and self._by_emotion:
            return next(filter(_is_emotion, reversed(folders)))
        if folders:
            return folders[-1]
        # Without parts a class may be called train or test.
        outer = PurePosixPath(entry.name).parts[entry.outer : -1]
        if outer and self._divided:  # `happy_train` names both
            return _ROLE_WORD.sub("", outer[-1].lower()).strip(" ._-0123456789") or None
        return outer[-1] if outer else None

    def notes(self) -> list[str]:
        """What the user should know of folders that are no class."""
        notes = []
        if self._below:
            notes.append(
                "the folders that are named after emotions are the classes, not those inside them: "
                f"{_first(self._below)}"
            )
        if len(self._above) > 1:
            notes.append(
                f"the folders around those of the classes are not used: {_first(self._above)}"
            )
        return notes

    def _named(self, entry: Found) -> list[str]:
        folders = PurePosixPath(entry.name).parts[entry.outer : -1]
        return [folder for folder in folders if folder not in self._roles]


def _is_emotion(folder: str) -> bool:
    return labels.canonical(folder) in _EMOTIONS


def _first(names: set[str]) -> str:
    shown = ", ".join(storable_name(name)[:_MAX_CLASS_NAME] or "." for name in sorted(names)[:5])
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown


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
    together: dict[str, list[str]] = {}
    for folder in sorted(names):
        together.setdefault(names[folder], []).append(storable_name(folder))
    merged = [
        f"{name} ({', '.join(same)})"
        for name, same in sorted(together.items())
        if len({unicodedata.normalize("NFC", folder) for folder in same}) > 1
    ]
    if merged:
        return names, [f"folders of one meaning are one class: {'; '.join(merged)}"]
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
    plain = _INVISIBLE.sub("", folder)
    plain = plain.rstrip(" .") or plain  # as Windows does
    name = labels.canonical(unicodedata.normalize("NFC", storable_name(plain)))
    name = unicodedata.normalize("NFC", name)
    if len(name) > _MAX_CLASS_NAME:
        raise UserError(
            f"the folder {name[:_MAX_CLASS_NAME]}... has a name of {len(name)} characters, "
            f"expected {_MAX_CLASS_NAME} at most: it names a class; rename it"
        )
    return name


def _ids(placed: Sequence[tuple[Found, str, str]], role_folders: Mapping[str, str]) -> list[str]:
    """Paths below the part, without the suffix where that is not needed to tell images apart."""
    paths = []
    for entry, _, role in placed:
        parts = PurePosixPath(entry.name).parts[entry.outer :]
        if role != UNSPLIT:
            kept = (part for part in parts[:-1] if part not in role_folders)
            parts = (_role(entry, role_folders) or role, *kept, parts[-1])
        paths.append(PurePosixPath(*parts))
    # `train/1.jpg` and `Train/1.jpg` keep the names of their folders.
    spellings: dict[PurePosixPath, set[tuple[str, ...]]] = {}
    for path, (entry, _, _) in zip(paths, placed, strict=True):
        folders = PurePosixPath(entry.name).parts[:-1]
        spellings.setdefault(path, set()).add(tuple(f for f in folders if f in role_folders))
    paths = [
        PurePosixPath(entry.name) if len(spellings[path]) > 1 else path
        for path, (entry, _, _) in zip(paths, placed, strict=True)
    ]
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
