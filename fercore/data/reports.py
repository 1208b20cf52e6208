"""Report types: the result of adding a dataset, and the status of an installed one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fercore.data.quality import Audit

Counts = Mapping[str, Mapping[str, int]]

# Called with the number of images done and the total, `None` if the total is unknown.
OnProgress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class AddReport:
    """The result of adding a dataset.

    Attributes:
        dataset: its name.
        changed: whether anything was written.
        fingerprint: of the installed version.
        counts: samples by role and class.
        titles: name of each role in the dataset's literature.
        audit: counts of duplicate and constant images.
        notes: remarks for the user, one line each.
    """

    dataset: str
    changed: bool
    fingerprint: str
    counts: Counts
    titles: Mapping[str, str]
    audit: Audit
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetStatus:
    """The status of a dataset.

    Attributes:
        name: as `load_dataset` takes it.
        installed: whether it can be loaded.
        synthetic: whether it is drawn by code.
        counts: samples by role and class; empty if it is not installed.
        bytes: size on disk.
        fingerprint: empty if it is not installed.
        remark: one line: the problem with it, how to add it, or the dataset it was derived from.
    """

    name: str
    installed: bool
    synthetic: bool = False
    counts: Counts = field(default_factory=dict)
    bytes: int = 0
    fingerprint: str = ""
    remark: str = ""
