"""Datasets of a user's own: any images in a folder per class, under a name the user gives.

They live beside the built-in datasets in the data root. The classes are the names of the folders;
images of any size, in colour or grey, are turned grey and scaled to one size on the way in.
"""

from collections.abc import Sequence
from pathlib import Path

from fercore import labels
from fercore.data import pool, store
from fercore.data.intake.images import MAX_PHOTO_BYTES, SUFFIXES, decode_scaled
from fercore.data.intake.members import Member, walk
from fercore.data.report import AddReport, OnProgress
from fercore.errors import UserError

DEFAULT_SIZE = 48


def installed(root: Path) -> tuple[str, ...]:
    """The names of everything that has a record under the data root, sorted."""
    try:
        folders = [entry.name for entry in root.iterdir() if (entry / store.MANIFEST).is_file()]
    except OSError:
        return ()
    return tuple(sorted(folders))


def add(
    name: str,
    paths: Sequence[Path],
    root: Path,
    size: int = DEFAULT_SIZE,
    on_progress: OnProgress | None = None,
) -> AddReport:
    """Install images that lie in one folder per class.

    Args:
        name: of the new dataset.
        paths: folders, ZIPs or TARs; all together are one dataset.
        root: data root.
        size: height and width in pixels that every image is scaled to.
        on_progress: called with images done.

    Raises:
        UserError: if a file is missing, damaged, lies in no class folder, or cannot be stored.
    """

    def read() -> list[pool.Sample]:
        samples = []
        for path in paths:
            for member in walk(path):
                if member.has_suffix(SUFFIXES):
                    samples.append(_sample(member, size))
                    if on_progress and len(samples) % 128 == 0:
                        on_progress(len(samples), None)
        return samples

    return pool.add(name, paths, root, None, read)


def _sample(member: Member, size: int) -> pool.Sample:
    # The first folder is the one that was added.
    if len(member.folders) < 2:
        raise UserError(f"{member.where} lies in no class folder; expected <class>/<image>")
    image = decode_scaled(member.read(MAX_PHOTO_BYTES), (size, size), member.where)
    inside = "/".join(member.folders[1:])
    return image, labels.canonical(member.folders[-1]), f"{inside}/{member.stem}"
