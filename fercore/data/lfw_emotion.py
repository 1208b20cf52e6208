"""Faces of LFW (Huang et al., 2007) under one of eight emotions, the set of Rath (2021).

12,758 images named after the person they show, with a table `legend.csv` of image and emotion. The
labels came from a commercial service in 2016, not from people, and three of the eight classes have
12 images or fewer. Taken from a folder, ZIP or TAR that holds the images and the table; images of
another size than 150x150 are scaled to it.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fercore import labels
from fercore.data import pool
from fercore.data.intake.images import MAX_BYTES, SUFFIXES, decode_scaled
from fercore.data.intake.members import TABLES, Member, walk
from fercore.data.report import AddReport, DatasetStatus, OnProgress
from fercore.data.splits import Splits
from fercore.errors import UserError

NAME = "lfw_emotion"
CLASS_NAMES = labels.LFW_EMOTION
SIZE = (150, 150)
_MAX_TABLE = 16 << 20

PUBLISHED = {
    "angry": 227,
    "contempt": 9,
    "disgust": 12,
    "fear": 12,
    "happy": 5306,
    "neutral": 6713,
    "sad": 124,
    "surprise": 355,
}


def load(root: Path) -> Splits:
    """Load what `add` installed: one part; the subject of an image is the person in its name.

    Raises:
        UserError: if it is not installed, or damaged.
    """
    return pool.load(root, NAME, groups)


def status(root: Path) -> DatasetStatus:
    """What is installed."""
    return pool.status(root, NAME)


def add(paths: Sequence[Path], root: Path, on_progress: OnProgress | None = None) -> AddReport:
    """Install the images that `legend.csv` names.

    Raises:
        UserError: if a file is missing, damaged, or cannot be stored; if the table is missing,
            names an image that is not there, or an unknown emotion.
    """

    def read() -> list[pool.Sample]:
        images: dict[str, NDArray[np.uint8]] = {}
        emotions: dict[str, str] = {}
        for path in paths:
            for member in walk(path):
                if member.has_suffix(TABLES):
                    emotions |= read_legend(member)
                elif member.has_suffix(SUFFIXES):
                    image = decode_scaled(member.read(MAX_BYTES), SIZE, member.where)
                    images[PurePosixPath(member.name).name.lower()] = image
                    if on_progress and len(images) % 128 == 0:
                        on_progress(len(images), None)
        if not emotions:
            raise UserError(
                "no legend was found; expected a CSV with the columns image and emotion beside "
                "the images"
            )
        missing = [name for name in emotions if name.lower() not in images]
        if missing:
            raise UserError(
                f"the legend names {len(missing):,} images that are not there, such as "
                f"{missing[0]}; add images and legend together"
            )
        return [
            (images[name.lower()], emotion, PurePosixPath(name).stem)
            for name, emotion in emotions.items()
        ]

    return pool.add(
        NAME,
        paths,
        root,
        CLASS_NAMES,
        read,
        lambda manifest: pool.compare_counts(manifest, PUBLISHED, "the set of Rath (2021)"),
    )


def groups(ids: NDArray[np.str_]) -> Mapping[str, NDArray[np.str_]]:
    """The person of each image: `Aaron_Eckhart_0001` shows `Aaron_Eckhart`."""
    return {"subject": np.array([name.rpartition("_")[0] or name for name in ids.tolist()])}


def read_legend(member: Member) -> dict[str, str]:
    """Emotion by file name, from a table with the columns `image` and `emotion`.

    Raises:
        UserError: if a column is missing, an emotion unknown, or an image named with two emotions.
    """
    text = member.read(_MAX_TABLE).decode("utf-8-sig", "replace")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or []}
    if not {"image", "emotion"} <= set(columns):
        raise UserError(
            f"{member.where} has the columns {', '.join(columns) or 'none'}, expected image and "
            "emotion"
        )
    found: dict[str, str] = {}
    for number, row in enumerate(rows):
        name = PurePosixPath((row[columns["image"]] or "").strip()).name
        emotion = labels.canonical(row[columns["emotion"]] or "")
        if not name or emotion not in CLASS_NAMES:
            raise UserError(
                f"{member.where}, data row {number} (from 0): received the image {name[:40]!r} "
                f"with the emotion {emotion[:40]!r}, expected one of: {', '.join(CLASS_NAMES)}"
            )
        if found.setdefault(name, emotion) != emotion:
            raise UserError(f"{member.where}: {name} has two emotions, {found[name]} and {emotion}")
    return found
