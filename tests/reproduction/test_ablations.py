"""Ablation studies: consistent, selected on the command line, and computed from runs alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fercore.cli._overrides import parse_request
from fercore.cli.ablations import make_job
from fercore.config.loading import load_config
from fercore.data.splitting import split_dataset
from fercore.evaluation.protocol import build_protocol
from fercore.reproduction import ablations
from fercore.reproduction.ablations import Study
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run
from tests.reproduction.studies import (
    COMMITTED,
    RECIPE,
    STEPS,
    TEXT,
    by_key,
    untrained_run,
    write_log,
)
from tests.tiny import UntrainedRun, make_splits, tiny_config


def flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        deeper = isinstance(value, dict)
        found |= flat(value, f"{prefix}{name}.") if deeper else {prefix + name: value}
    return found


@pytest.mark.parametrize("study", ablations.studies(), ids=lambda study: study.key)
def test_every_change_changes_what_it_says_and_reads_no_test_split(study: Study):
    first, *others = study.changes
    recipe = flat(ablations.config_of(study, first).model_dump())
    base = flat(load_config(study.base).model_dump())
    apart = {name for name, value in recipe.items() if base.get(name) != value}
    assert apart == {"name", "title"}
    seen = {recipe["name"]}
    for change in others:
        config = flat(ablations.config_of(study, change).model_dump())
        reference = flat(ablations.config_of(study, study.reference(change)).model_dump())
        # An option that is left to the network's default before is a change, too.
        apart = {
            name for name in config.keys() | reference if reference.get(name) != config.get(name)
        }
        apart -= {"name", "title"}
        # A table covers its options, those of the reference that it removes included.
        by_field = {
            name: {own for own in apart if own == name or own.startswith(f"{name}.")}
            for name in change.fields
        }
        assert by_field, change.key
        assert all(by_field.values()), change.key
        assert apart == set().union(*by_field.values()), change.key
        assert config["protocol.test"] == "validation"
        seen.add(config["name"])
    assert len(seen) == len(others) + 1


def test_a_change_builds_on_another_and_a_table_replaces_all_options_of_the_base():
    known = by_key(STEPS)
    references = [STEPS.reference(change) for change in STEPS.changes]
    assert references == [None, *(known[key] for key in ("start", "muon", "facet", "start"))]
    facet, wide = (ablations.config_of(STEPS, known[key]) for key in ("facet", "wide"))
    base = load_config("synthetic-quick")
    assert base.model_options == {"variant": "model2"}
    assert (facet.name, facet.model) == ("synthetic-quick-facet", "facet")
    assert facet.model_options == {"variant": "tiny", "dropout": 0.1}
    assert (facet.optimizer.name, facet.optimizer.learning_rate) == ("muon", 0.01)
    assert facet.augmentation == base.augmentation
    assert wide.optimizer == facet.optimizer
    assert wide.model_options == {"variant": "tiny", "dropout": 0.0, "width": 1.5}
    assert ablations.config_of(STEPS, known["sgd"]).optimizer.name == "sgd"


def test_a_table_replaces_what_changes_before_it_set_in_it():
    changes = """
[[study.change]]
key = "narrow"
title = "Narrow"
set = { "model_options.width" = 0.5 }

[[study.change]]
key = "plain"
title = "Defaults"
on = "narrow"
set = { model_options = { variant = "tiny" } }

