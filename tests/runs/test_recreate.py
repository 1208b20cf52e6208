"""The line that says how to make a network that is not here."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fercore.cli import main
from fercore.config.loading import load_config
from fercore.config.run import ImportedConfig, ImportSource, RunConfig
from fercore.errors import UserError
from fercore.runs.checks import check_run
from fercore.runs.listing import find_run
from fercore.runs.reader import read_run
from fercore.runs.recreate import (
    missing_network,
    require_checkpoint,
    require_network,
    train_command,
)

RUNS = Path(__file__).parents[2] / "runs"
DEEP = "le2019-deep-s0-20261121T052505"
MUON = "facet-tiny-s0-20261121T234455"
KEPT = "facet-tiny-s0-20261121T151906"
FOREST = "ranjan2023-model2-ckplus-forest-s0-20261121T214837"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A runs root with three committed runs, none of which has its network."""
    for name in (DEEP, MUON, FOREST):
        ignored = shutil.ignore_patterns("model.onnx", "checkpoints")
        shutil.copytree(RUNS / name, tmp_path / "runs" / name, ignore=ignored)
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def imported(run, kind):
    source = ImportSource(kind=kind, file="theirs", sha256="0", class_names=("a", "b"))
    fields = run.config.model_dump(include=set(RunConfig.model_fields))
    config = ImportedConfig(**fields, imported=source)
    command = run.environment.model_copy(update={"command": "fercore runs import theirs.onnx"})
    return replace(run, config=config, environment=command)


def test_a_network_that_is_here_is_found():
    path = RUNS / KEPT / "model.onnx"
    assert require_network(read_run(RUNS / KEPT)) == path


def test_a_run_of_a_committed_experiment_is_trained_again_by_name(root):
    line = (
        f"{DEEP} has no network (model.onnx) here; train it again and use the new run instead: "
        "fercore train le2019-deep --seed 0"
    )
    assert missing_network(find_run(root, DEEP)) == line
    with pytest.raises(UserError) as refused:
        require_network(find_run(root, DEEP))
    assert str(refused.value) == line
    fold = read_run(RUNS / "rath2021-original-subjects-s0-f3-20261121T064015")
    expected = "fercore train rath2021-original-subjects --seed 0 --protocol.fold 3"
    assert train_command(fold) == expected


def test_a_run_of_another_config_is_trained_again_by_its_own(root):
    run = find_run(root, MUON)
    assert run.config.name == "facet-tiny"
    assert train_command(run) == f"fercore train runs/{MUON}/config.json"
    assert load_config(Path(train_command(run).split()[-1])) == run.config
    assert train_command(read_run(RUNS / MUON)).endswith(f"{RUNS / MUON / 'config.json'}")


def test_a_run_with_its_checkpoint_is_exported(root, tmp_path):
    run = find_run(root, DEEP)
    with pytest.raises(UserError, match=r"git does not carry.*fercore train le2019-deep --seed 0$"):
        require_checkpoint(run)
    run.keras_path.parent.mkdir()
    run.keras_path.touch()
    assert require_checkpoint(run) == run.keras_path
    assert missing_network(run).endswith(f"; export it: fercore export {DEEP}")
    elsewhere = tmp_path / "else where" / DEEP
    shutil.copytree(run.path, elsewhere)
    assert missing_network(read_run(elsewhere)).endswith(f": fercore export '{elsewhere}'")


def test_a_combined_run_is_combined_again():
    run = read_run(RUNS / "facet-tiny-taught-tta-s0-20261122T122819")
    assert missing_network(run).endswith(
        "; combine its members again, once each of them has a network: fercore ensemble "
        "facet-tiny-taught-s0-20261122T030009 --tta "
        "--name facet-tiny-taught-tta --title 'Facet, tiny, taught by three: ten views'"
    )


def test_an_ensemble_from_stored_predictions_needs_the_networks_of_its_members():
    run = read_run(next(RUNS.glob("ensemble-selected-*")))
    text = missing_network(run)
    assert "made from stored predictions" in text
    assert text.endswith("fercore ensemble " + " ".join(run.config.combined.members))


def test_an_imported_run_is_imported_again(root):
    run = find_run(root, DEEP)
    line = missing_network(imported(run, "onnx"))
    assert line.endswith("; import it again: fercore runs import theirs.onnx")
    assert "imported, without a network" in missing_network(imported(run, "predictions"))


def test_a_run_that_never_had_a_network_says_why(root):
    assert "a random forest gives the predictions" in missing_network(find_run(root, FOREST))
    with pytest.raises(UserError, match="expected a run whose network gives the predictions"):
        require_checkpoint(find_run(root, FOREST))
    run = replace(find_run(root, DEEP), results=None, state="running")
    assert missing_network(run).endswith("it is written when the training ends")
    run = replace(run, state="interrupted")
    assert missing_network(run).endswith("train it again: fercore train le2019-deep --seed 0")
    run.last_path.parent.mkdir()
    run.last_path.touch()
    assert missing_network(run).endswith(f"resume it: fercore train --resume {DEEP}")
    (root / "empty").mkdir()
    assert "cannot be read: no config.json" in missing_network(read_run(root / "empty"))


def test_a_run_without_its_network_is_sound(root):
    run = find_run(root, DEEP)
    assert run.results.onnx is not None
    assert run.state == "finished"
    assert check_run(run.path) == []


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "face.png", "--run", DEEP),
        ("evaluate", DEEP),
        ("evaluate", DEEP, "--tta"),
        ("ensemble", DEEP, "--tta"),
        ("bench", "inference", DEEP),
        ("bench", "live", DEEP),
        ("export", DEEP),
    ],
    ids=" ".join,
)
def test_a_command_that_needs_the_network_says_how_to_make_it(
    root, tmp_path, monkeypatch, capsys, words
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    cv2.imwrite("face.png", np.zeros((64, 64), np.uint8))
    before = sorted(path.name for path in root.iterdir())
    monkeypatch.setattr(sys, "argv", ["fercore", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert DEEP in line
    assert line.endswith(
        "train it again and use the new run instead: fercore train le2019-deep --seed 0"
    )
    assert sorted(path.name for path in root.iterdir()) == before


def test_a_fold_that_the_experiment_does_not_have_is_trained_from_the_runs_own_config(root):
    run = find_run(root, DEEP)
    fields = {"protocol.folds": 10, "protocol.fold": 7}
    config = load_config("vgg-crossfit", fields)
    assert train_command(replace(run, config=config)).endswith(f"{DEEP}/config.json")
