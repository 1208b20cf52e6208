"""Learning rate, early stopping and image size, as pure functions of the log.

They have no state that would have to be saved, so a resumed run continues as if it had never
stopped.
"""

import math
from collections.abc import Sequence

from fercore.config.experiment import ExperimentConfig
from fercore.config.training import EarlyStoppingConfig
from fercore.runs.schema import EpochLog


def learning_rate(config: ExperimentConfig, log: Sequence[EpochLog]) -> float:
    """Return the learning rate of the epoch that follows the logged ones."""
    schedule, peak = config.schedule, config.optimizer.learning_rate
    epochs_done = len(log)
    if epochs_done < schedule.warmup_epochs:
        return peak * (epochs_done + 1) / (schedule.warmup_epochs + 1)
    if schedule.kind == "cosine":
        cosine_epochs = max(config.epochs - schedule.warmup_epochs, 1)
        progress = (epochs_done - schedule.warmup_epochs) / cosine_epochs
        return schedule.minimum + (peak - schedule.minimum) * (1 + math.cos(math.pi * progress)) / 2
    if schedule.kind == "plateau":
        return max(peak * schedule.factor ** _count_plateaus(config, log), schedule.minimum)
    return peak


def should_stop(config: EarlyStoppingConfig, log: Sequence[EpochLog]) -> bool:
    """Return whether the best epoch is `patience` epochs ago."""
    if config.patience == 0 or not log:
        return False
    values = [getattr(row, config.monitor) for row in log]
    best = max(values) if config.monitor == "val_accuracy" else min(values)
    return len(values) - 1 - values.index(best) >= config.patience


def best_epoch(log: Sequence[EpochLog]) -> EpochLog:
    """Return the epoch with the highest validation accuracy; of equal ones, the earliest.

    If the image size grew during the training, only the epochs at the largest size count.
    """
    return max(log, key=lambda row: (row.image_size or 0, row.val_accuracy, -row.epoch))


def image_size(config: ExperimentConfig, epoch: int, full_size: int) -> int:
    """Return the height and width, in pixels, of the images of an epoch.

    Args:
        config: the experiment; `progressive_resizing` determines when the size changes.
        epoch: from 1.
        full_size: height and width, in pixels, of the inputs of the finished network.
    """
    resizing = config.progressive_resizing
    # In floating point, 0.55 * 100 is 55.00000000000001.
    small_epochs = math.floor(config.epochs * resizing.fraction + 1e-6)
    is_small = resizing.size is not None and epoch <= small_epochs
    return resizing.size if is_small and resizing.size else full_size


def epoch_costs(config: ExperimentConfig, full_size: int) -> list[float]:
    """Return the time of every epoch relative to an epoch at full size.

    The time is assumed to be proportional to the number of pixels.

    Args:
        config: the experiment.
        full_size: height and width, in pixels, of the inputs of the finished network.
    """
    sizes = (image_size(config, epoch, full_size) for epoch in range(1, config.epochs + 1))
    return [(size / full_size) ** 2 for size in sizes]


def _count_plateaus(config: ExperimentConfig, log: Sequence[EpochLog]) -> int:
    """Count the plateaus: every `patience` epochs without a new lowest validation loss are one."""
    plateaus, epochs_waited, lowest_loss = 0, 0, math.inf
    for row in log[config.schedule.warmup_epochs :]:
        if row.val_loss < lowest_loss:
            lowest_loss, epochs_waited = row.val_loss, 0
            continue
        epochs_waited += 1
        if epochs_waited >= config.schedule.patience:
            plateaus, epochs_waited = plateaus + 1, 0
    return plateaus
