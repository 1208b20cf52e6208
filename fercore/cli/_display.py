"""Terminal output of a training: its progress and its results."""

from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fercore.cli._options import print_evaluations, print_json

if TYPE_CHECKING:
    from fercore.runs.schema import EpochLog, Results
    from fercore.training.callbacks import OnProgress
    from fercore.training.callbacks import Progress as TrainingProgress


def print_results(run_id: str, results: "Results", as_json: bool) -> None:
    """Print the results of a run that was just trained, as a table or as JSON."""
    if as_json:
        print_json({"run": run_id, **results.model_dump(mode="json")})
        return
    selection = results.selection
    assert selection is not None
    typer.echo(
        f"{run_id}: stopped by {results.stopped_by} after {results.epochs_run} epochs, "
        f"checkpoint of epoch {selection.epoch}, selected on {selection.split}"
    )
    print_evaluations(results)


class TrainingDisplay:
    """Shows a progress bar on a terminal, and prints one line per epoch.

    Args:
        quiet: print to standard error instead of standard output.
    """

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

    def print_line(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(text, markup=False)

    @property
    def on_progress(self) -> "OnProgress":
        """Return the function that the trainer calls with its progress."""
        return self._show_progress

    def _show_progress(self, progress: "TrainingProgress") -> None:
        if progress.note:
            self.print_line(progress.note)
        if progress.row is not None:
            self.print_line(_format_epoch(progress.row, progress.epochs))
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


def _format_epoch(row: "EpochLog", epochs: int) -> str:
    return (
        f"epoch {row.epoch:>3}/{epochs}  loss {row.loss:.4f}  accuracy {row.accuracy:.4f}  "
        f"val_loss {row.val_loss:.4f}  val_accuracy {row.val_accuracy:.4f}  "
        f"{row.images_per_second:,.0f} images/s"
    )
