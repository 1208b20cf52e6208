"""Custom datasets: a user's images in one folder per class, under a name that the user gives.

They are stored in the data root, like the built-in datasets. The classes are the names of the
folders. Images of any size, in colour or grey, are converted to grey levels and scaled to one size.
Folders named train, validation and test become splits; see `fercore.data.folder_layout`.
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


def list_installed(root: Path) -> tuple[str, ...]:
    """Return the sorted names of all datasets that have a manifest under the data root."""
    try:
        # Not `Path.is_file`, which raises in a folder without read permission (lost+found).
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
    """Install images from one folder per class.

    Args:
        name: of the new dataset.
        paths: folders, ZIPs or TARs; all together are one dataset. A folder may also be the folder
            of one class.
        root: data root.
        size: side in pixels to which every image is scaled; `None` keeps the size of the stored
            images, or takes `DEFAULT_SIZE` for a new dataset.
        on_progress: called with the number of images done.
        skip_bad: leave out images that cannot be used.

    Raises:
        UserError: if a file is missing, damaged, in no class folder, or cannot be stored.
    """
    stored_size = _stored_size(root, name, size)
    new_size = size or stored_size or DEFAULT_SIZE
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
        images: list[folder_layout.ImageFile] = []
        rafdb_labels: dict[str, str] = {}
        for path in paths:
            outer = 0 if _is_class_folder(path) else 1  # the added folder is not a class
            for member in walk(path, log.passed_over):
                if member.has_suffix(IMAGE_SUFFIXES):
                    with log.count_image():
                        images.append(_read_image(member, new_size, outer))
                elif rafdb.is_label_list(member):
                    rafdb_labels |= rafdb.read_label_list(member)
                else:
                    log.pass_over(member)
        layout = folder_layout.label_images(images, log, rafdb_labels)
        notes.extend(layout.notes)
        return layout.samples

    return _unsplit.add(
        name,
        paths,
        root,
        None,
        read,
        log,
        lambda manifest: tuple(notes),
        reread=new_size != stored_size,
    )


def _read_image(member: Member, size: int, outer: int) -> folder_layout.ImageFile:
    image = decode_scaled(member.read(MAX_BYTES), (size, size), member.where)
    return folder_layout.ImageFile(image, member.name, member.where, outer)


def _stored_size(root: Path, name: str, size: int | None) -> int | None:
    """Return the side of the stored images in pixels; `None` if there are none.

    Also `None` if they are damaged and a new size is given.

    Raises:
        UserError: if they are damaged and no size is given.
    """
    try:
        installed = store.read(root, name)
    except UserError as error:
        if size is None:
            raise UserError(
                f"{root / name} is damaged, so the size of its images is unknown; add it again "
                f"with: fercore data add {name} PATH --size PIXELS"
            ) from error
        return None
    return next(iter(installed[1].values())).images.shape[1] if installed else None


def _is_class_folder(path: Path) -> bool:
    """Return whether a path is the folder of one class: all images are directly in it."""
    return os.path.isdir(path) and {
        member.folders for member in walk(path) if member.has_suffix(IMAGE_SUFFIXES)
    } == {(path.resolve().name,)}
