"""What papers, goals and ablations share: their TOML files, and the runs of an experiment."""

import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from fercore.config.experiment import ExperimentConfig
from fercore.runs.listing import completed_runs
from fercore.runs.reader import Run


def read_toml(name: str) -> dict[str, Any]:
    """Return the parsed content of a TOML file of this package."""
    text = (resources.files("fercore.reproduction") / name).read_text(encoding="utf-8")
    return tomllib.loads(text)


def completed_runs_of_fold(
    config: ExperimentConfig, runs: Sequence[Run]
) -> list[tuple[ExperimentConfig, Run]]:
    """Return the completed runs of an experiment on the fold that its config names.

    Returns:
        The config and the run of each, as `fercore.runs.listing.completed_runs`, of any seed.
    """
    return [
        (of_run, run)
        for of_run, run in completed_runs(config, runs)
        if of_run.protocol.division == config.protocol.division
    ]


def newest_by_seed(completed: Sequence[tuple[ExperimentConfig, Run]]) -> dict[int, Run]:
    """Return the newest run of each seed, sorted by seed.

    Args:
        completed: configs and runs, the oldest first.
    """
    return dict(sorted({config.seed: run for config, run in completed}.items()))
