"""Read the labels of RAF-DB (Li et al., 2017): numbered classes, and a list of labels.

The original archive has `Image/aligned/train_00001_aligned.jpg`, `Image/original/train_00001.jpg`
and `EmoLabel/list_patition_label.txt` (spelled so), with a name and a number from 1 to 7 per line.
The edition of Kaggle has `train/<number>/train_00001_aligned.jpg`, and the same for test.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from fercore.data.readers.archives import Member
from fercore.data.readers.csv import detect_encoding
from fercore.errors import UserError

# 1 is surprise, 7 is neutral.
CLASS_NAMES = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")

_LIST = re.compile(r"list_par?tition_label\.txt", re.IGNORECASE)
_STEM = re.compile(r"(train|test)_\d+(_aligned)?", re.IGNORECASE)
_MAX_LIST = 16 << 20


def has_numbered_classes(folders: Collection[str], stems: Sequence[str]) -> bool:
    """Return whether class folders and the names of their images are those of RAF-DB."""
    numbers = {str(number) for number in range(1, len(CLASS_NAMES) + 1)}
    return bool(stems) and set(folders) <= numbers and all(map(_STEM.fullmatch, stems))


def is_label_list(member: Member) -> bool:
    """Return whether a file is RAF-DB's list of labels."""
    return _LIST.fullmatch(PurePosixPath(member.name).name) is not None


def read_label_list(member: Member) -> dict[str, str]:
    """Read the class of each image; a line is `train_00001.jpg 5`.

    Returns:
        The class by the image's name, in lower case and without its suffix.

    Raises:
        UserError: if a line has another form.
    """
    content = member.read(_MAX_LIST)
    classes: dict[str, str] = {}
    text = content.decode(detect_encoding(content[:4]), "replace")
    for number, line in enumerate(text.splitlines()):
        words = line.split()
        if not words:
            continue
        label = words[-1]
        is_valid = label.isascii() and label.isdecimal() and 1 <= int(label[:3]) <= len(CLASS_NAMES)
        if len(words) != 2 or not is_valid:
            raise UserError(
                f"{member.where}, line {number + 1}: received {line[:60]!r}, expected the name of "
                f"an image and a number from 1 to {len(CLASS_NAMES)}"
            )
        classes[PurePosixPath(words[0]).stem.lower()] = CLASS_NAMES[int(label) - 1]
    return classes


def original_name(stem: str) -> str:
    """Return the name of an image in the list, which has the names of the original images."""
    return stem.lower().removesuffix("_aligned")


def is_aligned(stem: str) -> bool:
    """Return whether an image is an aligned one."""
    return stem.lower().endswith("_aligned")


def role_of_name(stem: str) -> str | None:
    """Return the role in the name of an image: `"train"` for `train_00001`; `None` without one."""
    match = _STEM.fullmatch(stem)
    return match[1].lower() if match else None
