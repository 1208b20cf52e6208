"""Datasets, one module each, found by file name.

A dataset module defines `CLASS_NAMES`, `load(root) -> Splits` and `status(root) -> DatasetStatus`;
one that is installed from files also defines `add(paths, root, on_progress) -> AddReport`.
"""

import pkgutil
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from fercore.data.report import AddReport, DatasetStatus, OnProgress
from fercore.data.splits import Split, Splits
from fercore.errors import UserError

__all__ = [
    "AddReport",
    "DatasetStatus",
    "Split",
    "Splits",
    "add",
    "list_datasets",
    "load",
    "status",
]


@cache
def list_datasets() -> tuple[str, ...]:
    """The names of all datasets, installed or not, sorted."""
    names = (module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)
    return tuple(sorted(n for n in names if hasattr(import_module(f"{__name__}.{n}"), "status")))


def load(name: str, root: Path) -> Splits:
    """Load a dataset from the data root.

    Raises:
        UserError: if there is no such dataset, or it is not installed, incomplete or damaged.
    """
    splits: Splits = _module(name).load(root)
    return splits


def add(
    name: str, paths: Sequence[Path], root: Path, on_progress: OnProgress | None = None
) -> AddReport:
    """Convert files that a user has into the compact form under the data root.

    All paths together are one dataset. What was installed before stays if anything goes wrong.

    Raises:
        UserError: if a file is missing, damaged, or not of this dataset.
    """
    module = _module(name)
    if not hasattr(module, "add"):
        raise UserError(f"{name} is always there, drawn by code; nothing to add")
    if not paths:
        raise UserError(f"expected the files to add: fercore data add {name} PATH")
    report: AddReport = module.add(paths, root, on_progress)
    return report


def status(name: str, root: Path) -> DatasetStatus:
    """What is there of a dataset. Never raises for what is wrong with its files.

    Raises:
        UserError: if there is no such dataset.
    """
    found: DatasetStatus = _module(name).status(root)
    return found


def _module(name: str) -> ModuleType:
    if name not in list_datasets():
        raise UserError(
            f"received the dataset {name!r}, expected one of: {', '.join(list_datasets())}"
        )
    return import_module(f"{__name__}.{name}")
