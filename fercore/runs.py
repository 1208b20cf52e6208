"""Run directories: find, list, read, check.

A run is a folder of open formats, described in the README; `fercore.recorder` writes it. The
reader meets a broken, foreign or half-written folder with a `problem`, never with an exception.
"""

import json
import math
import os.path
import re
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from fercore.config import CombinedConfig, ExperimentConfig, ImportedConfig
from fercore.data import exclusion
from fercore.data.splits import DatasetVersion
from fercore.errors import UserError
from fercore.records import (
    Environment,
    Latency,
    Layer,
    LogRow,
    Notes,
    Results,
    SplitResult,
    Status,
)

STALE_SECONDS = 30.0

_RecordT = TypeVar("_RecordT", bound=BaseModel)
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

ShownState = Literal["finished", "running", "stalled", "interrupted", "failed", "broken"]


@dataclass(frozen=True)
class Predictions:
    """What a run said about every sample of one split.

    Attributes:
        ids: `(n,)` unicode.
        labels: `(n,)` uint8.
        probabilities: `(n, k)` float32 in [0, 1], stored in half precision.
        unique: `(n,)` bool, the samples that `"test_unique"` is evaluated on; `None` on the
            validation split, and where a run of an earlier version does not store it.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    unique: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """One run directory, read. Parts that are absent or unreadable are `None`.

    A run equals none but itself: what follows from it can be kept by it, until it is read anew.

    Attributes:
        path: the folder.
        state: `"stalled"` is a run that says it is running but has not said so for 30 seconds;
            `"broken"` is a folder that is no run, or one whose files cannot be read.
        problem: one line that says what is wrong, empty if nothing is.
        notes: what people say of it.
        latency: of its network, one entry for each machine that it was measured on.
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

    @cached_property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

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
    def origin(self) -> Literal["trained", "imported", "combined"]:
        """Where it comes from; a run that cannot be read counts as trained."""
        if isinstance(self.config, ImportedConfig):
            return "imported"
        return "combined" if isinstance(self.config, CombinedConfig) else "trained"

    def log(self) -> list[LogRow]:
        """The per-epoch log, without a torn last line. Empty if there is none."""
        return read_log(self.path)

    def layers(self) -> list[Layer]:
        """The layer table. Empty if there is none, or it cannot be read."""
        try:
            rows = json.loads((self.path / "layers.json").read_bytes())
            return [Layer.model_validate(row) for row in rows]
        except (OSError, ValueError, TypeError):
            return []

    def predictions(self, split: str) -> Predictions | None:
        """Return the predictions on `"validation"` or `"test"`; `None` if none can be read.

        Where both splits hold the same samples, the predictions are stored once, as `"test"`.
        """
        if split == "validation" and self.config and self.config.protocol.selects_on_test_samples:
            split = "test"
        try:
            path = self.path / "predictions.npz"
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                ids, labels = stored[f"{split}_ids"], stored[f"{split}_labels"]
                probabilities = stored[f"{split}_probabilities"].astype(np.float32)
                name = f"{split}_unique"
                unique = stored[name].astype(bool) if name in stored else None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None
        whole = probabilities.ndim == 2 and ids.shape == labels.shape == probabilities.shape[:1]
        whole = whole and (unique is None or unique.shape == ids.shape)
        if whole and self.results:
            whole = probabilities.shape[1] == len(self.results.class_names)
        if not whole:
            return None
        return Predictions(ids, labels, probabilities, unique)

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
    runs = [read_run(folder) for folder in folders if folder.is_dir()]
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
    """When a run began, in seconds since 1970; 0 if it does not say."""
    try:
        return datetime.fromisoformat(run.environment.started).timestamp() if run.environment else 0
    except ValueError:
        return 0


def find_run(root: Path, run_id: str) -> Run:
    """The run of that name under the runs root, or at that path.

    Raises:
        UserError: if there is none, or the name would leave the root.
    """
    given = Path(run_id)
    if given.is_dir() and (given / "config.json").is_file():
        return read_run(given.absolute())
    if _RUN_ID.fullmatch(run_id) and (root / run_id).is_dir():
        return read_run(root / run_id)
    raise UserError(
        f"received the run {run_id!r}, expected a folder under {root}; "
        "`fercore runs list` says what is there"
    )


