"""Read run directories.

A run is a folder of open formats, described in the README; `fercore.runs.writer` writes it. The
reader meets a broken, foreign or half-written folder with a `problem`, never with an exception.
"""

import io
import os.path
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from fercore.config.experiment import ExperimentConfig
from fercore.config.run import CombinedConfig, ImportedConfig
from fercore.data.registry import has_groups
from fercore.data.splits import DatasetVersion
from fercore.io import bounded_json
from fercore.io.bounded_npz import BoundedNpz
from fercore.io.file_names import storable_name
from fercore.io.files import read_regular
from fercore.runs import damage
from fercore.runs.activity import (
    ACTIVE_STATES,
    HALTED_STATES,
    active_state,
    claims_activity,
    is_alive,
    lacks_environment,
    lock_decides,
)
from fercore.runs.predictions import Predictions, are_predictions
from fercore.runs.schema import (
    UNGROUPED,
    Environment,
    EpochLog,
    Latency,
    LayerSummary,
    Notes,
    Results,
    SplitResult,
    Status,
)

_YEAR_2200 = 7_258_118_400  # in seconds since 1970; later times overflow in pandas
_RecordT = TypeVar("_RecordT", bound=BaseModel)
ShownState = Literal[
    "starting", "running", "finished", "stalled", "interrupted", "failed", "diverged", "broken"
]


