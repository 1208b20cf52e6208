"""CK+48 (Lucey et al., 2010): the last three frames of 327 posed sequences of 118 subjects.

981 grey faces of 48x48 pixels, seven expressions with contempt and without neutral. Read from the
class folders that are in circulation (`CK+48/<class>/<subject>_<sequence>_<frame>.png`), as a
folder, a ZIP or a TAR. Consecutive frames show the same face a thirtieth of a second apart, so only
a division by subject gives a valid accuracy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.data import labels
from fercore.data.datasets import _unsplit
from fercore.data.readers.archives import Member
from fercore.data.readers.images import MAX_BYTES, decode_grey
from fercore.data.readers.skipped_files import IntakeLog
from fercore.data.reports import AddReport, DatasetStatus, OnProgress
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.images.decoding import IMAGE_SUFFIXES
from fercore.io.file_names import storable_name

NAME = "ckplus"
CLASS_NAMES = labels.CKPLUS
SIZE = (48, 48)

# Frames by class, counted in the class folders that are in circulation.
PUBLISHED = {
    "angry": 135,
    "contempt": 54,
    "disgust": 177,
    "fear": 75,
    "happy": 207,
    "sad": 84,
    "surprise": 249,
}


def load(root: Path) -> Splits:
    """Load the installed dataset: one unsplit part, with subjects and sequences.

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
    """Install CK+48 from its class folders.

    Raises:
        UserError: if a file is missing, damaged, not a frame of CK+, or cannot be stored.
    """
    log = IntakeLog(skip_bad, on_progress)

    def read() -> list[_unsplit.Sample]:
        samples = []
        for member in log.walk(paths, IMAGE_SUFFIXES):
            with log.count_image():
                samples.append(_read_sample(member))
        return samples

    return _unsplit.add(
        NAME,
        paths,
        root,
        CLASS_NAMES,
        read,
        log,
        lambda manifest: _unsplit.compare_counts(manifest, PUBLISHED, "CK+48"),
    )


def groups(ids: NDArray[np.str_]) -> Mapping[str, NDArray[np.str_]]:
    """Return subject and sequence of each frame: `S010` and `S010_004` for `S010_004_00000017`."""
    parts = [name.split("_") for name in ids.tolist()]
    return {
        "subject": np.array([part[0] for part in parts]),
        "sequence": np.array(["_".join(part[:2]) for part in parts]),
    }


def _read_sample(member: Member) -> _unsplit.Sample:
    folder = member.folders[-1] if member.folders else "."
    emotion = labels.canonical(folder)
    if emotion not in CLASS_NAMES:
        raise UserError(
            f"{member.where} is in the folder {storable_name(folder)!r}, expected one folder "
            f"for each of: {', '.join(CLASS_NAMES)}"
        )
    if len(member.stem.split("_")) != 3:
        raise UserError(
            f"{member.where}: expected a name such as S010_004_00000017.png, of subject, sequence "
            "and frame"
        )
    image = decode_grey(member.read(MAX_BYTES), SIZE, member.where)
    return _unsplit.Sample(image, emotion, member.stem)
