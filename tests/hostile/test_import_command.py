"""Test `fercore runs import` with files and options of other projects."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fercore.cli import _import_run, main
from fercore.config.run import RunConfig
from fercore.data.labels import FER2013
from fercore.data.registry import load_dataset
from fercore.data.splits import UNSPLIT, Splits
from fercore.importers.import_run import OnnxOptions, import_onnx
from fercore.runs.listing import list_runs
from tests.hostile import networks
from tests.hostile import predictions as tables
from tests.tiny import make_splits

LABELS = ",".join(FER2013)


@pytest.fixture(scope="module")
def synthetic():
    return load_dataset("synthetic", Path("unused"))


@pytest.fixture
def fercore(monkeypatch, tmp_path, capsys):
    """Run `fercore runs import` on the synthetic dataset, with roots of its own."""
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path / "runs"))

    def call(*arguments, command=("runs", "import"), options=("--dataset", "synthetic")):
        words = ["fercore", *command, *map(str, arguments), *options]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("a.onnx", ["--output", "logit"], "expected one of the outputs of a.onnx"),
        ("a.onnx", ["--values", "odds"], "expected probabilities, percent, sigmoid"),
        ("a.onnx", ["--time-limit", "0"], "received --time-limit 0.0"),
        ("a.onnx", ["--memory-limit", "-1"], "received --memory-limit -1.0"),
        ("a.onnx", ["--run", "x"], "received --run, which applies to a table only"),
        ("a.onnx", ["--labels", "[]"], "received --labels '[]'"),
        ("a.onnx", ["--labels", ", ,"], "received --labels"),
        ("a.onnx", ["--range", "0-2"], "expected 0-255, 0-1, -1-1, imagenet"),
        ("a.onnx", ["--mean", "0.5"], "expected --mean and --std together"),
        (
            "a.csv.gz",
            ["--channels", "1"],
            "received --channels, which applies to an ONNX network only",
        ),
        (
            "a.csv",
            ["--time-limit", "3"],
            "received --time-limit, which applies to an ONNX network only",
        ),
        ("a.npy", [], "expected an .onnx file or a table"),
        ("absent.csv", [], "absent.csv"),
        ("absent.onnx", ["--labels", LABELS], "absent.onnx"),
    ],
)
def test_what_does_not_fit_is_one_line_and_makes_no_run(
    fercore, tmp_path, name, arguments, message
):
    if not name.startswith("absent"):
        networks.classifier(tmp_path / name)
    if "--labels" not in arguments and name == "a.onnx":
        arguments = [*arguments, "--labels", LABELS]
    code, out, error = fercore(tmp_path / name, *arguments)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert "a defect" not in error
    assert not list_runs(tmp_path / "runs")


def test_a_dataset_without_splits_needs_a_run_that_divides_it(fercore, tmp_path, monkeypatch):
    test = make_splits()["test"]
    pooled = Splits("synthetic", FER2013, {UNSPLIT: test})
    monkeypatch.setattr(_import_run, "load_dataset", lambda *_: pooled)
    (tmp_path / "theirs.csv").write_bytes(tables.csv(tables.frame(test, FER2013)))
    code, out, error = fercore(tmp_path / "theirs.csv")
    assert (code, out) == (2, "")
    assert "comes without splits; expected --like with a run on it" in error


def test_how_a_network_was_read_is_printed(fercore, tmp_path):
    networks.classifier(tmp_path / "net.onnx")
    code, out, _ = fercore(
        *(tmp_path / "net.onnx", "--labels", f'["{LABELS.replace(",", chr(34) + "," + chr(34))}"]'),
        *("--mean", "0.485", "--std", "0.229", "--output", "logits"),
    )
    assert code == 0
    assert "mean and std read in units of grey levels of 0 to 1\n" in out
    assert "mean [123.675], std [58.395] on grey levels of 0 to 255, giving logits" in out
    (run,) = list_runs(tmp_path / "runs")
    # What `--output` meant before it named an output.
    assert run.config.imported.output == "logits"


def test_how_a_table_was_read_is_printed(fercore, tmp_path, synthetic):
    path = tmp_path / "table.tsv.gz"
    path.write_bytes(tables.rounded(synthetic["test"], FER2013))
    code, out, _ = fercore(path)
    assert code == 0
    assert "as rounded ones do" in out
    (run,) = list_runs(tmp_path / "runs")
    _, shown, _ = fercore(run.id, command=("runs", "show"), options=())
    assert ", , " not in shown
    assert "layer" not in shown
    path.write_bytes(tables.truth_after_scores(synthetic["test"], FER2013))
    code, out, error = fercore(path)
    assert (code, out) == (2, "")
    assert "two columns for the class" in error


def test_what_predict_writes_imports_back(fercore, tmp_path, synthetic):
    path = networks.classifier(tmp_path / "net.onnx", gain=2)
    config = RunConfig(name="net", title="Net", dataset="synthetic", model="net")
    options = OnnxOptions(class_names=FER2013, grey_range="0-1")
    made, *_ = import_onnx(path, options, config, synthetic, tmp_path / "runs", "import")
    (tmp_path / "faces").mkdir()
    for name, image in zip(synthetic["test"].ids, synthetic["test"].images, strict=True):
        cv2.imwrite(str(tmp_path / "faces" / f"{name}.png"), image)
    words = (tmp_path / "faces", "--whole", "--run", made.name, "--csv", tmp_path / "back.csv")
    code, *_ = fercore(*words, command=("predict",), options=())
    assert code == 0
    code, *_ = fercore(tmp_path / "back.csv", "--name", "back")
    assert code == 0
    runs = {run.config.name: run for run in list_runs(tmp_path / "runs")}
    before, after = (runs[name].predictions("test") for name in ("net", "back"))
    assert np.array_equal(before.ids, after.ids)
    same = before.probabilities.argmax(axis=1) == after.probabilities.argmax(axis=1)
    assert same.mean() > 0.99
    first, second = (runs[name].results.splits["test"].accuracy for name in ("net", "back"))
    assert second == pytest.approx(first, abs=0.005)
