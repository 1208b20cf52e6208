"""Progress and remaining time of running trainings, and how to resume one that stopped."""

import statistics
import time
from collections.abc import Sequence

from fercore.config.run import CombinedConfig
from fercore.runs.reader import Run
from fercore.runs.schema import MAX_EPOCHS, EpochLog
from fercore.training import schedules

RESUMABLE = ("interrupted", "stalled", "failed")
HALTED = (*RESUMABLE, "diverged")


def seconds_left(run: Run, log: Sequence[EpochLog]) -> float | None:
    """Return the seconds that a running training still needs; `None` if that is unknown.

    The estimate is the median time of the last five epochs. Where the image size grows during
    training, the time of an epoch is taken as proportional to the number of pixels.
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
    seconds_per_cost = statistics.median(
        (row.seconds + row.val_seconds) / costs[row.epoch - 1] for row in log[-5:]
    )
    done = status.step / status.steps if status.steps else 0.0
    remaining = costs[status.epoch : status.epochs]
    if not remaining:
        return 0.0
    return max(0.0, (sum(remaining) - done * remaining[0]) * seconds_per_cost)


def progress(run: Run) -> float:
    """Return the fraction of its epochs that a run has completed, in [0, 1]."""
    status = run.status
    if status is None or not status.epochs:
        return 0.0
    done = status.step / status.steps if status.steps and status.epoch < status.epochs else 0.0
    return min(1.0, (status.epoch + done) / status.epochs)


def stopped_early(run: Run) -> bool:
    """Return whether a run has fewer epochs than its config and is not training now.

    This includes a run that was evaluated after Ctrl-C, and a run with results that was resumed for
    more epochs and killed. It does not include a diverged run, which would diverge again.
    """
    if run.experiment is None or run.is_active or run.state == "diverged":
        return False
    if run.results is not None:
        return not run.completed
    return run.state in RESUMABLE


def resume_command(run: Run) -> str | None:
    """Return the command that resumes a run that stopped early; `None` if it cannot be resumed."""
    if not stopped_early(run) or not run.can_resume:
        return None
    return f"fercore train --resume {run.id}"


def seconds_since_heartbeat(run: Run) -> float | None:
    """Return the seconds since the last sign of life of a run; `None` if that is unknown."""
    if run.status is None or run.status.heartbeat <= 0:
        return None
    return max(0.0, time.time() - run.status.heartbeat)


def loss_title(runs: Sequence[Run]) -> str:
    """Return the title of an axis of these runs' losses, with the unit if they share one."""
    losses = {run.experiment.loss for run in runs if run.experiment}
    if losses == {"cross_entropy"}:
        return "Loss (cross-entropy, nats)"
    return "Loss (squared hinge)" if losses == {"l2_svm"} else "Loss"


def missing_curve(run: Run, epochs: int) -> str:
    """Return why a run has no training curve; empty if it has one.

    Args:
        run: any.
        epochs: number of epochs in its log.
    """
    if isinstance(run.config, CombinedConfig):
        members = len(run.config.combined.members)
        return f"ensemble of {members} runs" if members > 1 else "test-time augmentation of a run"
    if run.origin == "imported":
        return "imported"
    if epochs:
        return ""
    return "no epoch completed" if run.is_active else "no log stored"
