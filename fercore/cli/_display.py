"""Show the progress and the results of a training on the terminal."""

from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fercore.cli._options import print_evaluations, print_json

if TYPE_CHECKING:
    from fercore.runs.schema import EpochLog, Results
    from fercore.training.callbacks import OnProgress
    from fercore.training.callbacks import Progress as TrainingProgress


def print_results(run_id: str, results: "Results", as_json: bool) -> None:
    if as_json:
        print_json({"run": run_id, **results.model_dump(mode="json")})
        return
    chosen = results.selection
    assert chosen is not None  # of a run that was just trained
    typer.echo(
        f"{run_id}: stopped by {results.stopped_by} after {results.epochs_run} epochs, "
        f"checkpoint of epoch {chosen.epoch}, chosen on {chosen.split}"
    )
    print_evaluations(results)


class TrainingDisplay:
    """A progress bar on a terminal, a line an epoch elsewhere."""

    def __init__(self, quiet: bool):
        from rich.console import Console

        self._console = Console(stderr=quiet, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("loading Keras", total=None)

    def __enter__(self) -> "TrainingDisplay":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(text, markup=False)

    @property
    def on_progress(self) -> "OnProgress":
        """What the trainer calls."""
        return self._show

    def _show(self, progress: "TrainingProgress") -> None:
        if progress.note:
            self.say(progress.note)
        if progress.row is not None:
            self.say(_epoch_line(progress.row, progress.epochs))
            return
        if progress.epoch:
            self._bar.update(
                self._task,
                description=f"epoch {progress.epoch}/{progress.epochs}",
                completed=progress.step,
                total=progress.steps,
            )
        else:
            self._bar.update(self._task, description=progress.phase, completed=0, total=None)


def _epoch_line(row: "EpochLog", epochs: int) -> str:
    return (
        f"epoch {row.epoch:>3}/{epochs}  loss {row.loss:.4f}  accuracy {row.accuracy:.4f}  "
        f"val_loss {row.val_loss:.4f}  val_accuracy {row.val_accuracy:.4f}  "
        f"{row.images_per_second:,.0f} images/s"
    )
