"""Learning rate and early stopping, as pure functions of what the log holds.

A run that is resumed therefore goes on as if it had never stopped: there is no state to save.
"""

import math
from collections.abc import Sequence

from fercore.config.experiment import ExperimentConfig
from fercore.config.training import EarlyStoppingConfig
from fercore.runs.schema import EpochLog


def learning_rate(config: ExperimentConfig, log: Sequence[EpochLog]) -> float:
    """The rate of the epoch that follows the logged ones."""
    schedule, highest = config.schedule, config.optimizer.learning_rate
    done = len(log)
    if done < schedule.warmup_epochs:
        return highest * (done + 1) / (schedule.warmup_epochs + 1)
    if schedule.kind == "cosine":
        span = max(config.epochs - schedule.warmup_epochs, 1)
        progress = (done - schedule.warmup_epochs) / span
        return (
            schedule.minimum + (highest - schedule.minimum) * (1 + math.cos(math.pi * progress)) / 2
        )
    if schedule.kind == "plateau":
        return max(highest * schedule.factor ** _plateaus(config, log), schedule.minimum)
    return highest


def should_stop(config: EarlyStoppingConfig, log: Sequence[EpochLog]) -> bool:
    """Whether the best epoch lies `patience` epochs back."""
    if config.patience == 0 or not log:
        return False
    values = [getattr(row, config.monitor) for row in log]
    best = max(values) if config.monitor == "val_accuracy" else min(values)
    return len(values) - 1 - values.index(best) >= config.patience


def best_epoch(log: Sequence[EpochLog]) -> EpochLog:
    """Return the epoch with the highest validation accuracy, the earlier of two equal ones.

    Where the image size grew during the training, only epochs at the largest size count.
    """
    return max(log, key=lambda row: (row.image_size or 0, row.val_accuracy, -row.epoch))


def image_size(config: ExperimentConfig, epoch: int, full_size: int) -> int:
    """Return the height and width, in pixels, of the images of an epoch.

    Args:
        config: of the experiment, whose `progressive_resizing` says when the size changes.
        epoch: from 1.
        full_size: pixels, of the images that the finished network takes.
    """
    resizing = config.progressive_resizing
    # Floating point would put 0.55 of 100 epochs at 55.00000000000001.
    small_epochs = math.floor(config.epochs * resizing.fraction + 1e-6)
    small = resizing.size is not None and epoch <= small_epochs
    return resizing.size if small and resizing.size else full_size


def epoch_costs(config: ExperimentConfig, full_size: int) -> list[float]:
    """Return the time of every epoch relative to one at full size, taken as proportional to pixels.

    Args:
        config: of the experiment.
        full_size: pixels, height and width of the images that the finished network takes.
    """
    sizes = (image_size(config, epoch, full_size) for epoch in range(1, config.epochs + 1))
    return [(size / full_size) ** 2 for size in sizes]


def _plateaus(config: ExperimentConfig, log: Sequence[EpochLog]) -> int:
    """How often the rate has been cut: after every `patience` epochs without a new lowest loss."""
    cuts, waited, lowest = 0, 0, math.inf
    for row in log[config.schedule.warmup_epochs :]:
        if row.val_loss < lowest:
            lowest, waited = row.val_loss, 0
            continue
        waited += 1
        if waited >= config.schedule.patience:
            cuts, waited = cuts + 1, 0
    return cuts
