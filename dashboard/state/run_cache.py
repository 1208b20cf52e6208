"""Cached runs: read once, until their files change."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.analysis import network_cost, run_properties
from dashboard.state.run_store import RunCache, Signature, signature_of
from fercore.paths import runs_root
from fercore.runs.predictions import Predictions
from fercore.runs.reader import Run, read_log
from fercore.runs.schema import EpochLog, LayerSummary


def list_runs() -> list[Run]:
    """Return every run under the runs root, newest first."""
    return _run_cache(runs_root()).all()


def refreshed_runs() -> list[Run]:
    """Return every run, faster than `list_runs`: for a part of a page that refreshes by a timer."""
    return _run_cache(runs_root()).all(quick=True)


def known_runs() -> tuple[Run, ...]:
    """Return every run as of the last `list_runs`, without a look at the disk."""
    return _run_cache(runs_root()).known()


def find_run(run_id: str) -> Run | None:
    """Return the run of that name under the runs root, or `None` if there is none."""
    return _run_cache(runs_root()).find(run_id)


def log(run: Run) -> list[EpochLog]:
    """Return the run's log, read again only when its file has changed."""
    return _log(run.path, signature_of(run.path, "log.jsonl"))


def layers(run: Run) -> list[LayerSummary]:
    """Return the run's layer table."""
    return _layers(run, run.path, signature_of(run.path, "layers.json"))


def macs(run: Run) -> int | None:
    """Return the multiply-accumulate operations of one prediction of a run; `None` if unknown."""
    return _macs(run)


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """Return a short label for each run, by run id: unique among all runs, equal on every page.

    All runs are those of the last `list_runs`; the disk is not read.
    """
    all_labels = _labels(known_runs())
    return {run.id: all_labels.get(run.id, run.id) for run in runs}


def split_titles(runs: Sequence[Run]) -> Mapping[str, str]:
    """Return `run_properties.split_titles`, computed anew when one of the runs changes."""
    return _split_titles(tuple(runs))


def predictions(run: Run, split: str) -> Predictions | None:
    """Return the run's predictions on `"validation"` or `"test"`; `None` if they cannot be read."""
    return _predictions(run, run.path, split, run_signature(run))


# Runs are compared by identity: a run that was read again has no entry yet.
@lru_cache(maxsize=1024)
def _macs(run: Run) -> int | None:
    return network_cost.count_prediction_macs(run, find_run)


@lru_cache(maxsize=4)
def _labels(runs: tuple[Run, ...]) -> dict[str, str]:
    return run_properties.labels(runs)


@lru_cache(maxsize=8)
def _split_titles(runs: tuple[Run, ...]) -> Mapping[str, str]:
    return run_properties.split_titles(runs)


@st.cache_resource(max_entries=4, show_spinner=False)
def _run_cache(root: Path) -> RunCache:
    return RunCache(root)


# Streamlit takes a millisecond to hash a tuple of tuples: a text is quicker.
HASH_AS_TEXT: dict[str | type[Any], Callable[[Any], Any]] = {tuple: repr}


# All sessions share the results below. Nobody changes them, so that no copy is needed.
@st.cache_resource(max_entries=256, show_spinner=False, hash_funcs=HASH_AS_TEXT)
def _log(path: Path, signature: Signature) -> list[EpochLog]:
    return read_log(path)


@st.cache_resource(max_entries=128, show_spinner=False, hash_funcs=HASH_AS_TEXT)
def _layers(_run: Run, path: Path, signature: Signature) -> list[LayerSummary]:
    return _run.layers()


@st.cache_resource(max_entries=32, show_spinner=False)
def _predictions(_run: Run, path: Path, split: str, signature: Signature) -> Predictions | None:
    return _run.predictions(split)


def files_signature(runs: Sequence[Run]) -> str:
    """Return a text that changes when the files behind the runs' metrics change."""
    files = ("config.json", "environment.json", "results.json", "predictions.npz")
    # One text: Streamlit takes a millisecond to hash the same as tuples of tuples.
    return repr([(str(run.path), signature_of(run.path, *files)) for run in runs])


def run_signature(run: Run) -> Signature:
    """Return a signature that changes when the predictions of a run change."""
    return signature_of(run.path, "predictions.npz")