[[study.change]]
key = "narrower"
title = "Narrower"
on = "plain"
set = { "model_options.width" = 0.25 }
"""
    (study,) = ablations.parse(f"[[study]]{TEXT.split('[[study]]')[1]}{changes}")
    options = [ablations.config_of(study, change).model_options for change in study.changes[-3:]]
    assert [found.get("width") for found in options] == [0.5, None, 0.25]
    assert options[1] == {"variant": "tiny"}
    assert options[2] == {"variant": "tiny", "width": 0.25}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('on = "muon"', 'on = "nope"', "before it: start, muon"),
        ('on = "muon"', 'on = "wide"', "before it: start, muon"),
        ('key = "wide"', 'key = "muon"', "two changes 'muon'"),
        ('key = "steps"', 'key = "parts"', "expected each key once"),
        ('base = "synthetic-quick"', 'base = "facet-screening"\nnot = 1', "not permitted"),
        (
            'title = "As it is"',
            'title = "As it is"\nset = { epochs = 3 }',
            "the base without changes",
        ),
        ("target = 60", "target = 101", "less than or equal to 100"),
    ],
)
def test_inconsistent_studies_are_refused(old: str, new: str, message: str):
    assert old in TEXT
    with pytest.raises(ValueError, match=message):
        ablations.parse(TEXT.replace(old, new))


def test_two_studies_share_a_training_but_no_name_for_two_different_ones():
    same = TEXT.replace('base = "synthetic-quick"', 'base = "facet-screening"')
    parts, steps = ablations.parse(same)
    run = untrained_run(parts, by_key(parts)["sgd"], 0, 70)
    assert ablations.runs_of(steps, by_key(steps)["sgd"], [run]) == {0: run}
    with pytest.raises(ValueError, match="two different changes named 'facet-screening-sgd'"):
        ablations.parse(same.replace('"optimizer.name" = "sgd"', "epochs = 3", 1))


def test_teachers_are_trained_before_those_that_they_teach():
    known = by_key(RECIPE)
    wanted = [known[key] for key in ("recipe", "taught", "sgd", "recipe")]
    found = [change.key for change in ablations.with_teachers(RECIPE, wanted)]
    assert found == ["recipe", "attention", "crop", "constant", "taught", "sgd"]
    assert ablations.with_teachers(RECIPE, RECIPE.changes) == [*RECIPE.changes]


@pytest.mark.parametrize("study", [*ablations.studies(), STEPS], ids=lambda study: study.key)
def test_the_command_of_a_job_makes_its_config(study: Study):
    for change in study.changes:
        job = make_job(study, change, 2)
        name, overrides = parse_request(list(job.words[1:]))
        assert load_config(name, overrides) == job.config


def test_the_names_of_the_committed_runs_still_count():
    runs = list_runs(COMMITTED)
    lines = ablations.compare(RECIPE, runs)
    assert [line.name for line in lines] == [
        f"facet-screening-{change.key}" for change in RECIPE.changes
    ]
    counted = {run for line in lines for run in line.runs}
    assert counted == {run.id for run in runs if run.id.startswith("facet-screening-")}


def test_a_line_is_the_mean_over_seeds_and_the_gain_over_the_same_seeds():
    first, change, absent, *_ = RECIPE.changes
    runs = [
        untrained_run(RECIPE, first, 0, 70),
        untrained_run(RECIPE, first, 1, 84),
        untrained_run(RECIPE, change, 0, 84),
        untrained_run(RECIPE, change, 1, 98),
    ]
    runs.append(untrained_run(RECIPE, change, 2, 14))  # a seed of which the recipe has no run
    lines = {line.change.key: line for line in ablations.compare(RECIPE, runs)}
    line = lines[change.key]
    assert (line.n, line.parameters, len(line.runs)) == (140, 10, 3)
    assert line.mean == pytest.approx(100 * (84 + 98 + 14) / 3 / 140)
    assert lines[first.key].spread == pytest.approx(np.std([50, 60], ddof=1))
    assert line.difference.difference == pytest.approx(0.1)
    assert 0.04 < line.difference.low < 0.1 < line.difference.high < 0.16
    assert lines[absent.key].mean is None
    # Another edition of the dataset orders its samples by other names.
    said = runs[2].predictions("test")
    runs[2].replace_predictions(replace(said, ids=np.char.add(said.ids, "x")))
    lines = {line.change.key: line for line in ablations.compare(RECIPE, runs)}
    assert lines[change.key].mean == pytest.approx(100 * (84 + 98 + 14) / 3 / 140)
    assert lines[change.key].difference is None


def test_a_difference_is_on_one_version_of_the_dataset():
    runs = [untrained_run(STEPS, change, 0, right=70) for change in STEPS.changes[:2]]
    known = next(run.environment for run in list_runs(COMMITTED) if run.environment)
    for run in runs:
        object.__setattr__(run, "environment", known)
    assert ablations.compare(STEPS, runs)[1].difference is not None
    other = known.model_copy(update={"dataset_fingerprint": "0123456789abcdef"})
    object.__setattr__(runs[1], "environment", other)
    assert ablations.compare(STEPS, runs)[1].difference is None


def test_other_folds_are_no_further_seeds():
    text = TEXT.replace('base = "facet-screening"', 'base = "vgg-crossfit"', 1)
    study = ablations.parse(text)[0]
    config = make_job(study, study.changes[0], 0).config
    assert config.protocol.by_folds
    runs = []
    for fold in (config.protocol.fold, 3):
        protocol = config.protocol.model_copy(update={"fold": fold})
        run = UntrainedRun(config, 70)
        object.__setattr__(run, "config", config.model_copy(update={"protocol": protocol}))
        object.__setattr__(run, "path", Path(f"fold-{fold}"))
        runs.append(run)
    found = ablations.runs_of(study, study.changes[0], runs)
    assert [run.id for run in found.values()] == [f"fold-{config.protocol.fold}"]


def test_the_gain_on_dependent_images_has_the_interval_of_their_groups():
    first, change, *_ = RECIPE.changes
    runs = [untrained_run(RECIPE, first, 0, 70), untrained_run(RECIPE, change, 0, 84)]

    def width() -> float:
        lines = {line.change.key: line for line in ablations.compare(RECIPE, runs)}
        found = lines[change.key].difference
        assert found.difference == pytest.approx(0.1)
        return found.high - found.low

    alone = width()
    said = runs[1].predictions("test")
    groups = (np.arange(len(said.ids)) // 14).astype(str)
    # Known of one run, it counts for both.
    runs[1].replace_predictions(replace(said, groups=groups, group_kind="subject"))
    assert width() > 2 * alone


def test_a_difference_is_from_the_change_that_it_builds_on():
    known = by_key(STEPS)
    right = {"start": 70, "muon": 84, "facet": 98, "wide": 91, "sgd": 56}
    runs = [untrained_run(STEPS, known[key], 0, many) for key, many in right.items()]
    lines = ablations.compare(STEPS, runs)
    references = [line.reference.key if line.reference else None for line in lines]
    assert references == [None, "start", "muon", "facet", "start"]
    assert lines[0].difference is None
    gains = [line.difference.difference for line in lines[1:]]
    assert gains == pytest.approx([0.1, 0.1, -0.05, -0.1])
    # Without a run of the change that it builds on there is no difference.
    lines = ablations.compare(STEPS, [runs[0], runs[3]])
    assert lines[3].mean == pytest.approx(65)
    assert lines[3].difference is None


def test_epochs_to_the_target_are_those_of_the_first_that_reaches_it(tmp_path: Path):
    start, muon, facet, *_ = STEPS.changes
    runs = [
        untrained_run(STEPS, change, seed, 70) for change in (start, muon, facet) for seed in (0, 1)
    ]
    logs = [[0.5, 0.6, 0.5, 0.7], [0.1, 0.2, 0.3, 0.4, 0.61], [0.7, 0.8], [0.5, 0.59]]
    for run, log in zip(runs, logs, strict=False):
        write_log(run, tmp_path, log)
    found = [line.epochs_to_target for line in ablations.compare(STEPS, runs)]
    # A seed that never reaches it leaves the mean without a meaning, and so does a lost log.
    assert found == [3.5, None, None, None, None]
    (line, *_) = ablations.compare(STEPS.model_copy(update={"target": None}), runs)
    assert line.epochs_to_target is None
    # The log of a run that is kept gives the seconds as well.
    assert line.seconds == pytest.approx(30)


def test_what_was_trained_otherwise_is_not_counted():
    first = RECIPE.changes[0]
    run = untrained_run(RECIPE, first, 0, 70)
    longer = run.config.model_copy(update={"epochs": 100})
    trained = run.results.model_copy(update={"epochs_run": 100})
    other = Run(run.path, "finished", longer, results=trained)
    stopped = run.results.model_copy(update={"stopped_by": "interrupt"})
    early = Run(run.path, "finished", run.config, results=stopped)
    assert ablations.runs_of(RECIPE, first, [other, early]) == {}


def test_the_validation_split_is_tested_on_in_place_of_the_test_split():
    config = tiny_config(protocol={"test": "validation"}, keep="last")
    splits = make_splits()
    divided = split_dataset(config, splits)
    assert divided["test"] is splits["validation"]
    assert divided.title("test") == "PublicTest"
    protocol = build_protocol(config, splits)
    assert not {*protocol.eval_splits["test"].ids} & {*splits["test"].ids}


def test_epochs_of_small_images_do_not_count_as_reaching_a_target(tmp_path: Path):
    start, *_ = STEPS.changes
    run = untrained_run(STEPS, start, 0, 70)
    write_log(run, tmp_path, [0.7, 0.7, 0.7])
    path = run.path / "log.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    sizes = (32, 32, 48)
    path.write_text(
        "".join(
            f"{json.dumps(row | {'image_size': size})}\n"
            for row, size in zip(rows, sizes, strict=True)
        )
    )
    assert ablations.compare(STEPS, [run])[0].epochs_to_target == 3
