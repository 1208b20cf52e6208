"""Find, load, add and describe datasets by name.

A dataset is a module of `fercore.data.datasets`, or a custom dataset that a user added.
"""

import pkgutil
import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from fercore.data import datasets, store
from fercore.data.datasets import _image_folder, _unsplit
from fercore.data.reports import AddReport, DatasetStatus, OnProgress
from fercore.data.splits import Splits
from fercore.errors import UserError

_CUSTOM_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")


@cache
def list_datasets() -> tuple[str, ...]:
    """Return the sorted names of all built-in datasets, installed or not."""
    names = (module.name for module in pkgutil.iter_modules(datasets.__path__) if not module.ispkg)
    return tuple(
        sorted(
            n for n in names if hasattr(import_module(f"{datasets.__name__}.{n}"), "CLASS_NAMES")
        )
    )


def list_custom_datasets(root: Path) -> tuple[str, ...]:
    """Return the sorted names of the datasets that a user added under a name of their own."""
    return tuple(
        name
        for name in _image_folder.list_installed(root)
        if name not in list_datasets() and _CUSTOM_NAME.fullmatch(name)
    )


def load_dataset(name: str, root: Path) -> Splits:
    """Load a dataset from the data root.

    Raises:
        UserError: if there is no such dataset, or it is not installed, incomplete or damaged.
    """
    if name in list_custom_datasets(root):
        # A derived dataset keeps the ids of its source, and the subjects are read from the ids.
        derived = store.read_derivation(root, name)
        source = derived.dataset if derived else name
        module = _import_dataset(source, root) if source in list_datasets() else None
        return _unsplit.load(root, name, getattr(module, "groups", lambda ids: {}))
    splits: Splits = _import_dataset(name, root).load(root)
    return splits


def has_groups(name: str) -> bool:
    """Return whether a dataset names groups of dependent samples, such as subjects."""
    return name in list_datasets() and hasattr(_import_dataset(name, Path()), "groups")


def native_size(name: str) -> int | None:
    """Return the side of a dataset's images in pixels; `None` for custom datasets."""
    if name not in list_datasets():
        return None
    size = getattr(_import_dataset(name, Path()), "SIZE", None)
    return size[0] if size else None


def add_dataset(
    name: str,
    paths: Sequence[Path],
    root: Path,
    on_progress: OnProgress | None = None,
    new_size: int | None = None,
    new: bool = False,
    skip_bad: bool = False,
) -> AddReport:
    """Convert a user's files into the compact form under the data root.

    All paths together are one dataset. If an error occurs, the installed version is unchanged.

    Args:
        name: of the dataset.
        paths: its files.
        root: data root.
        on_progress: called with the number of images done.
        new_size: side of the images in pixels, for a custom dataset (a folder per class). `None`
            keeps the size of the stored images, or takes `_image_folder.DEFAULT_SIZE` for a new
            dataset.
        new: whether to create a custom dataset if there is none; implied by `new_size`.
        skip_bad: leave out images that cannot be used, and list them in the notes.

    Raises:
        UserError: if a file is missing, damaged, or not of this dataset, or the dataset is derived
            from another.
    """
    is_custom = new or new_size is not None or name in list_custom_datasets(root)
    if is_custom:
        check_custom_name(name)
    else:
        _require_addable(name, paths, root)
    with store.lock_dataset(root, name):
        return _add(name, paths, root, on_progress, new_size, is_custom, skip_bad)


def undo_change(name: str, root: Path) -> DatasetStatus:
    """Restore the version of a dataset that the last change replaced.

    Returns:
        The status of the restored version.

    Raises:
        UserError: if there is no such dataset, or no previous version of it.
    """
    if name not in list_custom_datasets(root):
        _import_dataset(name, root)
    store.undo(root, name)
    return dataset_status(name, root)


def has_previous(name: str, root: Path) -> bool:
    """Return whether a dataset has a previous version that `undo_change` can restore."""
    return store.read_previous_manifest(root, name) is not None


def _require_addable(name: str, paths: Sequence[Path], root: Path) -> None:
    if not hasattr(_import_dataset(name, root), "add"):
        raise UserError(f"{name} is always there, drawn by code; nothing to add")
    if not paths:
        raise UserError(f"expected the files to add: fercore data add {name} PATH")


def _add(
    name: str,
    paths: Sequence[Path],
    root: Path,
    on_progress: OnProgress | None,
    new_size: int | None,
    is_custom: bool,
    skip_bad: bool,
) -> AddReport:
    if is_custom:
        if derived := store.read_derivation(root, name):
            raise UserError(
                f"received images for {name}, which is derived from {derived.dataset}; expected "
                f"them for {derived.dataset} (fercore data add), then: fercore data align "
                f"{derived.dataset} --name {name}"
            )
        return _image_folder.add(name, paths, root, new_size, on_progress, skip_bad)
    report: AddReport = _import_dataset(name, root).add(paths, root, on_progress, skip_bad)
    return report


def check_custom_name(name: str) -> None:
    """Raise if a custom dataset cannot have this name.

    Raises:
        UserError: if it is the name of a built-in dataset, or has characters that are not allowed.
    """
    if name in list_datasets() or not _CUSTOM_NAME.fullmatch(name):
        raise UserError(
            f"received the name {name!r} for a new dataset, expected small letters, digits, - "
            f"and _, and none of: {', '.join(list_datasets())}"
        )


def dataset_status(name: str, root: Path) -> DatasetStatus:
    """Return the status of a dataset; damaged files are reported in its remark.

    Raises:
        UserError: if there is no such dataset.
    """
    if name in list_custom_datasets(root):
        return _unsplit.status(root, name)
    status: DatasetStatus = _import_dataset(name, root).status(root)
    return status


def _import_dataset(name: str, root: Path) -> ModuleType:
    if name not in list_datasets():
        names = ", ".join([*list_datasets(), *list_custom_datasets(root)])
        raise UserError(
            f"received the dataset {name!r}, expected one of: {names}; a folder of images per "
            f"class becomes one with: fercore data add {name} PATH --new, and the aligned faces of "
            f"another dataset with: fercore data align DATASET --name {name}"
        )
    return import_module(f"{datasets.__name__}.{name}")
