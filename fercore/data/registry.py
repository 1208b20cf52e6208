"""Find, load, add and describe datasets by name.

A dataset is a module of `fercore.data.datasets`, or one that a user added under a name of its own.
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

_OWN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")


@cache
def list_datasets() -> tuple[str, ...]:
    """The names of all datasets, installed or not, sorted."""
    names = (module.name for module in pkgutil.iter_modules(datasets.__path__) if not module.ispkg)
    return tuple(
        sorted(
            n for n in names if hasattr(import_module(f"{datasets.__name__}.{n}"), "CLASS_NAMES")
        )
    )


def list_custom_datasets(root: Path) -> tuple[str, ...]:
    """The names of the datasets that a user added under a name of their own, sorted."""
    return tuple(
        name
        for name in _image_folder.installed(root)
        if name not in list_datasets() and _OWN_NAME.fullmatch(name)
    )


def load_dataset(name: str, root: Path) -> Splits:
    """Load a dataset from the data root.

    Raises:
        UserError: if there is no such dataset, or it is not installed, incomplete or damaged.
    """
    if name in list_custom_datasets(root):
        # The ids are those of the source, and so are the subjects that they name.
        derived = store.derivation(root, name)
        source = derived.dataset if derived else name
        module = _module(source, root) if source in list_datasets() else None
        return _unsplit.load(root, name, getattr(module, "groups", lambda ids: {}))
    splits: Splits = _module(name, root).load(root)
    return splits


def has_groups(name: str) -> bool:
    """Whether a dataset names groups of dependent samples, such as the subject of each image."""
    return name in list_datasets() and hasattr(_module(name, Path()), "groups")


def native_size(name: str) -> int | None:
    """Pixels of a side of a dataset's images; `None` for one of the user's own: those vary."""
    size = getattr(_module(name, Path()), "SIZE", None) if name in list_datasets() else None
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
    """Convert files that a user has into the compact form under the data root.

    All paths together are one dataset. What was installed before stays if anything goes wrong.

    Args:
        name: of the dataset.
        paths: its files.
        root: data root.
        on_progress: called with images done.
        new_size: pixels of a side, for a dataset of the user's own, in a folder per class; absent,
            that of the stored images, or `folders.DEFAULT_SIZE` for the first ones.
        new: whether to make a dataset of the user's own where there is none; a size says so too.
        skip_bad: leave out images that cannot be used, and say which.

    Raises:
        UserError: if a file is missing, damaged, or not of this dataset, or the dataset is derived
            from another.
    """
    own = new or new_size is not None or name in list_custom_datasets(root)
    if own:
        check_custom_name(name)
    else:
        _require_addable(name, paths, root)
    with store.changing(root, name):
        return _add(name, paths, root, on_progress, new_size, own, skip_bad)


def undo_change(name: str, root: Path) -> DatasetStatus:
    """Bring back the version of a dataset that the last change replaced; the state after that.

    Raises:
        UserError: if there is no such dataset, or no previous version of it.
    """
    if name not in list_custom_datasets(root):
        _module(name, root)
    store.undo(root, name)
    return dataset_status(name, root)


def has_previous(name: str, root: Path) -> bool:
    """Whether a dataset has a previous version that `undo` brings back."""
    return store.previous(root, name) is not None


def _require_addable(name: str, paths: Sequence[Path], root: Path) -> None:
    if not hasattr(_module(name, root), "add"):
        raise UserError(f"{name} is always there, drawn by code; nothing to add")
    if not paths:
        raise UserError(f"expected the files to add: fercore data add {name} PATH")


def _add(
    name: str,
    paths: Sequence[Path],
    root: Path,
    on_progress: OnProgress | None,
    new_size: int | None,
    own: bool,
    skip_bad: bool,
) -> AddReport:
    if own:
        if derived := store.derivation(root, name):
            raise UserError(
                f"received images for {name}, which is derived from {derived.dataset}; expected "
                f"them for {derived.dataset} (fercore data add), then: fercore data align "
                f"{derived.dataset} --name {name}"
            )
        return _image_folder.add(name, paths, root, new_size, on_progress, skip_bad)
    report: AddReport = _module(name, root).add(paths, root, on_progress, skip_bad)
    return report


def check_custom_name(name: str) -> None:
    """Refuse a name that a dataset of the user's own cannot have.

    Raises:
        UserError: if it is another dataset's, or not file-name safe.
    """
    if name in list_datasets() or not _OWN_NAME.fullmatch(name):
        raise UserError(
            f"received the name {name!r} for a new dataset, expected small letters, digits, - "
            f"and _, and none of: {', '.join(list_datasets())}"
        )


def dataset_status(name: str, root: Path) -> DatasetStatus:
    """What is there of a dataset. Never raises for what is wrong with its files.

    Raises:
        UserError: if there is no such dataset.
    """
    if name in list_custom_datasets(root):
        return _unsplit.status(root, name)
    found: DatasetStatus = _module(name, root).status(root)
    return found


def _module(name: str, root: Path) -> ModuleType:
    if name not in list_datasets():
        known = ", ".join([*list_datasets(), *list_custom_datasets(root)])
        raise UserError(
            f"received the dataset {name!r}, expected one of: {known}; a folder of images per "
            f"class becomes one with: fercore data add {name} PATH --new, and the aligned faces of "
            f"another dataset with: fercore data align DATASET --name {name}"
        )
    return import_module(f"{datasets.__name__}.{name}")
