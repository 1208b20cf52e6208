"""Time budgets: estimate the duration of a training, and end it in time.

This module imports no deep-learning framework and starts no training. All durations are in seconds.
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

# Time from the start of the process to the first step, mostly imports.
STARTUP_SECONDS = 20.0
# Smallest time reserved for evaluation and export.
MIN_RESERVE = 20.0
# A job of unknown duration is not started with less time.
MIN_START = 60.0
# The epoch time is measured over these epochs, without the first, which includes compilation.
MEASURED_EPOCHS = 3
# Within the first epochs, time is measured over at least this many calls after the first one.
MEASURED_CALLS = 3
# Factor on the measured epoch time, since later epochs may take longer.
MARGIN = 1.05
# Exit status of `fercore train --minutes` if not even a shortened schedule fits.
DOES_NOT_FIT = 3
# A schedule is not shortened to less than this fraction of its epochs.
MIN_SHARE = 0.25


class _Progress(Protocol):
    """The part of `fercore.training.callbacks.Progress` in use; importing it would import Keras."""

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
    """The device of this machine, as runs record it.

    Attributes:
        names: the names of the processor and of the GPUs, if there are any.
        backend: the Keras backend.
        cores: number of processor cores that the process may use.
    """

    names: frozenset[str]
    backend: str
    cores: int

    def has_trained(self, run: Run) -> bool:
        """Return whether a run was trained on such a device only."""
        environment = run.environment
        if environment is None:
            return False
        expected = (self.backend, self.cores)
        return (
            all(device in self.names for device in environment.devices)
            and (environment.backend, environment.cores) == expected
            # A run that was resumed on another machine has epochs of both.
            and all(
                (session.backend, session.cores) == expected for session in environment.sessions
            )
        )


def current_device() -> Device:
    """Return the device of this machine, without an import of Keras."""
    query = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    gpus = machine.command_output(*query).splitlines()
    # A training on several GPUs records all of their names as one.
    gpu_names = (", ".join(gpus[:count]) for count in range(1, len(gpus) + 1))
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    return Device(frozenset({machine.cpu_name(), *gpu_names}), backend, machine.count_cores())


def shortened_name(experiment: str) -> str:
    """Return the name of an experiment whose schedule was shortened to fit a budget."""
    return f"{experiment}-short"


def shortened_fields(config: ExperimentConfig, epochs: int) -> dict[str, str | int]:
    """Return the fields of a config that change if its schedule is shortened to `epochs`."""
    title = f"{config.title}, shortened from {config.epochs} to {epochs} epochs"
    return {"name": shortened_name(config.name), "title": title, "epochs": epochs}


def estimate_duration(
    config: ExperimentConfig, runs: Sequence[Run], device: Device
) -> float | None:
    """Estimate the duration of a run of an experiment, start-up included.

    Args:
        config: the experiment.
        runs: any runs; those of other experiments or devices are ignored.
        device: the device of the training.

    Returns:
        The median over the finished runs of the experiment on the same device. If there are none,
        an estimate from the epochs of its shortened runs on that device. `None` if there are none
        of these either.
    """
    totals = [
        run.results.train_seconds + overhead
        for _, run in completed_runs(config, runs)
        if device.has_trained(run) and run.results and run.results.train_seconds
        if (overhead := _overhead(run)) is not None
    ]
    if not totals:
        totals = [
            config.epochs * statistics.fmean(row.seconds + row.val_seconds for row in rows)
            + overhead
            for run in runs
            if run.experiment and run.experiment.name == shortened_name(config.name)
            if device.has_trained(run) and (rows := run.log())
            if (overhead := _overhead(run)) is not None
        ]
    return STARTUP_SECONDS + statistics.median(totals) if totals else None


def estimate_reserve(config: ExperimentConfig, runs: Sequence[Run], device: Device) -> float | None:
    """Estimate the time that a run needs for preparation, evaluation and export.

    Returns:
        The minimum over the finished runs of the experiment on the same device; `None` if there is
        no such run.
    """
    overheads = [
        _overhead(run) for _, run in completed_runs(config, runs) if device.has_trained(run)
    ]
    return min((seconds for seconds in overheads if seconds is not None), default=None)


def estimate_epochs(config: ExperimentConfig, runs: Sequence[Run]) -> int:
    """Estimate the number of epochs of a run.

    It is the number in the config, or, if training may stop early, the median over the finished
    runs of the experiment.
    """
    counts = [run.results.epochs_run for _, run in completed_runs(config, runs) if run.results]
    if not counts or not config.early_stopping.patience:
        return config.epochs
    return min(math.ceil(statistics.median(counts)), config.epochs)


def count_fitting_epochs(seconds: float, epoch_seconds: float, epochs: int) -> int:
    """Return how many epochs fit; 0 if they are less than a quarter of the schedule.

    Args:
        seconds: the time left for training.
        epoch_seconds: the time of one epoch.
        epochs: the number of epochs of the full schedule.
    """
    fitting = min(int(seconds / epoch_seconds), epochs) if seconds > 0 else 0
    return fitting if fitting >= max(1, epochs * MIN_SHARE) else 0


class ScheduleTooLong(Exception):
    """Raised if the full schedule does not fit into the time that is left.

    Attributes:
        epochs: how many epochs fit; 0 if they are less than a quarter of the schedule.
    """

    def __init__(self, epochs: int, reason: str):
        super().__init__(reason)
        self.epochs = epochs


class TrainingBudget:
    """Ends a training in time. Pass `on_progress` to `fercore.training.trainer.train`.

    After the third epoch, it estimates the time of the remaining epochs from the median of the
    second and third. It compares it with the time that is left minus a reserve for evaluation and
    export. If the epochs do not fit, it raises `ScheduleTooLong`. It does so earlier if the steps
    show that not even a quarter of them fits. When the time is up, it raises `KeyboardInterrupt`;
    the trainer then evaluates the last saved epoch.

    Args:
        seconds: the time for the training with its evaluation and export, from now.
        epochs: the expected number of epochs.
        epoch_cost: mean time of the epochs relative to the first ones; above 1 if the images grow.
        reserve: time for evaluation and export; estimated from the first epochs if absent.
        may_give_up: whether `ScheduleTooLong` may be raised. False for a resumed run, so that its
            epochs are kept.
        clock: returns seconds, like `time.monotonic`.
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
        self._is_reserve_known = reserve is not None
        self._reserve = max(MIN_RESERVE, reserve or 0.0)
        self._may_give_up = self._may_shorten = may_give_up
        # Times of the start of the training and of the end of each epoch in this process.
        self._epoch_times = [clock()]
        # Time of the end of each call of the compiled function, and epochs done by then.
        self._calls: list[tuple[float, float]] = []

    def restart(self) -> None:
        """Start again with a shortened schedule, which is not shortened any further."""
        self._epoch_times = [self._clock()]
        self._may_shorten = False

    def on_progress(self, progress: _Progress) -> None:
        """Compare the progress with the time that is left.

        Raises:
            ScheduleTooLong: if the run should be given up.
            KeyboardInterrupt: if training should end now.
        """
        now = self._clock()
        if progress.phase != "training":
            if len(self._epoch_times) == 1:  # the first step has not begun
                self._epoch_times = [now]
            return
        if progress.row is not None:
            self._epoch_times.append(now)
            if len(self._epoch_times) == MEASURED_EPOCHS + 1:
                self._check_schedule(progress.row, now)
        left = self._deadline - self._reserve - now
        if progress.row is None and self._may_shorten and len(self._epoch_times) <= MEASURED_EPOCHS:
            self._check_steps(progress, now, left)
        if left <= 0:
            if len(self._epoch_times) == 1 and self._may_give_up:
                raise ScheduleTooLong(0, "not one epoch fits")
            raise KeyboardInterrupt

    def _check_steps(self, progress: _Progress, now: float, left: float) -> None:
        """Give up before the end of the third epoch if the epochs are far too long."""
        self._calls.append((now, progress.epoch + progress.step / progress.steps))
        if len(self._calls) <= MEASURED_CALLS:
            return
        # The fastest call, because others may include compilation, also that of the last batch.
        epoch_seconds = min(
            (end - start) / (after - before)
            for (start, before), (end, after) in pairwise(self._calls)
        )
        # Steps are a rough measure, so the estimate may exceed the time by a factor of two.
        needed = epoch_seconds * self._epoch_cost * self._epochs * MIN_SHARE
        if needed > 2 * left:
            raise ScheduleTooLong(
                0,
                f"a quarter of its {self._epochs} epochs needs about {needed / 60:.1f} minutes, "
                f"{max(left, 0) / 60:.1f} are left for training",
            )

    def _check_schedule(self, row: EpochLog, now: float) -> None:
        durations = [after - before for before, after in pairwise(self._epoch_times)]
        epoch_seconds = MARGIN * statistics.median(durations[1:])
        compilation = max(durations[0] - epoch_seconds, 0.0)
        if not self._is_reserve_known:
            # The evaluation builds the network again, compiles its forward pass and predicts
            # several splits.
            self._reserve = max(MIN_RESERVE, compilation / 2 + 4 * row.val_seconds)
        left = self._deadline - self._reserve - now
        needed = epoch_seconds * (self._epoch_cost * self._epochs - MEASURED_EPOCHS)
        if needed <= left or not self._may_shorten:
            return
        raise ScheduleTooLong(
            count_fitting_epochs(
                left - compilation, epoch_seconds * self._epoch_cost, self._epochs
            ),
            f"its {self._epochs} epochs need about {needed / 60:.1f} more minutes, "
            f"{max(left, 0) / 60:.1f} are left for training",
        )


def make_training_budget(
    config: ExperimentConfig, seconds: float, runs: Sequence[Run], *, resumed: bool
) -> TrainingBudget:
    """Return the budget of one training on this machine.

    Args:
        config: the experiment.
        seconds: the time that is left, from now.
        runs: runs from which the reserve and the number of epochs are estimated.
        resumed: whether the training resumes a run.
    """
    costs = schedules.epoch_costs(config, config.image.size or native_size(config.dataset) or 48)
    return TrainingBudget(
        seconds,
        estimate_epochs(config, runs),
        epoch_cost=statistics.fmean(costs) / costs[0],
        reserve=estimate_reserve(config, runs, current_device()),
        may_give_up=not resumed,
    )


def _overhead(run: Run) -> float | None:
    """Return the time of a finished run that was not training; `None` if it is unknown.

    It is bounded, because a resumed run was interrupted in between.
    """
    results = run.results
    if results is None or not results.train_seconds or not started(run):
        return None
    try:
        finished = datetime.fromisoformat(results.finished).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    overhead = finished - started(run) - results.train_seconds
    return min(max(overhead, 0.0), max(60.0, results.train_seconds / 10))
