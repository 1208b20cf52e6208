"""Run directories: find, list, read, check.

A run is a folder of open formats, described in the README; `fercore.recorder` writes it. The
reader meets a broken, foreign or half-written folder with a `problem`, never with an exception.
"""

import io
import math
import os.path
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from fercore import bounded_json, damage, locks, metrics
from fercore.bounded_npz import BoundedNpz
from fercore.config import CombinedConfig, ExperimentConfig, ImportedConfig
from fercore.data import exclusion, names_groups
from fercore.data.splits import GROUP_KINDS, DatasetVersion
from fercore.errors import UserError
from fercore.files import read_regular
from fercore.names import storable_name
from fercore.records import (
    UNGROUPED,
    Environment,
    Latency,
    Layer,
    LogRow,
    Notes,
    Results,
    SplitResult,
    Status,
)

# A trainer writes `status.json` every 5 seconds; a network file system may show that a minute late.
SILENT_SECONDS = 120.0
# A file that was written so long after the heartbeat in it is a copy.
_COPY_SECONDS = 3600.0

_YEAR_2200 = 7_258_118_400  # in seconds since 1970; later times overflow in pandas
_RecordT = TypeVar("_RecordT", bound=BaseModel)
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

ShownState = Literal[
    "starting", "running", "finished", "stalled", "interrupted", "failed", "diverged", "broken"
]
# The states of a run whose process says that it is at work, and those of one that can go on.
_ACTIVE = ("starting", "running")
_HALTED = ("interrupted", "stalled", "failed")


