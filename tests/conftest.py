"""What all tests share."""

import functools
import gc
import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from streamlit.components.v2 import manifest_scanner

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from fercore.config.experiment import ExperimentConfig
from fercore.data.splits import Splits
from fercore.runs.reader import Run, read_run
from fercore.runs.writer import RunWriter
from tests.tiny import make_splits

# A shell that puts the tests into the background lets them ignore Ctrl-C, and all they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def splits() -> Splits:
    """A dataset whose test split repeats three training images."""
    return make_splits()


@pytest.fixture(scope="session", autouse=True)
def one_component_scan() -> Iterator[None]:
    """Let `AppTest` search the installed packages for Streamlit components once.

    It searches them, for 0.2 s of processor time, at every run of a page; a server does so once.
    """
    with pytest.MonkeyPatch.context() as patch:
        scan = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield


@pytest.fixture(scope="module", autouse=True)
def short_garbage_collections() -> None:
    """Leave out of the collections what earlier files have loaded.

    Streamlit collects all garbage after every run of a page, which takes half a second of processor
    time where Keras is loaded.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def evaluate_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate imported networks in this process, where `import_onnx` starts another.

    That takes a second, in which it loads ONNX Runtime. Tests of its limits need it.
    """
    from fercore.importers import worker

    def run_here(module: str, folder: Path, subject: str, seconds: float, memory: int) -> None:
        assert module == worker.__name__
        assert worker.main(folder, memory) == 0

    monkeypatch.setattr("fercore.importers.import_run.run_isolated", run_here)
    monkeypatch.setattr(worker, "limit_memory", lambda memory_bytes: None)
    for user in ("onnx_evaluation", "onnx_checks"):
        monkeypatch.setattr(f"fercore.importers.{user}.report_progress", lambda: None)


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train as on a machine without TensorFlow's exporter, which takes a quarter of the time."""
    monkeypatch.setattr("fercore.training.onnx_export.is_available", lambda: False)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ExperimentConfig], Run]:
    """Return the run of a config on the dataset of `make_splits`, to be read or copied only.

    It is trained once for all tests: the processes of pytest-xdist share their runs.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"

    def find_or_train(config: ExperimentConfig) -> Run:
        root = shared / hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16]
        shared.mkdir(exist_ok=True)
        with FileLock(f"{root}.lock"):
            finished = [path.parent for path in root.glob("*/results.json")]
            return read_run(finished[0]) if finished else _train(config, root)

    return find_or_train


def _train(config: ExperimentConfig, root: Path) -> Run:
    from fercore.training.trainer import train

    writer = RunWriter.create(root, config)
    train(config, make_splits(), writer, command="fercore train tiny")
    run = read_run(writer.path)
    assert run.onnx_path is not None, "a test that trains for others must export, without no_export"
    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that the processes end at about the same time."""
    ranks: dict[Path, int] = {}
    for item in items:
        slow = item.get_closest_marker("browser") or item.get_closest_marker("jax")
        rank = 0 if slow else 1 if item.get_closest_marker("keras") else 2
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])
