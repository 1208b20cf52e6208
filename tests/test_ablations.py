"""The table of what the parts of the recipe are worth: complete, and computed from runs alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fercore import ablations
from fercore.cli.ablations import job_of
from fercore.cli.experiments import parse_request
from fercore.config import load_config
from fercore.partition import divide
from fercore.protocol import plan
from fercore.runs import Run
from tests.tiny import Told, make_splits, tiny_config


def told(change: ablations.Change, seed: int, right: int) -> Told:
    return Told(job_of(change, seed).config, right)


def flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        deeper = isinstance(value, dict)
        found |= flat(value, f"{prefix}{name}.") if deeper else {prefix + name: value}
    return found


def test_every_change_changes_what_it_says_and_reads_no_test_split():
    first, *others = ablations.changes()
    assert not first.fields
    recipe = flat(ablations.config_of(first).model_dump())
    base = flat(load_config(ablations.base()).model_dump())
    apart = {name for name, value in recipe.items() if base.get(name) != value}
    assert apart == {"name", "title"}
    seen = {ablations.config_of(first).name}
    for change in others:
        config = flat(ablations.config_of(change).model_dump())
        # An option that the base leaves to the network's default is a change, too.
        assert change.fields
        assert all(base.get(name) != config[name] for name in change.fields), change.key
        apart = {name for name in config if recipe.get(name) != config[name]}
        assert apart - {"name", "title"} == set(change.fields), change.key
        assert config["protocol.test"] == "validation"
        seen.add(config["name"])
    assert len(seen) == len(others) + 1


def test_teachers_are_trained_before_those_that_they_teach():
    known = {change.key: change for change in ablations.changes()}
    recipe, taught, sgd = known["recipe"], known["taught"], known["sgd"]
    found = [change.key for change in ablations.with_teachers([recipe, taught, sgd, recipe])]
    assert found == ["recipe", "attention", "crop", "constant", "taught", "sgd"]
    everything = [change.key for change in ablations.with_teachers(ablations.changes())]
    assert everything == list(known)


def test_the_command_of_a_job_makes_its_config():
    for change in ablations.changes():
        job = job_of(change, 2)
        name, overrides = parse_request(list(job.words[1:]))
        assert load_config(name, overrides) == job.config


def test_a_line_is_the_mean_over_seeds_and_the_gain_over_the_same_seeds():
    first, change, absent, *_ = ablations.changes()
    runs = [told(first, 0, 70), told(first, 1, 84), told(change, 0, 84), told(change, 1, 98)]
    runs.append(told(change, 2, 14))  # a seed of which the recipe has no run
    lines = {line.change.key: line for line in ablations.compare(runs)}
    line = lines[change.key]
    assert (line.n, line.parameters, len(line.runs)) == (140, 10, 3)
    assert line.mean == pytest.approx(100 * (84 + 98 + 14) / 3 / 140)
    assert lines[first.key].spread == pytest.approx(np.std([50, 60], ddof=1))
    assert line.difference.difference == pytest.approx(0.1)
    assert 0.04 < line.difference.low < 0.1 < line.difference.high < 0.16
    assert lines[absent.key].mean is None
    # Another edition of the dataset orders its samples by other names.
    said = runs[2].predictions("test")
    object.__setattr__(runs[2], "_said", replace(said, ids=np.char.add(said.ids, "x")))
    lines = {line.change.key: line for line in ablations.compare(runs)}
    assert lines[change.key].mean == pytest.approx(100 * (84 + 98 + 14) / 3 / 140)
    assert lines[change.key].difference is None


def test_what_was_trained_otherwise_is_not_counted():
    first = ablations.changes()[0]
    run = told(first, 0, 70)
    longer = run.config.model_copy(update={"epochs": 100})
    trained = run.results.model_copy(update={"epochs_run": 100})
    other = Run(run.path, "finished", longer, results=trained)
    stopped = run.results.model_copy(update={"stopped_by": "interrupt"})
    early = Run(run.path, "finished", run.config, results=stopped)
    assert ablations.runs_of(first, [other, early]) == {}


def test_the_validation_split_is_tested_on_in_place_of_the_test_split():
    config = tiny_config(protocol={"test": "validation"}, keep="last")
    splits = make_splits()
    divided = divide(config, splits)
    assert divided["test"] is splits["validation"]
    assert divided.title("test") == "PublicTest"
    protocol = plan(config, splits)
    assert not {*protocol.judged["test"].ids} & {*splits["test"].ids}
