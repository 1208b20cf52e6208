import doctest
import inspect
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import pytest

import fercore
from fercore.errors import DivergedError, UserError
from fercore.inference import run_evaluation
from fercore.inference.run_evaluation import DatasetEvaluation
from fercore.runs.checks import check_run
from fercore.runs.reader import read_run
from tests.photos import astronaut

COMMITTED = Path(__file__).parents[1] / "runs"
DEEP = "le2019-deep-s0-20261121T052505"
NETWORK = "katkar2021-model2-original-s0-20261121T024609"


def run_examples(name: str) -> int:
    """Run the examples in the docstring of a public name; return their number."""
    value = getattr(fercore, name) if name else fercore
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(value, name, globs={"fercore": fercore, "cv2": cv2})
    report: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert not result.failed, "".join(report)
    return result.attempted


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A working directory with a photo, where the committed runs and no datasets are found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FERCORE_RUNS", str(COMMITTED))
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    cv2.imwrite("photo.jpg", astronaut())


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import fercore; fercore.UserError; "
        "names = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(names - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=COMMITTED.parent,
    )
    assert done.stdout.strip() == "['fercore']"


def test_every_public_name_is_listed_and_documented():
    assert set(fercore.__all__) <= set(dir(fercore))
    for name in fercore.__all__:
        value = getattr(fercore, name)
        assert value.__doc__
        if inspect.isfunction(value):
            for heading in ("Returns:", "Example:"):
                assert heading in value.__doc__, f"{name} lacks {heading}"
            for parameter in inspect.signature(value).parameters:
                assert f"{parameter}: " in value.__doc__, f"{name} does not describe {parameter}"
    assert not hasattr(fercore, "nothing")


def test_names_and_types_of_a_checker_are_those_of_the_package():
    """Mypy reads the imports under TYPE_CHECKING, Python the table beside them."""
    for name, module in fercore._MODULES.items():
        assert f"from {module} import " in inspect.getsource(fercore)
        assert getattr(fercore, name).__module__ == module
    assert set(fercore._MODULES) == set(fercore.__all__)


@pytest.mark.usefixtures("script")
@pytest.mark.parametrize(
    "name",
    ["", "Predictor", "compare_runs", "evaluate", "list_runs", "load_config", "read_run"],
)
def test_examples_give_what_they_show(name):
    assert run_examples(name) >= 2


@pytest.mark.keras
def test_the_example_of_train_writes_a_whole_run(tmp_path, monkeypatch):
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    with warnings.catch_warnings():
        assert run_examples("train") == 3
    (run,) = fercore.list_runs()
    assert check_run(run.path) == []
    assert run.experiment.seed == 3
    assert run.environment.command.startswith("fercore train ")
    assert fercore.evaluate(run, "synthetic").accuracy == run.results.splits["test"].accuracy


def test_a_training_that_cannot_begin_leaves_no_run(tmp_path):
    for config, message in (
        ("nope", "expected a .toml file or one of"),
        ("le2019-deep", "fercore data add fer2013 PATH"),
        (fercore.load_config("synthetic-quick", {"model": "nope"}), "received model = 'nope'"),
    ):
        with pytest.raises(UserError, match=message):
            fercore.train(config, tmp_path / "runs", tmp_path / "data")
    assert fercore.list_runs(tmp_path / "runs") == []


def test_runs_are_found_by_name_path_and_root(tmp_path, monkeypatch):
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path))
    assert fercore.list_runs() == []
    with pytest.raises(UserError, match="received the run"):
        fercore.read_run(DEEP)
    for run in (
        fercore.read_run(DEEP, COMMITTED),
        fercore.read_run(str(COMMITTED / DEEP)),
        fercore.read_run(COMMITTED / DEEP),
        fercore.read_run(read_run(COMMITTED / DEEP)),
    ):
        assert run.results.splits["test"].n == 3589


def test_stored_figures_are_returned_by_split():
    run = read_run(COMMITTED / NETWORK)
    for split, stored in (
        ("test", "test"),
        ("PrivateTest", "test"),
        ("test_all", "test_all"),
        ("validation", "validation"),
    ):
        assert fercore.evaluate(run, split=split) == run.results.splits[stored]
    with pytest.raises(UserError, match="received the split 'train'"):
        fercore.evaluate(run, split="train")
    forest = read_run(COMMITTED / DEEP)
    assert fercore.evaluate(forest, split="test_all") == forest.results.splits["test"]


def test_a_dataset_is_evaluated_on_the_split_that_is_named(tmp_path):
    result = fercore.evaluate(
        NETWORK, "synthetic", "validation", runs_root=COMMITTED, data_root=tmp_path
    )
    assert result.title == "synthetic, Validation"
    with pytest.raises(UserError, match="received the split 'test_unique', expected train"):
        fercore.evaluate(NETWORK, "synthetic", "test_unique", runs_root=COMMITTED)
    with pytest.raises(UserError, match=r"no network \(model.onnx\) here"):
        fercore.evaluate(DEEP, "synthetic", runs_root=COMMITTED)


def test_images_of_the_training_are_warned_of(monkeypatch):
    result = read_run(COMMITTED / DEEP).results.splits["test"]
    monkeypatch.setattr(
        run_evaluation,
        "evaluate_on_dataset",
        lambda *given, **options: DatasetEvaluation("all", result, ("this is no test",)),
    )
    with pytest.warns(UserWarning, match="this is no test"):
        assert fercore.evaluate(DEEP, "fer2013", runs_root=COMMITTED) is result


def test_errors_are_user_errors():
    assert fercore.UserError is UserError
    assert issubclass(DivergedError, fercore.UserError)
