"""The shipped JSON Schema, the format's models and the committed runs agree."""

import json
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from fercore import metrics
from fercore.runs.checks import check_run
from fercore.runs.json_schema import run_schema
from fercore.runs.reader import read_run
from fercore.runs.schema import RUN_FILES

ROOT = Path(__file__).parents[2] / "runs"
COMMITTED = sorted(path.parent for path in ROOT.glob("*/results.json"))
SCHEMA = json.loads((resources.files("fercore.runs") / "run.schema.json").read_text())
# `jsonschema.validate` would check the schema itself anew for every run.
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def as_object(path):
    content = {}
    for file in RUN_FILES:
        if (path / file).is_file():
            text = (path / file).read_text()
            is_log = file.endswith(".jsonl")
            content[file] = (
                [json.loads(x) for x in text.splitlines()] if is_log else json.loads(text)
            )
    return content


def test_the_shipped_schema_is_that_of_the_models():
    assert run_schema() == SCHEMA, (
        "write it anew: fercore runs schema > fercore/runs/run.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_runs_keep_the_format(path):
    VALIDATOR.validate(as_object(path))
    assert check_run(path) == []
    run = read_run(path)
    assert run.state == "finished"
    assert not run.environment.synthetic
    if run.experiment and run.experiment.head == "random_forest":
        assert run.results.onnx is run.onnx_path is None  # trees are no network
        return
    if run.origin == "combined" and run.results.onnx is None:
        assert run.onnx_path is None  # made from stored predictions
        return
    assert run.results.onnx is not None  # whether or not the file comes with a clone
    if run.origin == "trained":
        assert run.results.onnx.max_difference <= 1e-4
    else:
        # What was never in Keras was compared with nothing.
        assert run.results.onnx.max_difference is None


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_committed_figures_follow_from_the_committed_predictions(path):
    run = read_run(path)
    stored = run.predictions("test")
    dropped = [run.results.class_names.index(name) for name in run.config.drop_classes]
    keep = ~np.isin(stored.labels, dropped)
    groups = None if stored.groups is None else stored.groups[keep]
    summary = metrics.summarise(stored.probabilities[keep], stored.labels[keep], groups)
    result = run.results.splits["test"]
    assert summary.n == result.n
    assert summary.accuracy == result.accuracy
    assert summary.macro_f1 == pytest.approx(result.macro_f1, abs=1e-12)
    assert summary.nll == pytest.approx(result.nll, abs=1e-12)
    assert summary.confusion.tolist() == result.confusion
    assert not run.groups_unknown
    assert summary.groups == result.groups
    ends = (result.accuracy_low, result.accuracy_high)
    assert (summary.accuracy_low, summary.accuracy_high) == pytest.approx(ends, abs=1e-12)


def test_there_are_committed_runs():
    assert len(COMMITTED) >= 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: run.pop("status.json"),
        lambda run: run["status.json"].update(state="asleep"),
        lambda run: run["log.jsonl"][0].pop("val_loss"),
        lambda run: run["results.json"]["splits"]["test"].update(accuracy=54.06),
        lambda run: run["config.json"].update(epoch=3),
        lambda run: run.update({"pixels.json": {}}),
    ],
)
def test_the_schema_refuses_what_is_no_run(damage):
    trained = next(path for path in COMMITTED if (path / "log.jsonl").is_file())
    content = as_object(trained)
    VALIDATOR.validate(content)
    damage(content)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(content)
