"""Datasets of a user's own: any images in a folder per class, under a name the user gives.

They live beside the built-in datasets in the data root. The classes are the names of the folders;
images of any size, in colour or grey, are turned grey and scaled to one size on the way in. Folders
named train, validation and test keep their images apart; see `fercore.data.folder_layout`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from fercore.data import folder_layout, store
from fercore.data.datasets import _unsplit
from fercore.data.readers import rafdb
from fercore.data.readers.archives import TABLES, Member, walk
from fercore.data.readers.images import decode_scaled
from fercore.data.readers.skipped_files import IntakeLog
from fercore.data.reports import AddReport, OnProgress
from fercore.errors import UserError
from fercore.images.decoding import IMAGE_SUFFIXES, MAX_BYTES
from fercore.io.file_names import storable_name

DEFAULT_SIZE = 48


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
    skip_bad: bool = False,
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
        skip_bad: leave out images that cannot be used.

    Raises:
        UserError: if a file is missing, damaged, lies in no class folder, or cannot be stored.
    """
    stored = _stored_size(root, name, size)
    new_size = size or stored or DEFAULT_SIZE
    log = IntakeLog(skip_bad, on_progress)
    notes: list[str] = []

    def read() -> list[_unsplit.Sample]:
        tables = [path.name for path in paths if path.name.lower().endswith(TABLES)]
        if tables:
            raise UserError(
                f"received {storable_name(tables[0])} for a dataset of your own, expected a folder "
                "or an archive that holds images in a folder per class; tables of pixels are those "
                "of FER2013: fercore data add fer2013 PATH"
            )
        found: list[folder_layout.Found] = []
        lists: dict[str, str] = {}
        for path in paths:
            outer = 0 if _is_class(path) else 1  # folders that were added, and are no class
            for member in walk(path, log.passed_over):
                if member.has_suffix(IMAGE_SUFFIXES):
                    with log.one_image():
                        found.append(_decoded(member, new_size, outer))
                elif rafdb.is_list(member):
                    lists |= rafdb.read_list(member)
                else:
                    log.pass_over(member)
        arranged = folder_layout.arrange(found, log, lists)
        notes.extend(arranged.notes)
        return arranged.samples

    return _unsplit.add(
        name,
        paths,
        root,
        None,
        read,
        log,
        lambda manifest: tuple(notes),
        again=new_size != stored,
    )


def _decoded(member: Member, size: int, outer: int) -> folder_layout.Found:
    image = decode_scaled(member.read(MAX_BYTES), (size, size), member.where)
    return folder_layout.Found(image, member.name, member.where, outer)


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
    return next(iter(found[1].values())).images.shape[1] if found else None


def _is_class(path: Path) -> bool:
    """Whether a path is the folder of one class: all images lie directly in it."""
    return os.path.isdir(path) and {
        member.folders for member in walk(path) if member.has_suffix(IMAGE_SUFFIXES)
    } == {(path.resolve().name,)}
