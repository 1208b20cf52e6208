"""Progress and time left of runs that train, and how to resume one."""

import statistics
import time
from collections.abc import Sequence

from fercore.runs.reader import Run
from fercore.runs.schema import MAX_EPOCHS, EpochLog
from fercore.training import schedules

RESUMABLE = ("interrupted", "stalled", "failed")
HALTED = (*RESUMABLE, "diverged")


def seconds_left(run: Run, log: Sequence[EpochLog]) -> float | None:
    """How long a running training still takes if its epochs last as the last five did.

    Where the images grow during the training, time is taken as proportional to their pixels.
    """
    if run.state != "running" or run.status is None or not log:
        return None
    status = run.status
    if max(status.epochs, status.epoch) > MAX_EPOCHS:
        return None
    costs = [1.0] * max(status.epochs, log[-1].epoch)
    if run.experiment and (layers := run.layers()) and any(layers[0].output_shape[:1]):
        config = run.experiment.model_copy(update={"epochs": len(costs)})
        costs = schedules.epoch_costs(config, layers[0].output_shape[0])
    each = statistics.median(
        (row.seconds + row.val_seconds) / costs[row.epoch - 1] for row in log[-5:]
    )
    begun = status.step / status.steps if status.steps else 0.0
    to_come = costs[status.epoch : status.epochs]
    return max(0.0, (sum(to_come) - begun * to_come[0]) * each) if to_come else 0.0


def progress(run: Run) -> float:
    """The share of its epochs that a run has done, in [0, 1]."""
    status = run.status
    if status is None or not status.epochs:
        return 0.0
    begun = status.step / status.steps if status.steps and status.epoch < status.epochs else 0.0
    return min(1.0, (status.epoch + begun) / status.epochs)


def stopped_early(run: Run) -> bool:
    """Whether its config asks for epochs that it was not trained for, and nothing trains it now.

    A run that was judged after Ctrl-C is one, and so is one whose resumption died beside the
    results that it had; one whose loss was no number is not: it would end so again.
    """
    if run.experiment is None or run.is_active or run.state == "diverged":
        return False
    if run.results is not None:
        return not run.completed
    return run.state in RESUMABLE


def resume_command(run: Run) -> str | None:
    """What makes a run that stopped before its end go on; `None` if nothing here does."""
    if not stopped_early(run) or not run.can_resume:
        return None
    return f"fercore train --resume {run.id}"


def seconds_since_heartbeat(run: Run) -> float | None:
    """Seconds since the run last said anything; `None` if that is not known."""
    if run.status is None or run.status.heartbeat <= 0:
        return None
    return max(0.0, time.time() - run.status.heartbeat)
