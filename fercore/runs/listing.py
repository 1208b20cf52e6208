"""List the runs under a root, and select among them."""

import os.path
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fercore.config.experiment import ExperimentConfig
from fercore.data import exclusion
from fercore.errors import UserError
from fercore.runs.reader import Run, read_run, started

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def list_runs(root: Path) -> list[Run]:
    """List every folder under the runs root, newest first, also those that are no readable run.

    Hidden folders and plain files are skipped. An absent root holds no runs.
    """
    try:
        folders = [entry for entry in root.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return []
    runs = [read_run(folder) for folder in folders if os.path.isdir(folder)]
    return sorted(runs, key=lambda run: (started(run), run.id), reverse=True)


def completed_runs(
    config: ExperimentConfig, runs: Sequence[Run]
) -> list[tuple[ExperimentConfig, Run]]:
    """Return the runs of an experiment that were trained to their end, the newest last.

    Args:
        config: the experiment; seed and fold are ignored.
        runs: any.

    Returns:
        Each with its own config, all on the dataset version of the newest: figures on different
        versions must not be averaged.
    """
    completed = [
        (run.experiment, run)
        for run in sorted(runs, key=_finished)
        if run.completed and run.experiment and run.experiment.is_same_experiment(config)
    ]
    if config.protocol.exclude is not None:
        # The file may have changed since. Only runs that excluded its present images count.
        with suppress(UserError):
            sha256 = exclusion.read(config.protocol.exclude).sha256
            completed = [pair for pair in completed if _images_of(pair[1])[1] == sha256]
    return [pair for pair in completed if _images_of(pair[1]) == _images_of(completed[-1][1])]


def newest_of_each_seed(runs: Sequence[Run]) -> dict[tuple[int, int, int], Run]:
    """Return the newest run of each seed and fold.

    Args:
        runs: of one experiment; those that were not trained here are left out.

    Returns:
        By seed of the training, seed of the split and fold, in that order.
    """
    newest: dict[tuple[int, int, int], Run] = {}
    for run in sorted(runs, key=_finished):
        if run.experiment:
            newest[(run.experiment.seed, *run.experiment.protocol.division)] = run
    return dict(sorted(newest.items()))


def _finished(run: Run) -> tuple[str, float, str]:
    return run.results.finished if run.results else "", started(run), run.id


def _images_of(run: Run) -> tuple[str, str | None]:
    """Return the version of the dataset of a run, and of its list of excluded images."""
    environment = run.environment
    if environment is None:
        return "", None
    return environment.dataset_fingerprint, environment.excluded_sha256


def find_run(root: Path, run_id: str) -> Run:
    """Return the run of that name under the runs root, or at that path.

    Raises:
        UserError: if there is none, or the name would leave the root.
    """
    path = Path(run_id)
    if os.path.isfile(path / "config.json"):
        return read_run(path.absolute())
    if _RUN_ID.fullmatch(run_id) and os.path.isdir(root / run_id):
        return read_run(root / run_id)
    raise UserError(
        f"received the run {run_id!r}, expected a folder under {root}; "
        "`fercore runs list` lists them"
    )
