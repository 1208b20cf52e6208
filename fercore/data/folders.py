"""Datasets of a user's own: any images in a folder per class, under a name the user gives.

They live beside the built-in datasets in the data root. The classes are the names of the folders;
images of any size, in colour or grey, are turned grey and scaled to one size on the way in.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fercore import labels
from fercore.data import pool, store
from fercore.data.intake.images import MAX_PHOTO_BYTES, PHOTO_SUFFIXES, decode_scaled
from fercore.data.intake.members import Member, walk
from fercore.data.report import AddReport, OnProgress
from fercore.data.splits import POOL
from fercore.errors import UserError

DEFAULT_SIZE = 48
_UNREAD = (
    *(".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jfif", ".jpe", ".jp2", ".jxl", ".svg"),
    *(".ico", ".tga", ".psd", ".pbm", ".pgm", ".ppm", ".pnm", ".dng", ".cr2", ".nef", ".arw"),
)


def installed(root: Path) -> tuple[str, ...]:
    """The names of everything that has a record under the data root, sorted."""
    try:
        # Not `Path.is_file`, which raises in a folder that is not ours, such as lost+found.
        folders = [e.name for e in root.iterdir() if os.path.isfile(e / store.MANIFEST)]
    except OSError:
        return ()
    return tuple(sorted(folders))


def add(
    name: str,
    paths: Sequence[Path],
    root: Path,
    size: int | None = None,
    on_progress: OnProgress | None = None,
) -> AddReport:
    """Install images that lie in one folder per class.

    Args:
        name: of the new dataset.
        paths: folders, ZIPs or TARs; all together are one dataset. A folder may also be that of one
            class.
        root: data root.
        size: height and width in pixels that every image is scaled to; absent, those of the images
            that are stored, or `DEFAULT_SIZE`.
        on_progress: called with images done.

    Raises:
        UserError: if a file is missing, damaged, lies in no class folder, or cannot be stored.
    """
    stored = _stored_size(root, name, size)
    new_size = size or stored or DEFAULT_SIZE
    unread: Counter[str] = Counter()

    def read() -> list[pool.Sample]:
        found = []
        for path in paths:
            outer = 0 if _is_class(path) else 1  # folders that were added, and are no class
            for member in walk(path):
                if member.has_suffix(PHOTO_SUFFIXES):
                    found.append(_sample(member, new_size, outer))
                    if on_progress and len(found) % 128 == 0:
                        on_progress(len(found), None)
                elif member.has_suffix(_UNREAD):
                    unread[PurePosixPath(member.name).suffix.lower()] += 1
        if unread and not found:
            raise UserError(_not_read(unread))
        times = Counter(file.with_suffix("") for _, _, file in found)
        return [
            (image, label, str(file if times[file.with_suffix("")] > 1 else file.with_suffix("")))
            for image, label, file in found
        ]

    return pool.add(
        name,
        paths,
        root,
        None,
        read,
        lambda manifest: (_not_read(unread),) if unread else (),
        again=new_size != stored,
    )


def _stored_size(root: Path, name: str, size: int | None) -> int | None:
    """Pixels of a side of the stored images; `None` if there are none or they are damaged."""
    try:
        found = store.read(root, name)
    except UserError as error:
        if size is None:
            raise UserError(
                f"{root / name} is damaged, and with it the size of its images; add it again with: "
                f"fercore data add {name} PATH --size PIXELS"
            ) from error
        return None
    return found[1][POOL].images.shape[1] if found else None


def _is_class(path: Path) -> bool:
    """Whether a path is the folder of one class: all images lie directly in it."""
    return path.is_dir() and {
        member.folders for member in walk(path) if member.has_suffix(PHOTO_SUFFIXES)
    } == {(path.resolve().name,)}


def _not_read(unread: Counter[str]) -> str:
    return (
        f"images not read: {unread.total():,} ({', '.join(sorted(unread))}); expected "
        f"{', '.join(PHOTO_SUFFIXES)}: convert them and add all again"
    )


def _sample(member: Member, size: int, outer: int) -> tuple[NDArray[np.uint8], str, PurePosixPath]:
    file = PurePosixPath(*PurePosixPath(member.name).parts[outer:])
    if len(file.parts) < 2:
        raise UserError(
            f"{member.where} lies in no class folder; expected <class>/<image>, or one folder for "
            "each class without others in it"
        )
    image = decode_scaled(member.read(MAX_PHOTO_BYTES), (size, size), member.where)
    return image, labels.canonical(file.parent.name), file
