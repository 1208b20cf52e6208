"""What pages read from disk, kept until it changes there. The only home of `st.cache_*`."""

import zipfile
import zlib
from pathlib import Path

import streamlit as st

from dashboard.shelf import Shelf, Signature, signature_of
from fercore.records import Layer, LogRow
from fercore.roots import runs_root
from fercore.runs import Predictions, Run, read_log


def list_runs() -> list[Run]:
    """Every run under the runs root, newest first."""
    return _shelf(runs_root()).all()


def find_run(run_id: str) -> Run | None:
    """The run of that name under the runs root; `None` if there is none."""
    return _shelf(runs_root()).find(run_id)


def log(run: Run) -> list[LogRow]:
    """The run's log, read again only when it has grown."""
    return _log(run.path, signature_of(run.path, "log.jsonl"))


def layers(run: Run) -> list[Layer]:
    """The run's layer table."""
    return _layers(run, run.path, signature_of(run.path, "layers.json"))


def predictions(run: Run, split: str) -> Predictions | None:
    """The run's predictions on `"validation"` or `"test"`, if they can be read."""
    return _predictions(run, run.path, split, signature_of(run.path, "predictions.npz"))


@st.cache_resource(max_entries=4, show_spinner=False)
def _shelf(root: Path) -> Shelf:
    return Shelf(root)


# The results below are shared between sessions and never changed: no copy is taken of them.
@st.cache_resource(max_entries=256, show_spinner=False)
def _log(path: Path, signature: Signature) -> list[LogRow]:
    return read_log(path)


@st.cache_resource(max_entries=128, show_spinner=False)
def _layers(_run: Run, path: Path, signature: Signature) -> list[Layer]:
    return _run.layers()


@st.cache_resource(max_entries=32, show_spinner=False)
def _predictions(_run: Run, path: Path, split: str, signature: Signature) -> Predictions | None:
    try:
        return _run.predictions(split)
    except (zipfile.BadZipFile, zlib.error):
        return None
