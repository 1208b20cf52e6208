"""Read run directories.

A run is a folder of open formats, described in CONTRIBUTING.md; `fercore.runs.writer` writes it.
For a damaged, foreign or incomplete folder the reader sets `Run.problem`; it never raises.
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
    """The content of one run directory. Parts that are absent or unreadable are `None`.

    Runs are compared by identity, so that they can be the keys of a cache of derived values.

    Attributes:
        path: the folder.
        state: `"starting"` or `"running"` only while the process holds the lock of the run, else
            `"interrupted"`. Where the lock cannot be checked, as for a process on another machine,
            `"stalled"` if `status.json` has not been written for two minutes. `"broken"` if the
            folder is no run, or its files cannot be read.
        problem: why the run cannot be read, on one line; empty if it can.
        notes: of users.
        latency: of its network, one entry for each machine that it was measured on.
        damaged: the problem of each damaged file, on one line, by file name. The rest of the run
            can be read and used.
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
        """The folder's name as printable text."""
        # With the backslash escaped too, different names stay different.
        return storable_name(self.path.name.replace("\\", r"\\"))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The problems of the damaged files, one line each."""
        return tuple(self.damaged.values())

    @cached_property
    def _started(self) -> float:
        seconds = 0.0
        if self.environment is None and self.status and self.state != "broken":
            seconds = self.status.heartbeat  # it has not written its environment yet
        if self.environment is not None:
            with suppress(ValueError, OverflowError, OSError):
                seconds = datetime.fromisoformat(self.environment.started).timestamp()
        return seconds if 0 <= seconds < _YEAR_2200 else 0.0

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
        environment = self.environment
        if environment is None:
            return DatasetVersion(self.config.dataset, "")
        if environment.source_dataset:
            return DatasetVersion(environment.source_dataset, environment.source_fingerprint)
        return DatasetVersion(self.config.dataset, environment.dataset_fingerprint)

    @property
    def completed(self) -> bool:
        """Whether it was trained to the last epoch, or until early stopping ended it."""
        results = self.results
        if results is None or results.stopped_by not in {"epochs", "early stopping"}:
            return False
        # A run that was resumed for more epochs keeps its old results until it has new ones.
        epochs = self.experiment.epochs if self.experiment else 0
        return results.stopped_by == "early stopping" or results.epochs_run >= epochs

    @property
    def gives_probabilities(self) -> bool:
        """Whether its predictions are probabilities, not predicted classes alone."""
        config = self.config
        return not (isinstance(config, ImportedConfig) and config.imported.output == "labels")

    @property
    def is_active(self) -> bool:
        """Whether a process trains it now, or is about to."""
        return self.state in ACTIVE_STATES

    @property
    def can_resume(self) -> bool:
        """Whether it stopped before its end and `fercore train --resume` can continue it here."""
        if self.experiment is None or self.completed:
            return False
        # One with results was evaluated after Ctrl-C, or its config has more epochs now.
        halted = self.state in HALTED_STATES or (
            self.results is not None and self.state == "finished"
        )
        return halted and (self.last_path.is_file() or self.has_no_progress)

    @property
    def has_no_progress(self) -> bool:
        """Whether it stopped before its first checkpoint, so that resuming it starts from scratch.

        A run that was copied without its checkpoints has a longer log.
        """
        if self.results is not None or self.last_path.is_file():
            return False
        epochs = self.status.epoch if self.status else 0
        return max(epochs, len(read_lines(self.path / "log.jsonl"))) <= 1

    @property
    def origin(self) -> Literal["trained", "imported", "combined"]:
        """Whether it was trained, imported or combined; an unreadable run counts as trained."""
        if isinstance(self.config, ImportedConfig):
            return "imported"
        return "combined" if isinstance(self.config, CombinedConfig) else "trained"

    @property
    def groups_unknown(self) -> bool:
        """Whether its images come in groups that its predictions do not store.

        Its intervals then treat images as independent; `fercore runs migrate` adds the groups.
        """
        if self.config is None or self.results is None or self.original_dataset is None:
            return False
        if any(result.groups for result in self.results.splits.values()):
            return False
        config = self.experiment
        copied = (
            config
            and config.augmentation.mode != "online"
            and config.protocol.copies == "before_split"
        )
        by_subject = self.config.protocol.split == "subjects"
        return by_subject or bool(copied) or has_groups(self.original_dataset.name)

    def grouping(self, result: SplitResult) -> str:
        """Return the groups of dependent images, for an interval: `by subject, 24 groups`.

        Empty where each image is independent; a caution where the groups are not known.
        """
        return result.grouping or (UNGROUPED if self.groups_unknown else "")

    def log(self) -> list[EpochLog]:
        """Read the per-epoch log, without an incomplete last line. Empty if there is none."""
        return read_log(self.path)

    def layers(self) -> list[LayerSummary]:
        """Read the layer table. Empty if there is none, or it cannot be read."""
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
        valid = are_predictions(ids, labels, probabilities)
        valid = valid and all(one is None or one.shape == ids.shape for one in (groups, unique))
        if valid and self.results:
            valid = probabilities.shape[1] == len(self.results.class_names)
        if not valid:
            return None
        return Predictions(ids, labels, probabilities.astype(np.float32), groups, kind, unique)

    @property
    def last_path(self) -> Path:
        """The state to resume from; it stays on the machine that trained, like the best weights."""
        return self.path / "checkpoints" / "last.npz"

    @property
    def best_path(self) -> Path:
        """The weights of the best epoch; they stay on the machine that trained."""
        return self.path / "checkpoints" / "best.npz"

    @property
    def keras_path(self) -> Path:
        """The Keras model that `fercore export` reads; it stays on the machine that trained."""
        return self.path / "checkpoints" / "model.keras"

    @property
    def onnx_path(self) -> Path | None:
        """The exported network, if there is one that belongs to these results."""
        path = self.path / "model.onnx"
        exported = self.results is None or self.results.onnx is not None
        return path if exported and path.is_file() else None


def full_size_epochs(log: Sequence[EpochLog]) -> list[EpochLog]:
    """Return the epochs at the largest image size: a checkpoint is selected among these."""
    largest = max((row.image_size or 0 for row in log), default=0)
    return [row for row in log if (row.image_size or 0) == largest]


def started(run: Run) -> float:
    """Return the start of a run in seconds since 1970; 0 if unknown or after the year 2200."""
    return run._started


def read_run(path: Path) -> Run:
    """Read one run directory. Never raises: `Run.problem` says why it cannot be read."""
    if problem := _find_obstacle(path):
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
    # Damage in these files does not affect the rest of the run.
    damaged: dict[str, str] = {}
    notes, unreadable = None, list[str]()
    if os.path.lexists(path / "notes.json"):
        notes = _read_record(path, "notes.json", Notes, unreadable)
    damaged |= {"notes.json": unreadable[0]} if unreadable else {}
    latency, latency_problem = _read_many(path / "latency.json", Latency)
    damaged |= {"latency.json": latency_problem} if latency_problem else {}
    damaged |= damage.find(path, results, trained=isinstance(config, ExperimentConfig))
    problem = "; ".join(problems)
    return Run(
        *(path, state, config, status, environment, results, problem, notes or Notes()),
        latency=tuple(latency),
        damaged=damaged,
    )


def read_log(path: Path) -> list[EpochLog]:
    """Read the per-epoch log of a run directory.

    Reading ends at an incomplete line, which a killed process leaves. Where an epoch occurs twice,
    because a run was resumed, the later line counts.
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


def _find_obstacle(path: Path) -> str:
    """Return why a folder cannot be read as a run at all, on one line; empty if it can."""
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
        pass  # reported below
    return _read_record(path, "config.json", kind, problems)


def _read_many(file: Path, kind: type[_RecordT]) -> tuple[list[_RecordT], str]:
    """Read a file that holds a list of records; return them and its problem, on one line.

    An absent file holds none, and has no problem.
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
