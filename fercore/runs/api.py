"""List and read runs from a script, by name or path."""

from pathlib import Path

from fercore import paths
from fercore.runs import listing
from fercore.runs.reader import Run


def list_runs(runs_root: str | Path | None = None) -> list[Run]:
    """List every run, newest first.

    Folders that cannot be read are listed as well: their `state` is `"broken"`, and their `problem`
    says why.

    Args:
        runs_root: folder of the runs; `$FERCORE_RUNS` or `./runs` if absent.

    Returns:
        The runs; none if the folder does not exist.

    Example:
        >>> finished = [run for run in fercore.list_runs() if run.state == "finished"]
        >>> "le2019-deep-s0-20261121T052505" in {run.id for run in finished}
        True
    """
    return listing.list_runs(_root(runs_root))


def read_run(run: str | Path | Run, runs_root: str | Path | None = None) -> Run:
    """Read one run.

    A run directory that is damaged is read without an error: `Run.problem` and `Run.warnings` say
    what is wrong.

    Args:
        run: the run's name, or the path of its folder; a run that was read is returned as it is.
        runs_root: folder of the runs; `$FERCORE_RUNS` or `./runs` if absent.

    Returns:
        The run: its `config`, `results`, `environment`, `log()`, `layers()` and `predictions()`.

    Raises:
        UserError: if there is no such run.

    Example:
        >>> run = fercore.read_run("le2019-deep-s0-20261121T052505")
        >>> run.results.splits["test"].n
        3589
        >>> run.predictions("test").probabilities.shape
        (3589, 7)
    """
    return run if isinstance(run, Run) else listing.find_run(_root(runs_root), str(run))


def _root(explicit: str | Path | None) -> Path:
    return paths.runs_root(None if explicit is None else Path(explicit))
