"""Determine the class and the split of each image of a custom dataset from its folders.

`train/happy/1.jpg` and `happy/train/1.jpg` belong to the training split and the class `happy`.
Splits are used if there is a training split and at least one other. Validation without a test split
becomes the test split, so that no checkpoint is selected on it; a validation split is then taken
out of training. Folders with names that differ only in the name of the split, such as
`fer_train_48` and `fer_test_48`, are splits.
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
_EVALUATION = ("eval", "evaluation")  # validation if there is also a test folder, else test
_ROLE_OF_NAME = {name: role for role, names in _ROLE_NAMES.items() for name in names}
_ROLE_FOLDER = re.compile(r"([a-z]+?)(?:[ _-]?(?:set|data|split|images))?")
_ROLE_WORD = re.compile(rf"(?<![a-z])({'|'.join(_ROLE_OF_NAME)})(?![a-z])")
_VARIATION_SELECTORS = re.compile("[\ufe0e\ufe0f]")  # show an emoji as text or as a picture


class ImageFile(NamedTuple):
    """An image file that was read.

    Attributes:
        image: `(height, width)` uint8 grey levels.
        name: its path; see `fercore.data.readers.archives.Member`.
        where: the file, for messages.
        outer: number of leading folders of the path that are not classes: the added folder.
    """

    image: NDArray[np.uint8]
    name: str
    where: str
    outer: int


@dataclass(frozen=True)
class LabelledImages:
    """Samples with their classes and splits, and notes on the folder layout for the user."""

    samples: list[Sample]
    notes: tuple[str, ...] = ()


def role_of(folder: str) -> str | None:
    """Return the role of a folder with this name, such as `"test"` for `Testing`; else `None`.

    Also `None` for `eval`, because its role depends on the other folders.
    """
    word = _role_word(folder)
    return None if word in _EVALUATION else _ROLE_OF_NAME.get(word)


def _role_word(folder: str) -> str:
    match = _ROLE_FOLDER.fullmatch(folder.strip().lower())
    return match[1] if match else ""


def label_images(
    files: Sequence[ImageFile], log: IntakeLog, rafdb_labels: Mapping[str, str] | None = None
) -> LabelledImages:
    """Determine class and split of each image; images without them are rejected in the log.

    Args:
        files: the images.
        log: collects the images that cannot be used.
        rafdb_labels: class by image, if RAF-DB's list of labels is among the files.
    """
    if rafdb_labels:
        return _label_by_rafdb_list(files, rafdb_labels, log)
    role_folders = _find_role_folders(files)
    roles = [_role(file, role_folders) for file in files]
    present = set(roles) - {None}
    has_splits = "train" in present and len(present) > 1
    placed: list[tuple[ImageFile, str, str]] = []
    classes = _ClassFolders(files, role_folders if present else {}, has_splits)
    for file, role in zip(files, roles, strict=True):
        label = classes.class_folder(file)
        if label is None:
            problem = (
                "is in no class folder; expected <class>/<image>, or one folder for each class "
                "without others in it"
            )
        elif has_splits and role is None:
            problem = f"is outside {_list_roles(present)}, where other images are"
        else:
            placed.append((file, label, (role or UNSPLIT) if has_splits else UNSPLIT))
            continue
        log.reject_read(f"{file.where} {problem}")
    notes = []
    if has_splits and "test" not in present:
        placed = [
            (file, label, "test" if role == "validation" else role) for file, label, role in placed
        ]
        notes.append(
            "there is no test folder: the validation folder is used as the test split, and not to "
            "choose checkpoints"
        )
    elif present and not has_splits:
        are = "is" if len(present) == 1 else "are"
        notes.append(
            f"only {_list_roles(present)} {are} there: the images are not divided into splits"
        )
    class_names, class_notes = _name_classes(placed)
    notes += classes.notes()
    ids = _make_ids(placed, role_folders)
    return LabelledImages(
        [
            Sample(file.image, class_names[label], name, role)
            for (file, label, role), name in zip(placed, ids, strict=True)
        ],
        (*notes, *class_notes),
    )


def _find_role_folders(files: Sequence[ImageFile]) -> dict[str, str]:
    """Return the role of each folder name that denotes a split."""
    names = {folder for file in files for folder in PurePosixPath(file.name).parts[:-1]}
    roles = {name: role for name in names if (role := _ROLE_OF_NAME.get(_role_word(name)))}
    # Other names are splits if names exist that differ only in the name of the split.
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


def _role(file: ImageFile, role_folders: Mapping[str, str]) -> str | None:
    folders = PurePosixPath(file.name).parts[:-1]
    return next((role for folder in reversed(folders) if (role := role_folders.get(folder))), None)


class _ClassFolders:
    """Selects the folder of an image's path that is its class.

    It is the innermost folder. But if every image has a folder named after an emotion, as in
    `happy/subject1/1.jpg`, it is that folder.
    """

    def __init__(
        self, files: Sequence[ImageFile], role_folders: Mapping[str, str], has_splits: bool
    ):
        self._role_folders, self._has_splits = role_folders, has_splits
        folders_of = [self._candidates(file) for file in files]
        emotions = [next(filter(_is_emotion, reversed(folders)), None) for folders in folders_of]
        self._by_emotion = None not in emotions
        self._below: set[str] = set()
        self._above: set[str] = set()
        for folders, emotion in zip(folders_of, emotions, strict=True):
            depth = len(folders) - 1
            if self._by_emotion and emotion is not None:
                depth = len(folders) - 1 - folders[::-1].index(emotion)
            self._below |= set(folders[depth + 1 :])
            self._above.add("/".join(folders[:depth]))

    def class_folder(self, file: ImageFile) -> str | None:
        """Return the folder that is the class of an image; `None` if there is none."""
        folders = self._candidates(file)
        if folders and self._by_emotion:
            return next(filter(_is_emotion, reversed(folders)))
        if folders:
            return folders[-1]
        # Without splits, a class may be called train or test.
        outer = PurePosixPath(file.name).parts[file.outer : -1]
        if outer and self._has_splits:  # `happy_train` names class and split
            return _ROLE_WORD.sub("", outer[-1].lower()).strip(" ._-0123456789") or None
        return outer[-1] if outer else None

    def notes(self) -> list[str]:
        """Return notes for the user on folders that are not classes."""
        notes = []
        if self._below:
            notes.append(
                "the folders that are named after emotions are the classes, not those inside them: "
                f"{_shorten_list(self._below)}"
            )
        if len(self._above) > 1:
            notes.append(
                f"the folders above the class folders are not used: {_shorten_list(self._above)}"
            )
        return notes

    def _candidates(self, file: ImageFile) -> list[str]:
        folders = PurePosixPath(file.name).parts[file.outer : -1]
        return [folder for folder in folders if folder not in self._role_folders]


def _is_emotion(folder: str) -> bool:
    return labels.canonical(folder) in _EMOTIONS


def _shorten_list(names: set[str]) -> str:
    shown = ", ".join(storable_name(name)[:_MAX_CLASS_NAME] or "." for name in sorted(names)[:5])
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown


def _label_by_rafdb_list(
    files: Sequence[ImageFile], rafdb_labels: Mapping[str, str], log: IntakeLog
) -> LabelledImages:
    """Label the images of RAF-DB's original archive; only the aligned ones if there are any."""
    stems = [PurePosixPath(file.name).stem for file in files]
    has_aligned = any(map(rafdb.is_aligned, stems))
    samples: list[Sample] = []
    unused = 0
    for file, stem in zip(files, stems, strict=True):
        label, role = rafdb_labels.get(rafdb.original_name(stem)), rafdb.role_of_name(stem)
        if has_aligned and not rafdb.is_aligned(stem):
            unused += 1
        elif label is None or role is None:
            log.reject_read(f"{file.where} is not in the list of labels")
        else:
            samples.append(Sample(file.image, label, f"{role}/{stem}", role))
    notes = ["classes and parts are those of RAF-DB's list of labels"]
    if unused:
        notes.append(f"{unused:,} images that are not aligned were left out")
    return LabelledImages(samples, tuple(notes))