@dataclass(frozen=True)
class Predictions:
    """What a run said about every sample of one split.

    Attributes:
        ids: `(n,)` unicode.
        labels: `(n,)` uint8.
        probabilities: `(n, k)` float32 in [0, 1], stored in half precision.
        groups: `(n,)` unicode, the independent unit of each sample, see `Split.units`; `None` where
            each sample stands for itself, and in runs of earlier versions.
        group_kind: such as `"subject"`; empty without groups.
        unique: `(n,)` bool, the samples that `"test_unique"` is evaluated on; `None` on the
            validation split, and where a run of an earlier version does not store it.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    groups: NDArray[np.str_] | None = None
    group_kind: str = ""
    unique: NDArray[np.bool_] | None = None

    def take(self, keep: NDArray[np.bool_]) -> "Predictions":
        """Return the samples that a mask of `(n,)` bool keeps."""
        return Predictions(
            self.ids[keep],
            self.labels[keep],
            self.probabilities[keep],
            None if self.groups is None else self.groups[keep],
            self.group_kind,
            None if self.unique is None else self.unique[keep],
        )


def common_groups(
    known: Iterable[tuple[NDArray[Any] | None, str]],
) -> tuple[NDArray[Any] | None, str]:
    """Return the groups of samples that several runs have evaluated, and their kind.

    Runs that know no groups, such as those of earlier versions, take those of the others. Where
    the groups differ, samples that any of the runs holds together stay together.

    Args:
        known: groups and kind in each run, of the same samples in the same order.

    Returns:
        `(n,)` names or numbers and the coarsest of the kinds; `None` and no kind if no run knows
        groups.
    """
    found = [(groups, kind) for groups, kind in known if groups is not None]
    if not found:
        return None, ""
    merged: NDArray[Any] = found[0][0]
    for groups, _ in found[1:]:
        if groups is not merged and not np.array_equal(groups, merged):
            merged = metrics.merge_groups(merged, groups)
    rank = {kind: place for place, kind in enumerate(GROUP_KINDS)}
    return merged, min((kind for _, kind in found), key=lambda kind: rank.get(kind, len(rank)))


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
    def ended(self) -> bool:
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
        return self.state in _ACTIVE

    @property
    def can_resume(self) -> bool:
        """Whether it stopped before its end and `fercore train --resume` can go on with it here."""
        if self.experiment is None or self.ended:
            return False
        # One with results was evaluated after Ctrl-C, or its config asks for more epochs now.
        halted = self.state in _HALTED or (self.results is not None and self.state == "finished")
        return halted and (self.last_path.is_file() or self.has_no_progress)

    @property
    def has_no_progress(self) -> bool:
        """Whether it stopped before its first checkpoint, so that a resumption begins anew.

        A run that lacks its checkpoints because it was copied without them has a longer log.
        """
        if self.results is not None or self.last_path.is_file():
            return False
        epochs = self.status.epoch if self.status else 0
        return max(epochs, len(_lines(self.path / "log.jsonl"))) <= 1

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
        return by_subject or bool(copied) or names_groups(self.original_dataset.name)

    def grouping(self, result: SplitResult) -> str:
        """Return what its images share, for an interval: `by subject, 24 groups`.

        Empty where each image stands for itself; a caution where the groups are not known.
        """
        return result.grouping or (UNGROUPED if self.groups_unknown else "")

    def log(self) -> list[LogRow]:
        """The per-epoch log, without a torn last line. Empty if there is none."""
        return read_log(self.path)

    def layers(self) -> list[Layer]:
        """The layer table. Empty if there is none, or it cannot be read."""
        return _read_many(self.path / "layers.json", Layer)[0]

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
        whole = _are_predictions(ids, labels, probabilities)
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


def list_runs(root: Path) -> list[Run]:
    """Every folder under the runs root, newest first, broken and foreign ones included.

    Hidden folders and plain files are passed over. An absent root holds no runs.
    """
    try:
        folders = [entry for entry in root.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return []
    runs = [read_run(folder) for folder in folders if os.path.isdir(folder)]
    return sorted(runs, key=lambda run: (started(run), run.id), reverse=True)


def trained(config: ExperimentConfig, runs: Sequence[Run]) -> list[tuple[ExperimentConfig, Run]]:
    """The runs of an experiment that were trained to their end, as they stand, the newest last.

    Args:
        config: the experiment, of whatever seed and fold.
        runs: any.

    Returns:
        Each with its own config, all on the version of the dataset that the newest is on: figures
        on others have no mean in common.
    """
    found = [
        (run.experiment, run)
        for run in sorted(runs, key=_finished)
        if run.ended and run.experiment and run.experiment.trains_like(config)
    ]
    if config.protocol.exclude is not None:
        # The file may have changed since: only runs without the images that it names now count.
        with suppress(UserError):
            now = exclusion.read(config.protocol.exclude).sha256
            found = [pair for pair in found if _images_of(pair[1])[1] == now]
    return [(own, run) for own, run in found if _images_of(run) == _images_of(found[-1][1])]


def newest_of_each_seed(runs: Sequence[Run]) -> dict[tuple[int, int, int], Run]:
    """Return the newest run of each seed and fold: a seed that is trained again counts once.

    Args:
        runs: of one experiment; those that were not trained here are left out.

    Returns:
        By seed of the training, seed of the division and fold, in that order.
    """
    newest: dict[tuple[int, int, int], Run] = {}
    for run in sorted(runs, key=_finished):
        if run.experiment:
            newest[(run.experiment.seed, *run.experiment.protocol.division)] = run
    return dict(sorted(newest.items()))


def _finished(run: Run) -> tuple[str, float, str]:
    return run.results.finished if run.results else "", started(run), run.id


def _images_of(run: Run) -> tuple[str, str | None]:
    """The version of the dataset that a run saw, and of the list of images that it excluded."""
    known = run.environment
    return (known.dataset_fingerprint, known.excluded_sha256) if known else ("", None)


def full_size_epochs(log: Sequence[LogRow]) -> list[LogRow]:
    """Return the epochs at the largest image size: a checkpoint is chosen among these."""
    largest = max((row.image_size or 0 for row in log), default=0)
    return [row for row in log if (row.image_size or 0) == largest]


def started(run: Run) -> float:
    """When a run began, in seconds since 1970; 0 if it does not say, or names a year after 2200."""
    return run._started


def find_run(root: Path, run_id: str) -> Run:
    """The run of that name under the runs root, or at that path.

    Raises:
        UserError: if there is none, or the name would leave the root.
    """
    given = Path(run_id)
    if os.path.isfile(given / "config.json"):
        return read_run(given.absolute())
    if _RUN_ID.fullmatch(run_id) and os.path.isdir(root / run_id):
        return read_run(root / run_id)
    raise UserError(
        f"received the run {run_id!r}, expected a folder under {root}; "
        "`fercore runs list` says what is there"
    )


def read_run(path: Path) -> Run:
    """Read one run directory. Never raises: what is wrong with it stands in `problem`."""
    if problem := _no_run(path):
        return Run(path, "broken", problem=problem)
    problems: list[str] = []
    config = _read_config(path, problems)
    status = _read_record(path, "status.json", Status, problems)
    environment = None
    if not (status and _lacks_environment(path, status)):
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
            state = _active_state(status)
    else:
        assert status is not None  # no problem was found, so it was read
        state = status.state
        if claims_activity(status):
            if is_alive(path, status):
                state = _active_state(status)
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


def read_log(path: Path) -> list[LogRow]:
    """The per-epoch log of a run directory.

    A torn line (the last one of a run that was killed while it wrote) ends the reading. Where an
    epoch stands twice, because a run was resumed, the later line counts.
    """
    rows: dict[int, LogRow] = {}
    try:
        for line in io.BytesIO(read_regular(path / "log.jsonl", damage.MAX_LOG_BYTES)):
            if not line.endswith(b"\n"):
                break
            bounded_json.require_bounded(line)
            row = LogRow.model_validate_json(line)
            rows[row.epoch] = row
    except (OSError, ValueError):
        pass
    return [rows[epoch] for epoch in sorted(rows)]


def check_run(path: Path) -> list[str]:
    """Everything that is wrong with a finished run directory, one line each; empty if nothing."""
    problems: list[str] = []
    run = read_run(path)
    if run.problem:
        return [run.problem]
    problems += run.warnings
    for number, line in enumerate(_lines(path / "log.jsonl"), start=1):
        try:
            bounded_json.require_bounded(line)
            LogRow.model_validate_json(line)
        except ValidationError as error:
            problems.append(f"log.jsonl, line {number}: {damage.describe(error)}")
        except ValueError as error:
            problems.append(f"log.jsonl, line {number}: {error}")
        if len(problems) >= damage.MAX_LISTED:
            break
    results = run.results
    if results is None:
        return [*problems, f"not finished: {run.state}"]
    if run.experiment is None:
        pass  # an imported run may come without a network, a combined one is several
    else:
        if "layers.json" not in run.damaged and results.parameters != sum(
            layer.parameters for layer in run.layers()
        ):
            problems.append("layers.json: its parameters do not add up to those of results.json")
        if "log.jsonl" not in run.damaged and (epochs := len(run.log())) != results.epochs_run:
            problems.append(f"log.jsonl: {epochs} epochs, results.json has {results.epochs_run}")
    for split, result in results.splits.items():
        problems += _contradictions(split, result)
    for split in ("validation", "test"):
        if split not in results.splits and split != "test":
            continue
        said = run.predictions(split)
        if said is None and "predictions.npz" in run.damaged:
            continue  # named above
        if said is None:
            problems.append(f"predictions.npz: {split} is missing, unreadable or of another shape")
        elif split in results.splits and not _tells(said, results.splits[split]):
            problems.append(f"predictions.npz: {split} gives another matrix than results.json")
        elif split in results.splits and not _same_groups(said, results.splits[split]):
            problems.append(f"predictions.npz: {split} has other groups than results.json")
    if results.onnx and run.onnx_path and "model.onnx" not in run.damaged:
        problems += filter(None, [damage.check_network(run.onnx_path, results.onnx)])
    said, unique = run.predictions("test"), results.splits.get("test_unique")
    if said is not None and said.unique is not None:
        kept = said.take(said.unique)
        if unique is not None and not _tells(kept, unique):
            problems.append("predictions.npz: test_unique gives another matrix than results.json")
    return problems


def check_notes(path: Path) -> list[str]:
    """What `check_run` could not compare, one line each; empty if nothing."""
    run = read_run(path)
    onnx = run.results.onnx if run.results else None
    if onnx is None or onnx.sha256 is not None or run.onnx_path is None:
        return []
    return [
        "results.json holds no SHA-256 of model.onnx, which an earlier version exported: its size "
        "and its structure were compared, not its weights"
    ]


def _contradictions(split: str, result: SplitResult) -> Iterator[str]:
    """What an evaluation says that its matrix does not."""
    matrix = np.asarray(result.confusion)
    if matrix.sum() != result.n:
        yield f"results.json: {split} has n = {result.n}, its matrix {matrix.sum()}"
    elif not math.isclose(right := np.trace(matrix) / result.n, result.accuracy, abs_tol=1e-9):
        yield f"results.json: {split} has accuracy {result.accuracy}, its matrix {right}"


def _tells(said: Predictions, result: SplitResult) -> bool:
    """Whether predictions give an evaluation's matrix, over the classes that it judges."""
    matrix = np.asarray(result.confusion)
    if (
        said.probabilities.shape[1] != len(matrix)
        or not np.isin(said.labels, range(len(matrix))).all()
    ):
        return False
    found = np.zeros_like(matrix)
    np.add.at(found, (said.labels, said.probabilities.argmax(axis=1)), 1)
    judged = matrix.any(axis=1)
    return bool((found[judged] == matrix[judged]).all())


