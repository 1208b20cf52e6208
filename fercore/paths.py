"""Resolve the folders of datasets and runs; no other module has a default path."""

import os
from pathlib import Path


def data_root(explicit: Path | None = None) -> Path:
    """Return the folder of converted datasets: `explicit`, else `$FERCORE_DATA`, else `./data`."""
    return _resolve_root(explicit, "FERCORE_DATA", "data")


def runs_root(explicit: Path | None = None) -> Path:
    """Return the folder of run directories: `explicit`, else `$FERCORE_RUNS`, else `./runs`."""
    return _resolve_root(explicit, "FERCORE_RUNS", "runs")


def _resolve_root(explicit: Path | None, variable: str, default: str) -> Path:
    root = explicit if explicit is not None else Path(os.environ.get(variable) or default)
    return root.expanduser().absolute()
