"""Where datasets and runs live. No other module knows a path."""

import os
from pathlib import Path


def data_root(explicit: Path | None = None) -> Path:
    """The folder that holds converted datasets: `explicit`, else `$FERCORE_DATA`, else `./data`."""
    return _root(explicit, "FERCORE_DATA", "data")


def runs_root(explicit: Path | None = None) -> Path:
    """The folder that holds run directories: `explicit`, else `$FERCORE_RUNS`, else `./runs`."""
    return _root(explicit, "FERCORE_RUNS", "runs")


def _root(explicit: Path | None, variable: str, fallback: str) -> Path:
    chosen = explicit if explicit is not None else Path(os.environ.get(variable) or fallback)
    return chosen.expanduser().absolute()