def _name_classes(
    placed: Sequence[tuple[ImageFile, str, str]],
) -> tuple[dict[str, str], list[str]]:
    """Return the class name of each class folder, and notes on them for the user."""
    folders = {label for _, label, _ in placed}
    stems = [PurePosixPath(file.name).stem for file, _, _ in placed]
    if rafdb.has_numbered_classes(folders, stems):
        names = {folder: rafdb.CLASS_NAMES[int(folder) - 1] for folder in folders}
        shown = ", ".join(f"{k} {name}" for k, name in enumerate(rafdb.CLASS_NAMES, start=1))
        return names, [f"the folders are numbered as in RAF-DB: {shown}"]
    names = {folder: class_name(folder) for folder in folders}
    folders_of_class: dict[str, list[str]] = {}
    for folder in sorted(names):
        folders_of_class.setdefault(names[folder], []).append(storable_name(folder))
    merged = [
        f"{name} ({', '.join(synonyms)})"
        for name, synonyms in sorted(folders_of_class.items())
        if len({unicodedata.normalize("NFC", folder) for folder in synonyms}) > 1
    ]
    if merged:
        return names, [f"folders of one meaning are one class: {'; '.join(merged)}"]
    if names and all(name.isdecimal() for name in names.values()):
        return names, [
            "the class names are numbers, as those of the folders are; rename the folders after "
            "the emotions that they show, or no other dataset has classes in common with this one"
        ]
    return names, []


