import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from fercore.runs.listing import list_runs
from fercore.runs.reader import Run
from tests.dashboard import make_runs


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of every kind, made once."""
    return make_runs.full_root(tmp_path_factory.mktemp("made") / "runs").path.parent


@pytest.fixture
def root(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs root of the test's own with runs of every kind; its running run is alive."""
    copy = tmp_path / "runs"
    shutil.copytree(made, copy)
    running = next(copy.glob("khopkar2021-*"))
    make_runs.revive(running)
    monkeypatch.setenv("FERCORE_RUNS", str(copy))
    return copy


@pytest.fixture
def runs(root: Path) -> dict[str, Run]:
    """The runs of that root by experiment, the newest where there are several."""
    found: dict[str, Run] = {}
    for run in list_runs(root):
        found.setdefault(run.config.name if run.config else run.id, run)
    return found


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path / "nothing"))
    return tmp_path / "nothing"


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    yield
    st.cache_resource.clear()
