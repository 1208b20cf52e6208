"""Keras callback that reports the progress of a training."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from fercore.runs.schema import EpochLog
from fercore.runs.writer import RunWriter


@dataclass(frozen=True)
class Progress:
    """The current state of a training, for a display.

    Attributes:
        phase: what the trainer is doing, such as `"training"`.
        epoch: the current epoch, from 1.
        epochs: the largest number of epochs.
        step: steps done in the current epoch.
        steps: all steps of an epoch.
        row: the log row of the epoch, once the epoch is complete.
        note: one line for the user about something unusual.
    """

    phase: str
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    row: EpochLog | None = None
    note: str = ""


OnProgress = Callable[[Progress], None]


class ProgressCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Report every step of an epoch, and end the epoch when its loss is not finite.

    Args:
        run: the run directory, which records the step.
        on_progress: called after every step.
        epoch: the current epoch, from 1.
        epochs: the largest number of epochs.
        steps: steps of an epoch.
    """

    def __init__(
        self, run: RunWriter, on_progress: OnProgress, epoch: int, epochs: int, steps: int
    ):
        super().__init__()
        self._run, self._on_progress = run, on_progress
        self._epoch, self._epochs, self._steps = epoch, epochs, steps

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Handle the end of a call of the compiled function; `batch` counts steps, from 0."""
        # Keras counts the last call as a full one even if it has fewer steps.
        step = min(batch + 1, self._steps)
        self._run.record_step(step, self._steps)
        self._on_progress(Progress("training", self._epoch, self._epochs, step, self._steps))
        if logs and not np.isfinite(logs["loss"]):
            self.model.stop_training = True