def class_name(folder: str) -> str:
    """Return the class name of a folder: in NFC, in lower case, synonyms merged.

    Raises:
        UserError: if it is too long.
    """
    plain = _VARIATION_SELECTORS.sub("", folder)
    plain = plain.rstrip(" .") or plain  # as Windows does
    name = labels.canonical(unicodedata.normalize("NFC", storable_name(plain)))
    name = unicodedata.normalize("NFC", name)
    if len(name) > _MAX_CLASS_NAME:
        raise UserError(
            f"the folder {name[:_MAX_CLASS_NAME]}... has a name of {len(name)} characters, "
            f"expected {_MAX_CLASS_NAME} at most for the name of a class; rename the folder"
        )
    return name


def _make_ids(
    placed: Sequence[tuple[ImageFile, str, str]], role_folders: Mapping[str, str]
) -> list[str]:
    """Return the path of each image within its split, without its suffix if that is unique."""
    paths = []
    for file, _, role in placed:
        parts = PurePosixPath(file.name).parts[file.outer :]
        if role != UNSPLIT:
            class_parts = (part for part in parts[:-1] if part not in role_folders)
            parts = (_role(file, role_folders) or role, *class_parts, parts[-1])
        paths.append(PurePosixPath(*parts))
    # `train/1.jpg` and `Train/1.jpg` keep the names of their folders.
    spellings: dict[PurePosixPath, set[tuple[str, ...]]] = {}
    for path, (file, _, _) in zip(paths, placed, strict=True):
        folders = PurePosixPath(file.name).parts[:-1]
        spellings.setdefault(path, set()).add(tuple(f for f in folders if f in role_folders))
    paths = [
        PurePosixPath(file.name) if len(spellings[path]) > 1 else path
        for path, (file, _, _) in zip(paths, placed, strict=True)
    ]
    times = Counter(_to_id(path.with_suffix("")) for path in paths)
    ids = [
        _to_id(path if times[_to_id(path.with_suffix(""))] > 1 else path.with_suffix(""))
        for path in paths
    ]
    # Paths that differ only in the Unicode normalization of an accent.
    times = Counter(ids)
    return [
        ascii(str(path))[1:-1] if times[name] > 1 and not _is_nfc(path) else name
        for path, name in zip(paths, ids, strict=True)
    ]


def _to_id(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", storable_name(str(path)))


def _is_nfc(path: PurePosixPath) -> bool:
    return unicodedata.is_normalized("NFC", str(path))


def _list_roles(roles: set[str | None]) -> str:
    return " and ".join(f"{role}/" for role in _ROLE_NAMES if role in roles)