def _same_groups(said: Predictions, result: SplitResult) -> bool:
    """Whether predictions come in as many groups as an evaluation says, of the same kind."""
    if said.groups is None or result.groups is None:
        return said.groups is None and result.groups is None
    classes = np.flatnonzero(np.asarray(result.confusion).any(axis=1))
    judged = np.isin(said.labels, classes)
    return (
        len(np.unique(said.groups[judged])) == result.groups
        and said.group_kind == result.group_kind
    )


def claims_activity(status: Status) -> bool:
    """Return whether a run says that it is starting or running, be it true or not."""
    return status.state in _ACTIVE


def is_alive(path: Path, status: Status) -> bool:
    """Return whether a run that says it is starting or running is so.

    Args:
        path: the run directory.
        status: what its `status.json` holds.
    """
    if not claims_activity(status):
        return False
    if status.locked:
        held = locks.is_held(path)
        if held:
            return True
        if held is False and lock_decides(status):
            return False
    return gives_signs_of_life(path, status)


def gives_signs_of_life(path: Path, status: Status) -> bool:
    """Return whether a run's `status.json` was written lately, where its lock tells nothing.

    The clock of the machine that trains may be wrong, so only the file system's counts.
    """
    file = path / "status.json"
    try:
        copied = os.stat(file).st_mtime - status.heartbeat > _COPY_SECONDS
        return not copied and locks.seconds_since_written(file) < SILENT_SECONDS
    except OSError:
        return False


def lock_decides(status: Status) -> bool:
    """Whether a lock that nobody holds means that the process is gone.

    Of a process on another machine it does not: some network file systems keep locks to a machine.
    """
    return status.locked and status.host == locks.HOST


def _active_state(status: Status) -> Literal["starting", "running"]:
    # Earlier versions began as "running".
    return "starting" if "starting" in (status.state, status.phase) else "running"


def _lacks_environment(path: Path, status: Status) -> bool:
    """Whether a run has no `environment.json` because it has not got, or never got, that far."""
    names = ("environment.json", "results.json")
    if any(os.path.isfile(path / name) for name in names):
        return False
    begun = status.state in {"running", "finished"} and status.phase != "starting"
    return not begun


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


def _lines(path: Path) -> list[bytes]:
    try:
        return read_regular(path, damage.MAX_LOG_BYTES).splitlines()
    except OSError:
        return []


def _are_predictions(ids: NDArray[Any], labels: NDArray[Any], probabilities: NDArray[Any]) -> bool:
    """Whether arrays of an unknown file have the types and shapes of predictions."""
    if (ids.dtype.kind, probabilities.dtype.kind) != ("U", "f") or labels.dtype.kind not in "iu":
        return False
    if ids.ndim != 1 or probabilities.ndim != 2 or not ids.size or not probabilities.size:
        return False
    if not ids.shape == labels.shape == probabilities.shape[:1]:
        return False
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        return False
    points = np.ascontiguousarray(ids).view(ids.dtype.byteorder.replace("|", "=") + "u4")
    surrogates = (points >= 0xD800) & (points < 0xE000)
    return bool(points.max() <= sys.maxunicode and not surrogates.any())
