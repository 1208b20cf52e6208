"""The outcome of adding a dataset, and the state of an installed one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fercore.data.quality import Audit

Counts = Mapping[str, Mapping[str, int]]

# Called with images done and images in all, where that is known.
OnProgress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class AddReport:
    """What adding a dataset did.

    Attributes:
        dataset: its name.
        changed: whether anything was written.
        fingerprint: of what is installed now.
        counts: samples by role and class.
        titles: what the dataset's literature calls each role.
        audit: the flaws that were counted.
        notes: one line each, what the user should know.
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
    """What is there of a dataset.

    Attributes:
        name: as `load` takes it.
        installed: whether it can be loaded.
        synthetic: whether code draws it.
        counts: samples by role and class; empty if it is not installed.
        bytes: on disk.
        fingerprint: empty if it is not installed.
        remark: one line: what is wrong with it, how to add it, or what it was derived from.
    """

    name: str
    installed: bool
    synthetic: bool = False
    counts: Counts = field(default_factory=dict)
    bytes: int = 0
    fingerprint: str = ""
    remark: str = ""
