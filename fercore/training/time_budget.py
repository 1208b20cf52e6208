"""Time budgets: how long a training takes, and how much of it fits into the time that is left.

Nothing here imports a deep-learning framework or starts a training. All durations are in seconds.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Protocol

from fercore import machine
from fercore.config.experiment import ExperimentConfig
from fercore.data.registry import native_size
from fercore.runs.listing import completed_runs
from fercore.runs.reader import Run, started
from fercore.runs.schema import EpochLog
from fercore.training import schedules

# From the start of the process to the first step: imports, mostly.
STARTUP_SECONDS = 20.0
# Kept for evaluation and export, at least.
MIN_RESERVE = 20.0
# No job of unknown duration is started with less.
MIN_START = 60.0
# The epoch time is measured over these; the first includes compilation and does not count.
MEASURED_EPOCHS = 3
# Within the first epochs, time is measured over at least so many calls after the first one.
MEASURED_CALLS = 3
# Allowance for epochs that take longer than those measured.
MARGIN = 1.05
# Exit status of `fercore train --minutes` where not even a shortened schedule fits.
DOES_NOT_FIT = 3
# A schedule is not cut to less than this share of its epochs.
MIN_SHARE = 0.25


class _Progress(Protocol):
    """What is read of `fercore.training.callbacks.Progress`, which needs Keras to be imported."""

    @property
    def phase(self) -> str: ...

    @property
    def epoch(self) -> int: ...

    @property
    def step(self) -> int: ...

    @property
    def steps(self) -> int: ...

    @property
    def row(self) -> EpochLog | None: ...


@dataclass(frozen=True)
class Device:
    """What this machine trains on, as runs record it.

    Attributes:
        names: of the processor, and of the GPUs if there are any.
        backend: the Keras backend.
        cores: processor cores that the process may use.
    """

    names: frozenset[str]
    backend: str
    cores: int

    def trained(self, run: Run) -> bool:
        """Whether a run was trained on such a device."""
        found = run.environment
        return found is not None and (
            # One that was resumed on another machine has epochs of both.
            all(device in self.names for device in found.devices)
            and (found.backend, found.cores) == (self.backend, self.cores)
            and all(
                (own.backend, own.cores) == (self.backend, self.cores) for own in found.sessions
            )
        )


def this_device() -> Device:
    """The device of this machine, without asking Keras."""
    query = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    gpus = machine.output(*query).splitlines()
    several = (", ".join(gpus[:count]) for count in range(1, len(gpus) + 1))
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    return Device(frozenset({machine.cpu_name(), *several}), backend, machine.count_cores())


def short_name(experiment: str) -> str:
    """The name of a run of an experiment whose schedule was shortened to fit a budget."""
    return f"{experiment}-short"


def shortened(config: ExperimentConfig, epochs: int) -> dict[str, str | int]:
    """The fields of a config that differ where its schedule is shortened to so many epochs."""
    title = f"{config.title}, shortened from {config.epochs} to {epochs} epochs"
    return {"name": short_name(config.name), "title": title, "epochs": epochs}


def known_duration(config: ExperimentConfig, runs: Sequence[Run], device: Device) -> float | None:
    """Seconds that a run of an experiment takes from start to end, start-up included.

    Args:
        config: the experiment.
        runs: any.
        device: that it would be trained on.

    Returns:
        The median over the finished runs of the experiment on the same device; without any, what
        the epochs of its shortened runs there say; `None` if nothing is known.
    """
    totals = [
        run.results.train_seconds + overhead
        for _, run in completed_runs(config, runs)
        if device.trained(run) and run.results and run.results.train_seconds
        if (overhead := _overhead(run)) is not None
    ]
    if not totals:
        totals = [
            config.epochs * statistics.fmean(row.seconds + row.val_seconds for row in rows)
            + overhead
            for run in runs
            if run.experiment and run.experiment.name == short_name(config.name)
            if device.trained(run) and (rows := run.log())
            if (overhead := _overhead(run)) is not None
        ]
    return STARTUP_SECONDS + statistics.median(totals) if totals else None


def known_reserve(config: ExperimentConfig, runs: Sequence[Run], device: Device) -> float | None:
    """Seconds that finished runs of an experiment on the same device needed beside training.

    Preparation, evaluation and export; `None` if there is no such run.
    """
    found = [_overhead(run) for _, run in completed_runs(config, runs) if device.trained(run)]
    return min((seconds for seconds in found if seconds is not None), default=None)


def expected_epochs(config: ExperimentConfig, runs: Sequence[Run]) -> int:
    """Epochs that a run will have: where training may stop early, the median of finished runs."""
    counts = [run.results.epochs_run for _, run in completed_runs(config, runs) if run.results]
    if not counts or not config.early_stopping.patience:
        return config.epochs
    return min(math.ceil(statistics.median(counts)), config.epochs)


def epochs_that_fit(seconds: float, epoch_seconds: float, epochs: int) -> int:
    """How many epochs fit, if they are at least a quarter of the schedule; otherwise 0.

    Args:
        seconds: left for training.
        epoch_seconds: of one epoch.
        epochs: of the full schedule.
    """
    fitting = min(int(seconds / epoch_seconds), epochs) if seconds > 0 else 0
    return fitting if fitting >= max(1, epochs * MIN_SHARE) else 0


class ScheduleTooLong(Exception):
    """The full schedule does not fit into the time that is left.

    Attributes:
        epochs: that fit, if they are at least a quarter of the schedule; otherwise 0.
    """

    def __init__(self, epochs: int, reason: str):
        super().__init__(reason)
        self.epochs = epochs


class TrainingBudget:
    """Ends a training in time. Pass `on_progress` to `fercore.training.trainer.train`.

    After the third epoch it compares the epochs to come, at the median time of the second and
    third, with what is left when evaluation and export have had their share. If they do not fit,
    it raises `ScheduleTooLong`. It does so earlier if the steps show that not even a quarter of
    them fits. When time is up, it raises `KeyboardInterrupt`, on which the trainer evaluates the
    last saved epoch.

    Args:
        seconds: left, from now, for all of it.
        epochs: that the run is expected to have.
        epoch_cost: mean time of its epochs relative to the first ones; above 1 where images grow.
        reserve: for evaluation and export; estimated from the first epochs if absent.
        may_give_up: whether `ScheduleTooLong` may be raised. A run that is resumed is never given
            up: what it has trained so far is kept.
        clock: seconds, as of `time.monotonic`.
    """

    def __init__(
        self,
        seconds: float,
        epochs: int,
        *,
        epoch_cost: float = 1.0,
        reserve: float | None = None,
        may_give_up: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._clock = clock
        self._deadline = clock() + seconds
        self._epochs = epochs
        self._epoch_cost = epoch_cost
        self._reserve_known = reserve is not None
        self._reserve = max(MIN_RESERVE, reserve or 0.0)
        self._may_give_up = self._may_shorten = may_give_up
        # When training began, and when each epoch of this process ended.
        self._times = [clock()]
        # When each call of the compiled function ended, and how many epochs were done by then.
        self._calls: list[tuple[float, float]] = []

    def restart(self) -> None:
        """Begin again with a shortened schedule, which is not shortened once more."""
        self._times = [self._clock()]
        self._may_shorten = False

    def on_progress(self, progress: _Progress) -> None:
        """Check the time.

        Raises:
            ScheduleTooLong: if the run should be given up.
            KeyboardInterrupt: if training should end now.
        """
        now = self._clock()
        if progress.phase != "training":
            if len(self._times) == 1:  # what comes before the first step
                self._times = [now]
            return
        if progress.row is not None:
            self._times.append(now)
            if len(self._times) == MEASURED_EPOCHS + 1:
                self._check_schedule(progress.row, now)
        left = self._deadline - self._reserve - now
        if progress.row is None and self._may_shorten and len(self._times) <= MEASURED_EPOCHS:
            self._check_steps(progress, now, left)
        if left <= 0:
            if len(self._times) == 1 and self._may_give_up:
                raise ScheduleTooLong(0, "not one epoch fits")
            raise KeyboardInterrupt

    def _check_steps(self, progress: _Progress, now: float, left: float) -> None:
        """Give up early where epochs are so long that three of them would waste the time."""
        self._calls.append((now, progress.epoch + progress.step / progress.steps))
        if len(self._calls) <= MEASURED_CALLS:
            return
        # The fastest call: others may include compilation, of the last batch too.
        epoch_seconds = min(
            (end - start) / (after - before)
            for (start, before), (end, after) in pairwise(self._calls)
        )
        # Steps are a rough measure, so a schedule twice as long is still given a chance.
        least = epoch_seconds * self._epoch_cost * self._epochs * MIN_SHARE
        if least > 2 * left:
            raise ScheduleTooLong(
                0,
                f"a quarter of its {self._epochs} epochs needs about {least / 60:.1f} minutes, "
                f"{max(left, 0) / 60:.1f} are left for training",
            )

    def _check_schedule(self, row: EpochLog, now: float) -> None:
        durations = [after - before for before, after in pairwise(self._times)]
        epoch_seconds = MARGIN * statistics.median(durations[1:])
        compilation = max(durations[0] - epoch_seconds, 0.0)
        if not self._reserve_known:
            # The network is built and its forward pass compiled again; it predicts several splits.
            self._reserve = max(MIN_RESERVE, compilation / 2 + 4 * row.val_seconds)
        left = self._deadline - self._reserve - now
        needed = epoch_seconds * (self._epoch_cost * self._epochs - MEASURED_EPOCHS)
        if needed <= left or not self._may_shorten:
            return
        raise ScheduleTooLong(
            epochs_that_fit(left - compilation, epoch_seconds * self._epoch_cost, self._epochs),
            f"its {self._epochs} epochs need about {needed / 60:.1f} more minutes, "
            f"{max(left, 0) / 60:.1f} are left for training",
        )


def budget_for(
    config: ExperimentConfig, seconds: float, runs: Sequence[Run], *, resumed: bool
) -> TrainingBudget:
    """The budget of one training on this machine.

    Args:
        config: the experiment.
        seconds: left, from now.
        runs: finished ones, from which the reserve is estimated.
        resumed: whether the run goes on with one that was interrupted.
    """
    costs = schedules.epoch_costs(config, config.image.size or native_size(config.dataset) or 48)
    return TrainingBudget(
        seconds,
        expected_epochs(config, runs),
        epoch_cost=statistics.fmean(costs) / costs[0],
        reserve=known_reserve(config, runs, this_device()),
        may_give_up=not resumed,
    )


def _overhead(run: Run) -> float | None:
    """Seconds of a finished run that were not training, bounded: it may have been resumed."""
    results = run.results
    if results is None or not results.train_seconds or not started(run):
        return None
    try:
        finished = datetime.fromisoformat(results.finished).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    beside = finished - started(run) - results.train_seconds
    return min(max(beside, 0.0), max(60.0, results.train_seconds / 10))