def read_run(path: Path) -> Run:
    """Read one run directory. Never raises: what is wrong with it stands in `problem`."""
    if not os.path.isfile(path / "config.json"):
        return Run(path, "broken", problem="no config.json: not a run directory of this package")
    problems: list[str] = []
    config = _read_config(path, problems)
    status = _read_record(path, "status.json", Status, problems)
    environment = _read_record(path, "environment.json", Environment, problems)
    results = None
    if os.path.isfile(path / "results.json"):
        results = _read_record(path, "results.json", Results, problems)
    state: ShownState
    if problems:
        state = "broken"
    elif results is not None:
        # A resumed run keeps its old results beside it until it has new ones.
        state = "running" if status and _alive(status) else "finished"
    else:
        assert status is not None  # no problem was found, so it was read
        state = status.state
        if state == "running" and not _alive(status):
            state = "stalled"
        elif state == "finished":
            state, problems = "broken", ["results.json is missing"]
    notes = None
    if os.path.isfile(path / "notes.json"):
        # Unreadable notes take nothing from the run.
        notes = _read_record(path, "notes.json", Notes, [])
    latency = _read_latency(path)
    problem = "; ".join(problems)
    return Run(
        path, state, config, status, environment, results, problem, notes or Notes(), latency
    )


def read_log(path: Path) -> list[LogRow]:
    """The per-epoch log of a run directory.

    A torn line (the last one of a run that was killed while it wrote) ends the reading. Where an
    epoch stands twice, because a run was resumed, the later line counts.
    """
    rows: dict[int, LogRow] = {}
    try:
        with (path / "log.jsonl").open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
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
    for number, line in enumerate(_lines(path / "log.jsonl"), start=1):
        try:
            LogRow.model_validate_json(line)
        except ValidationError as error:
            problems.append(f"log.jsonl, line {number}: {_short(error)}")
    results = run.results
    if results is None:
        return [*problems, f"not finished: {run.state}"]
    if run.experiment is None:
        pass  # an imported run may come without a network, a combined one is several
    elif not run.layers():
        problems.append("layers.json is missing or unreadable")
    elif sum(layer.parameters for layer in run.layers()) != results.parameters:
        problems.append("layers.json: its parameters do not add up to those of results.json")
    for split, result in results.splits.items():
        problems += _contradictions(split, result)
    for split in ("validation", "test"):
        if split not in results.splits and split != "test":
            continue
        said = run.predictions(split)
        if said is None:
            problems.append(f"predictions.npz: {split} is missing, unreadable or of another shape")
        elif split in results.splits and not _tells(said, results.splits[split]):
            problems.append(f"predictions.npz: {split} gives another matrix than results.json")
    said, unique = run.predictions("test"), results.splits.get("test_unique")
    if said is not None and said.unique is not None and unique is not None:
        keep = said.unique
        kept = Predictions(said.ids[keep], said.labels[keep], said.probabilities[keep])
        if not _tells(kept, unique):
            problems.append("predictions.npz: test_unique gives another matrix than results.json")
    return problems


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


def _alive(status: Status) -> bool:
    return status.state == "running" and time.time() - status.heartbeat < STALE_SECONDS


def _read_config(
    path: Path, problems: list[str]
) -> ExperimentConfig | ImportedConfig | CombinedConfig | None:
    kind: type[ExperimentConfig] | type[ImportedConfig] | type[CombinedConfig] = ExperimentConfig
    try:
        fields = json.loads((path / "config.json").read_bytes())
        if "imported" in fields:
            kind = ImportedConfig
        elif "combined" in fields:
            kind = CombinedConfig
    except (OSError, ValueError, TypeError):
        pass  # said below
    return _read_record(path, "config.json", kind, problems)


def _read_latency(path: Path) -> tuple[Latency, ...]:
    try:
        entries = json.loads((path / "latency.json").read_bytes())
        return tuple(Latency.model_validate(entry) for entry in entries)
    except (OSError, ValueError, TypeError):
        return ()


def _read_record(
    path: Path, file: str, kind: type[_RecordT], problems: list[str]
) -> _RecordT | None:
    try:
        return kind.model_validate_json((path / file).read_bytes())
    except FileNotFoundError:
        problems.append(f"{file} is missing")
    except OSError as error:
        problems.append(f"{file} cannot be read ({error.strerror})")
    except ValidationError as error:
        problems.append(f"{file}: {_short(error)}")
    return None


def _short(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return f"{where}: {problem['msg']}" if where else problem["msg"]


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []
