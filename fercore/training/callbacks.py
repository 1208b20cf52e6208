"""Report the progress of a training, step by step."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from fercore.runs.schema import EpochLog
from fercore.runs.writer import RunWriter


@dataclass(frozen=True)
class Progress:
    """What the trainer is doing, for whoever shows it.

    Attributes:
        phase: such as `"training"`.
        epoch: the epoch under way, from 1.
        epochs: at most.
        step: steps done in it.
        steps: in all.
        row: the epoch's log row, once it is whole.
        note: one line for people, about something that is done otherwise than expected.
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
    """Tell run directory and onlooker how far the epoch is; end it when the loss is not finite."""

    def __init__(
        self, run: RunWriter, on_progress: OnProgress, epoch: int, epochs: int, steps: int
    ):
        super().__init__()
        self._run, self._on_progress = run, on_progress
        self._epoch, self._epochs, self._steps = epoch, epochs, steps

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """After a call of the compiled function: `batch` counts steps, from 0."""
        # Where the last call has fewer steps than the others, Keras counts it as whole.
        done = min(batch + 1, self._steps)
        self._run.record_step(done, self._steps)
        self._on_progress(Progress("training", self._epoch, self._epochs, done, self._steps))
        if logs and not np.isfinite(logs["loss"]):
            self.model.stop_training = True