@dataclass(frozen=True, eq=False)
class Run:
    """One run directory, read. Parts that are absent or unreadable are `None`.

    A run equals none but itself: what follows from it can be kept by it, until it is read anew.

    Attributes:
        path: the folder.
        state: of a run that says it is starting or running, that state while its process holds its
            lock, else `"interrupted"`. Where the lock tells nothing, as of a process on another
            machine, `"stalled"` if `status.json` has not been written for two minutes. `"broken"`
            is a folder that is no run, or one whose files cannot be read.
        problem: one line that says what is wrong, empty if nothing is.
        notes: what people say of it.
        latency: of its network, one entry for each machine that it was measured on.
        damaged: what is wrong with each damaged file, on one line, by file name. The rest of the
            run can be read and used.
    """

    path: Path
    state: ShownState
    config: ExperimentConfig | ImportedConfig | CombinedConfig | None = None
    status: Status | None = None
    environment: Environment | None = None
    results: Results | None = None
    problem: str = ""
    notes: Notes = field(default_factory=Notes)
    latency: tuple[Latency, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """The folder's name, as text that can be shown."""
        # With the backslash escaped too, different names stay different.
        return storable_name(self.path.name.replace("\\", r"\\"))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the damaged files, one line each."""
        return tuple(self.damaged.values())

    @cached_property
    def _started(self) -> float:
        known = self.environment
        began = 0.0
        if known is None and self.status and self.state != "broken":
            began = self.status.heartbeat  # it has not got as far as to describe where it runs
        with suppress(ValueError, OverflowError, OSError):
            began = datetime.fromisoformat(known.started).timestamp() if known else began
        return began if 0 <= began < _YEAR_2200 else 0.0

    @property
    def experiment(self) -> ExperimentConfig | None:
        """The config of a run that was trained here; `None` for any other or an unreadable one."""
        return self.config if isinstance(self.config, ExperimentConfig) else None

    @property
    def original_dataset(self) -> DatasetVersion | None:
        """The dataset that its images come from: the source, if its dataset is derived.

        The fingerprint is empty where the run does not record it; `None` without a config.
        """
        if self.config is None:
            return None
        known = self.environment
        if known and known.source_dataset:
            return DatasetVersion(known.source_dataset, known.source_fingerprint)
        return DatasetVersion(self.config.dataset, known.dataset_fingerprint if known else "")

    @property
    def completed(self) -> bool:
        """Whether it was trained to its end: to the last epoch, or to where the config stops it."""
        results = self.results
        if results is None or results.stopped_by not in {"epochs", "early stopping"}:
            return False
        # Its config may ask for more epochs than these results are of: it was resumed.
        asked = self.experiment.epochs if self.experiment else 0
        return results.stopped_by == "early stopping" or results.epochs_run >= asked

    @property
    def gives_probabilities(self) -> bool:
        """Whether its predictions are probabilities, not predicted classes alone."""
        own = self.config
        return not (isinstance(own, ImportedConfig) and own.imported.output == "labels")

    @property
    def is_active(self) -> bool:
        """Whether a process trains it now, or is about to."""
        return self.state in ACTIVE_STATES

    @property
    def can_resume(self) -> bool:
        """Whether it stopped before its end and `fercore train --resume` can go on with it here."""
        if self.experiment is None or self.completed:
            return False
        # One with results was evaluated after Ctrl-C, or its config asks for more epochs now.
        halted = self.state in HALTED_STATES or (
            self.results is not None and self.state == "finished"
        )
        return halted and (self.last_path.is_file() or self.has_no_progress)

    @property
    def has_no_progress(self) -> bool:
        """Whether it stopped before its first checkpoint, so that a resumption begins anew.

        A run that lacks its checkpoints because it was copied without them has a longer log.
        """
        if self.results is not None or self.last_path.is_file():
            return False
        epochs = self.status.epoch if self.status else 0
        return max(epochs, len(read_lines(self.path / "log.jsonl"))) <= 1

    @property
    def origin(self) -> Literal["trained", "imported", "combined"]:
        """Where it comes from; a run that cannot be read counts as trained."""
        if isinstance(self.config, ImportedConfig):
            return "imported"
        return "combined" if isinstance(self.config, CombinedConfig) else "trained"

    @property
    def groups_unknown(self) -> bool:
        """Whether its images come in groups that are not stored with its predictions.

        Its intervals then take images as independent; `fercore runs migrate` adds the groups.
        """
        if self.config is None or self.results is None or self.original_dataset is None:
            return False
        if any(result.groups for result in self.results.splits.values()):
            return False
        own = self.experiment
        copied = own and own.augmentation.mode != "online" and own.protocol.copies == "before_split"
        by_subject = self.config.protocol.split == "subjects"
        return by_subject or bool(copied) or has_groups(self.original_dataset.name)

    def grouping(self, result: SplitResult) -> str:
        """Return what its images share, for an interval: `by subject, 24 groups`.

        Empty where each image stands for itself; a caution where the groups are not known.
        """
        return result.grouping or (UNGROUPED if self.groups_unknown else "")

    def log(self) -> list[EpochLog]:
        """The per-epoch log, without a torn last line. Empty if there is none."""
        return read_log(self.path)

    def layers(self) -> list[LayerSummary]:
        """The layer table. Empty if there is none, or it cannot be read."""
        return _read_many(self.path / "layers.json", LayerSummary)[0]

    def predictions(self, split: str) -> Predictions | None:
        """Return the predictions on `"validation"` or `"test"`; `None` if none can be read.

        Where both splits hold the same samples, the predictions are stored once, as `"test"`.
        """
        if split == "validation" and self.config and self.config.protocol.selects_on_test_samples:
            split = "test"
        try:
            with BoundedNpz(self.path / "predictions.npz") as stored:
                ids, labels = stored[f"{split}_ids"], stored[f"{split}_labels"]
                probabilities = stored[f"{split}_probabilities"]
                groups, kind, unique = None, "", None
                if f"{split}_groups" in stored:
                    groups, kind = stored[f"{split}_groups"], str(stored[f"{split}_group_kind"])
                if f"{split}_unique" in stored:
                    unique = stored[f"{split}_unique"].astype(bool)
        except (OSError, ValueError, KeyError):
            return None
        whole = are_predictions(ids, labels, probabilities)
        whole = whole and all(own is None or own.shape == ids.shape for own in (groups, unique))
        if whole and self.results:
            whole = probabilities.shape[1] == len(self.results.class_names)
        if not whole:
            return None
        return Predictions(ids, labels, probabilities.astype(np.float32), groups, kind, unique)

    @property
    def last_path(self) -> Path:
        """What a resumption needs; it stays on the machine that trained, like the best weights."""
        return self.path / "checkpoints" / "last.npz"

    @property
    def best_path(self) -> Path:
        """The weights of the best epoch; they stay on the machine that trained."""
        return self.path / "checkpoints" / "best.npz"

    @property
    def keras_path(self) -> Path:
        """What `fercore export` reads; it stays on the machine that trained."""
        return self.path / "checkpoints" / "model.keras"

    @property
    def onnx_path(self) -> Path | None:
        """The exported network, if there is one: that of these results, not of some before them."""
        path = self.path / "model.onnx"
        exported = self.results is None or self.results.onnx is not None
        return path if exported and path.is_file() else None


def full_size_epochs(log: Sequence[EpochLog]) -> list[EpochLog]:
    """Return the epochs at the largest image size: a checkpoint is chosen among these."""
    largest = max((row.image_size or 0 for row in log), default=0)
    return [row for row in log if (row.image_size or 0) == largest]


def started(run: Run) -> float:
    """When a run began, in seconds since 1970; 0 if it does not say, or names a year after 2200."""
    return run._started


def read_run(path: Path) -> Run:
    """Read one run directory. Never raises: what is wrong with it stands in `problem`."""
    if problem := _no_run(path):
        return Run(path, "broken", problem=problem)
    problems: list[str] = []
    config = _read_config(path, problems)
    status = _read_record(path, "status.json", Status, problems)
    environment = None
    if not (status and lacks_environment(path, status)):
        environment = _read_record(path, "environment.json", Environment, problems)
    results = None
    if os.path.isfile(path / "results.json"):
        results = _read_record(path, "results.json", Results, problems)
    state: ShownState
    if problems:
        state = "broken"
    elif results is not None:
        # A resumed run keeps its old results beside it until it has new ones.
        state = "finished"
        if results.stopped_by == "not a number" or (status and status.state == "diverged"):
            state = "diverged"
        if status and is_alive(path, status):
            state = active_state(status)
    else:
        assert status is not None  # no problem was found, so it was read
        state = status.state
        if claims_activity(status):
            if is_alive(path, status):
                state = active_state(status)
            else:
                state = "interrupted" if lock_decides(status) else "stalled"
        elif state == "finished":
            state, problems = "broken", ["results.json is missing"]
    # What is damaged of these takes nothing from the rest of the run.
    damaged: dict[str, str] = {}
    notes, unreadable = None, list[str]()
    if os.path.lexists(path / "notes.json"):
        notes = _read_record(path, "notes.json", Notes, unreadable)
    damaged |= {"notes.json": unreadable[0]} if unreadable else {}
    latency, wrong = _read_many(path / "latency.json", Latency)
    damaged |= {"latency.json": wrong} if wrong else {}
    damaged |= damage.find(path, results, trained=isinstance(config, ExperimentConfig))
    problem = "; ".join(problems)
    return Run(
        *(path, state, config, status, environment, results, problem, notes or Notes()),
        latency=tuple(latency),
        damaged=damaged,
    )


def read_log(path: Path) -> list[EpochLog]:
    """The per-epoch log of a run directory.

    A torn line (the last one of a run that was killed while it wrote) ends the reading. Where an
    epoch stands twice, because a run was resumed, the later line counts.
    """
    rows: dict[int, EpochLog] = {}
    try:
        for line in io.BytesIO(read_regular(path / "log.jsonl", damage.MAX_LOG_BYTES)):
            if not line.endswith(b"\n"):
                break
            bounded_json.require_bounded(line)
            row = EpochLog.model_validate_json(line)
            rows[row.epoch] = row
    except (OSError, ValueError):
        pass
    return [rows[epoch] for epoch in sorted(rows)]


def _no_run(path: Path) -> str:
    """What keeps a folder from being read as a run at all, on one line; empty if nothing does."""
    try:
        str(path.name).encode()
    except UnicodeEncodeError:
        return "the folder's name is not UTF-8; rename the folder"
    try:
        os.stat(path / "config.json")
    except FileNotFoundError:
        return "no config.json: not a run directory of this package"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""


def _read_config(
    path: Path, problems: list[str]
) -> ExperimentConfig | ImportedConfig | CombinedConfig | None:
    kind: type[ExperimentConfig] | type[ImportedConfig] | type[CombinedConfig] = ExperimentConfig
    try:
        fields = bounded_json.parse(damage.read_record(path / "config.json"))
        if "imported" in fields:
            kind = ImportedConfig
        elif "combined" in fields:
            kind = CombinedConfig
    except (OSError, ValueError, TypeError):
        pass  # said below
    return _read_record(path, "config.json", kind, problems)


def _read_many(file: Path, kind: type[_RecordT]) -> tuple[list[_RecordT], str]:
    """The records of a file that holds a list of them, and what is wrong with it on one line.

    A file that is absent holds none, and nothing is wrong with it.
    """
    try:
        return damage.read_list(file, kind), ""
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        return [], f"{file.name} cannot be read ({error.strerror})"
    except ValidationError as error:
        return [], f"{file.name}: {damage.describe(error)}"
    except ValueError as error:
        return [], f"{file.name}: {error}"


def _read_record(
    path: Path, file: str, kind: type[_RecordT], problems: list[str]
) -> _RecordT | None:
    try:
        return kind.model_validate_json(damage.read_record(path / file))
    except FileNotFoundError:
        problems.append(f"{file} is missing")
    except OSError as error:
        problems.append(f"{file} cannot be read ({error.strerror})")
    except ValidationError as error:
        problems.append(f"{file}: {damage.describe(error)}")
    except ValueError as error:
        problems.append(f"{file}: {error}")
    return None


def read_lines(path: Path) -> list[bytes]:
    """Return the lines of a log; none if it cannot be read."""
    try:
        return read_regular(path, damage.MAX_LOG_BYTES).splitlines()
    except OSError:
        return []
