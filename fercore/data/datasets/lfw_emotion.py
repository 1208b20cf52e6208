"""LFW-emotion (Rath, 2021): faces of LFW (Huang et al., 2007) labelled with eight emotions.

12,758 images named after the person they show, with a table `legend.csv` of image and emotion. The
labels come from a commercial service in 2016, not from people, and three of the eight classes have
12 images or fewer. Read from a folder, ZIP or TAR with the images and the table, in which an image
may be named with or without its folder. Images of another size than 150x150 are scaled to it.
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fercore.data import labels
from fercore.data.datasets import _unsplit
from fercore.data.readers.archives import TABLES, Member
from fercore.data.readers.csv import detect_encoding
from fercore.data.readers.images import MAX_BYTES, decode_scaled
from fercore.data.readers.skipped_files import IntakeLog
from fercore.data.reports import AddReport, DatasetStatus, OnProgress
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.images.decoding import IMAGE_SUFFIXES

NAME = "lfw_emotion"
CLASS_NAMES = labels.LFW_EMOTION
SIZE = (150, 150)
_MAX_TABLE = 16 << 20

# Path and pixels.
_ImageFile = tuple[str, NDArray[np.uint8]]

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
    """Load the installed dataset: one unsplit part; the subject of an image is the named person.

    Raises:
        UserError: if it is not installed, or damaged.
    """
    return _unsplit.load(root, NAME, groups)


def status(root: Path) -> DatasetStatus:
    """Return the status of the dataset."""
    return _unsplit.status(root, NAME)


def add(
    paths: Sequence[Path],
    root: Path,
    on_progress: OnProgress | None = None,
    skip_bad: bool = False,
) -> AddReport:
    """Install the images that `legend.csv` names.

    Raises:
        UserError: if a file is missing, damaged, or cannot be stored; if the table is missing,
            names an image that is not there or one of several, or an unknown emotion.
    """
    log = IntakeLog(skip_bad, on_progress)

    def read() -> list[_unsplit.Sample]:
        images: defaultdict[str, list[_ImageFile]] = defaultdict(list)
        emotions: dict[str, str] = {}
        for member in log.walk(paths, TABLES + IMAGE_SUFFIXES):
            if member.has_suffix(TABLES):
                emotions |= read_legend(member)
                continue
            with log.count_image():
                image = decode_scaled(member.read(MAX_BYTES), SIZE, member.where)
                images[_key(member.name)].append((member.name, image))
        log.notes()  # raises for damaged images, before missing images are reported
        if not emotions:
            raise UserError(
                "no legend was found; expected a CSV with the columns image and emotion beside "
                "the images"
            )
        missing = [name for name in emotions if _key(name) not in images]
        if skip_bad and missing:
            log.left_out(f"{len(missing):,} images that the legend names, such as {missing[0]}")
            emotions = {name: emotions[name] for name in emotions if name not in set(missing)}
        elif missing:
            raise UserError(
                f"the legend names {len(missing):,} images that are not there, such as "
                f"{missing[0]}; add images and legend together"
            )
        times = Counter(PurePosixPath(name).stem for name in emotions)
        name_of_path: dict[str, str] = {}
        samples = []
        for name, emotion in emotions.items():
            path_in_archive, image = _select_image(name, images[_key(name)])
            if path_in_archive in name_of_path:
                raise UserError(
                    f"the legend names {name_of_path[path_in_archive]} and {name}, but only "
                    f"{path_in_archive} is there; add both images, or remove one from the legend"
                )
            name_of_path[path_in_archive] = name
            stem = PurePosixPath(name).stem
            samples.append(_unsplit.Sample(image, emotion, stem if times[stem] == 1 else name))
        return samples

    return _unsplit.add(
        NAME,
        paths,
        root,
        CLASS_NAMES,
        read,
        log,
        lambda manifest: _unsplit.compare_counts(manifest, PUBLISHED, "the set of Rath (2021)"),
    )


def groups(ids: NDArray[np.str_]) -> Mapping[str, NDArray[np.str_]]:
    """Return the person in each image: `Aaron_Eckhart_0001` shows `Aaron_Eckhart`."""
    names = [PurePosixPath(name).name for name in ids.tolist()]
    return {"subject": np.array([name.rpartition("_")[0] or name for name in names])}


def read_legend(member: Member) -> dict[str, str]:
    """Read the emotion of each image from a table with the columns `image` and `emotion`.

    Raises:
        UserError: if it is not a table, a column is missing, an emotion is unknown, or an image has
            two emotions.
    """
    content = member.read(_MAX_TABLE)
    text = content.decode(detect_encoding(content[:4]), "replace")
    try:
        return _read_emotions(csv.DictReader(io.StringIO(text, newline="")), member.where)
    except csv.Error as error:
        raise UserError(
            f"{member.where} is not a table ({error}); expected the columns image and emotion, and "
            "a name in each cell"
        ) from error


def _read_emotions(rows: "csv.DictReader[str]", where: str) -> dict[str, str]:
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or []}
    if not {"image", "emotion"} <= set(columns):
        raise UserError(
            f"{where} has the columns {', '.join(columns) or 'none'}, expected image and emotion"
        )
    emotions: dict[str, str] = {}
    for number, row in enumerate(rows):
        path = PurePosixPath((row[columns["image"]] or "").strip())
        name = str(path)
        emotion = labels.canonical(row[columns["emotion"]] or "")
        if not path.name or emotion not in CLASS_NAMES:
            raise UserError(
                f"{where}, data row {number} (from 0): received the image {name[-40:]!r} "
                f"with the emotion {emotion[:40]!r}, expected one of: {', '.join(CLASS_NAMES)}"
            )
        if emotions.setdefault(name, emotion) != emotion:
            raise UserError(f"{where}: {name} has two emotions, {emotions[name]} and {emotion}")
    return emotions


def _select_image(name: str, images: list[_ImageFile]) -> _ImageFile:
    """Return the image that a name in the legend refers to, of the images with that file name.

    The folders decide, if the legend has them.

    Raises:
        UserError: if several images that differ fit the name.
    """
    for normalize in (str, str.lower):
        matches = [
            image for image in images if normalize(f"/{image[0]}").endswith(normalize(f"/{name}"))
        ]
        if matches:
            break
    candidates = matches or images
    path, pixels = candidates[0]
    for other, other_pixels in candidates[1:]:
        if not np.array_equal(pixels, other_pixels):
            raise UserError(
                f"the legend names {name}, which may be {path} or {other}; expected the folder in "
                "the legend as well"
            )
    return path, pixels


def _key(name: str) -> str:
    return PurePosixPath(name).name.lower()
