"""Runs of earlier versions get present names and groups of dependent images, nothing else."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fercore import cli
from fercore.data.splits import UNSPLIT, Split, Splits, fingerprint
from fercore.errors import UserError
from fercore.evaluation.migration import has_old_format, update, upgrade_format
from fercore.evaluation.protocol import build_protocol
from fercore.evaluation.results import evaluate_predictions, predictions_of
from fercore.runs.checks import check_run
from fercore.runs.provenance import describe_environment
from fercore.runs.reader import read_run
from fercore.runs.schema import Results
from fercore.runs.writer import RunWriter, hold_lock
from tests.format_1 import downgrade_run
from tests.tiny import tiny_config

INTERVALS = ("accuracy_low", "accuracy_high", "groups", "group_kind")
OF_CLASSES = ("recall_low", "recall_high", "groups")


def posed() -> Splits:
    """Twenty subjects with six frames each, some of them hard."""
    rng = np.random.default_rng(0)
    ids = np.array([f"S{s:03d}_{f}" for s in range(20) for f in range(6)])
    labels = np.tile(np.arange(6), 20).astype(np.uint8)
    images = rng.integers(0, 256, (120, 48, 48), dtype=np.uint8)
    subjects = np.array([name[:4] for name in ids.tolist()])
    parts = {UNSPLIT: Split(images, labels, ids, {"subject": subjects})}
    return Splits("ckplus", tuple("abcdef"), parts, fingerprint=fingerprint(parts))


def old_run(root, splits, **protocol):
    """A run as earlier versions wrote it: without groups."""
    config = tiny_config(
        dataset="ckplus", protocol={"split": "subjects"} | protocol, image={"size": 24}
    )
    layout = build_protocol(config, splits)
    said = {}
    for role, part in layout.eval_splits.items():
        hard = np.array([int(name[1:4]) % 3 == 0 for name in part.ids.tolist()])
        named = np.where(hard, (part.labels + 1) % 6, part.labels)
        said[role] = np.where(np.eye(6)[named] > 0, 0.75, 0.05).astype(np.float32)
    stored = {
        role: replace(part, groups=None, group_kind="", unique=None)
        for role, part in predictions_of(layout, said).items()
    }
    writer = RunWriter.create(root, config)
    environment = describe_environment(
        "fercore train", splits, layout, backend="none", device="none", precision="float32"
    )
    writer.write_record(environment)
    writer.write_predictions(stored)
    results = Results(
        class_names=list(layout.class_names),
        splits=evaluate_predictions(layout, stored),
        finished="2026-01-01T00:00:00+00:00",
        stopped_by="epochs",
        epochs_run=config.epochs,
        train_seconds=0.1 + 0.2,
    )
    fields = results.model_dump(mode="json")
    for split in fields["splits"].values():
        del split["groups"], split["group_kind"]
        for entry in split["classes"]:
            del entry["groups"]
    writer.write_json("results.json", fields)
    writer.set_status(state="finished", phase="")
    return read_run(writer.path)


def content(run):
    with np.load(run.path / "predictions.npz") as stored:
        return json.loads((run.path / "results.json").read_text()), dict(stored)


def test_groups_and_intervals_are_added_and_nothing_else_changes(tmp_path):
    splits = posed()
    run = old_run(tmp_path, splits)
    assert run.groups_unknown
    files = {p.name: p.read_bytes() for p in run.path.iterdir() if p.is_file()}
    before, stored_before = content(run)
    update(run, splits)
    after, stored = content(run)
    again = read_run(run.path)
    assert not again.groups_unknown
    assert not [line for line in check_run(run.path) if "predictions" in line]
    damaged = dict(stored, test_groups=stored["test_ids"])
    np.savez_compressed(run.path / "predictions.npz", **damaged)
    assert "predictions.npz: test has other groups than results.json" in check_run(run.path)
    np.savez_compressed(run.path / "predictions.npz", **stored)
    layout = build_protocol(run.config, splits)
    for role, part in layout.eval_splits.items():
        found = again.predictions(role)
        assert (found.groups.tolist(), found.group_kind) == (
            part.groups["subject"].tolist(),
            "subject",
        )
    wide = again.results.splits["test"]
    narrow = run.results.splits["test"]
    assert (
        wide
        == evaluate_predictions(
            layout, {role: again.predictions(role) for role in layout.eval_splits}
        )["test"]
    )
    assert wide.groups == 4
    assert wide.accuracy_high - wide.accuracy_low > 1.5 * (
        narrow.accuracy_high - narrow.accuracy_low
    )
    for result in (before, after):
        for split in result["splits"].values():
            for name in INTERVALS:
                split.pop(name, None)
            for entry, name in ((e, n) for e in split["classes"] for n in OF_CLASSES):
                entry.pop(name, None)
    assert json.dumps(after) == json.dumps(before)
    for name, array in stored_before.items():
        assert stored[name].dtype == array.dtype
        np.testing.assert_array_equal(stored[name], array)
    for name in files.keys() - {"results.json", "predictions.npz"}:
        assert (run.path / name).read_bytes() == files[name]


def test_a_run_learns_which_of_its_test_images_also_stand_in_training(tmp_path):
    splits = posed()
    layout = build_protocol(tiny_config(dataset="ckplus", protocol={"split": "subjects"}), splits)
    pool = splits[UNSPLIT]
    train, test = layout.train.ids[0], layout.eval_splits["test"].ids[3]
    pool.images[pool.ids == test] = pool.images[pool.ids == train]
    run = old_run(tmp_path, splits)
    assert run.predictions("test").unique is None
    update(run, splits)
    again = read_run(run.path).predictions("test")
    assert again.ids[~again.unique].tolist() == [test]


def test_equal_splits_stay_stored_once(tmp_path):
    splits = posed()
    run = old_run(tmp_path, splits, select_on="test", leak_free=False)
    update(run, splits)
    _, stored = content(run)
    assert {"test_groups", "test_group_kind"} <= stored.keys()
    assert not [name for name in stored if name.startswith("validation")]
    assert read_run(run.path).predictions("validation").group_kind == "subject"


def other_pixels(run, splits):
    return run, replace(splits, fingerprint="f" * 16)


def other_samples(run, splits):
    pool = splits[UNSPLIT]
    return run, replace(splits, parts={UNSPLIT: pool.take(np.arange(len(pool)) > 5)})


def not_finished(run, splits):
    return replace(run, results=None, state="interrupted"), splits


def without_predictions(run, splits):
    (run.path / "predictions.npz").unlink()
    return run, splits


def other_figures(run, splits):
    fields = json.loads((run.path / "results.json").read_text())
    fields["splits"]["test"]["confusion"][0][0] += 1
    (run.path / "results.json").write_text(json.dumps(fields))
    return read_run(run.path), splits


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_pixels, "was evaluated on another ckplus"),
        (other_samples, "predictions for other samples than its protocol gives"),
        (not_finished, "is interrupted; expected a finished run"),
        (without_predictions, "no readable .* predictions"),
        (other_figures, "another confusion matrix"),
    ],
)
def test_a_run_that_does_not_fit_is_refused_and_unchanged(tmp_path, damage, message):
    splits = posed()
    run, splits = damage(old_run(tmp_path, splits), splits)
    before = {p.name: p.read_bytes() for p in run.path.iterdir() if p.is_file()}
    with pytest.raises(UserError, match=message):
        update(run, splits)
    assert {p.name: p.read_bytes() for p in run.path.iterdir() if p.is_file()} == before


def test_the_command_migrates_what_needs_it_and_names_what_it_cannot(tmp_path, monkeypatch, capsys):
    splits = posed()
    run = old_run(tmp_path, splits)
    broken = tmp_path / "broken"
    shutil.copytree(run.path, broken)
    (broken / "predictions.npz").write_bytes(b"")
    monkeypatch.setattr("fercore.data.registry.load_dataset", lambda name, root: splits)

    def migrate(*names):
        status = cli.app(
            ["runs", "migrate", *names, "--runs-root", str(tmp_path)], standalone_mode=False
        )
        return status, capsys.readouterr()

    status, said = migrate()
    assert status == 1
    assert f"{run.id}: by subject, 4 groups; 95% CI" in said.out
    assert said.err.startswith("not changed: broken has no readable")
    shutil.rmtree(broken)
    assert migrate()[1].out == "every run is up to date\n"
    assert migrate(run.id)[1].out == f"{run.id}: up to date\n"


def test_a_run_of_format_1_is_read_as_one_of_the_present_format(tmp_path):
    run = old_run(tmp_path, posed(), leak_free=False)
    assert not has_old_format(run)
    problems = check_run(run.path)
    downgrade_run(run.path)
    again = read_run(run.path)
    assert (again.state, again.problem) == ("finished", "")
    assert again.config == run.config
    assert again.experiment.is_same_experiment(run.experiment)
    assert again.environment.format_version == again.results.format_version == 1
    assert has_old_format(again)
    assert check_run(run.path) == problems


def test_the_format_is_upgraded_and_no_value_changes(tmp_path):
    run = old_run(tmp_path, posed(), leak_free=False)
    before = {p.name: p.read_bytes() for p in run.path.iterdir() if p.is_file()}
    downgrade_run(run.path)
    outdated = {p.name: p.read_bytes() for p in run.path.iterdir() if p.is_file()}
    changed = {name for name in before if outdated[name] != before[name]}
    assert changed == {"config.json", "environment.json", "results.json"}
    upgrade_format(read_run(run.path))
    assert {p.name: p.read_bytes() for p in run.path.iterdir() if p.is_file()} == before
    assert not has_old_format(read_run(run.path))


def test_what_a_config_of_format_1_lacks_stays_absent(tmp_path):
    """A field that came later has its default; the file is not filled up."""
    run = old_run(tmp_path, posed())
    fields = json.loads((run.path / "config.json").read_text())
    for table, name in (("protocol", "exclude"), ("optimizer", "batch_norm_bias_rate")):
        del fields[table][name]
    (run.path / "config.json").write_text(json.dumps(fields, indent=1) + "\n")
    content = (run.path / "config.json").read_bytes()
    downgrade_run(run.path)
    upgrade_format(read_run(run.path))
    assert (run.path / "config.json").read_bytes() == content


def test_a_run_in_use_is_not_upgraded(tmp_path):
    run = old_run(tmp_path, posed())
    run_path = run.path
    downgrade_run(run_path)
    content = (run_path / "config.json").read_bytes()
    with hold_lock(run_path), pytest.raises(UserError, match="is in use by"):
        upgrade_format(run)
    assert (run_path / "config.json").read_bytes() == content


def test_the_command_upgrades_an_unfinished_run_without_its_dataset(tmp_path, capsys):
    writer = RunWriter.create(tmp_path, tiny_config(dataset="absent"))
    writer.set_status(state="interrupted")
    writer.release()
    downgrade_run(writer.path)

    def migrate(*names):
        cli.app(["runs", "migrate", *names, "--runs-root", str(tmp_path)], standalone_mode=False)
        return capsys.readouterr().out

    name = writer.path.name
    assert migrate() == f"{name}: format version 2\n"
    assert '"leak_free": true' in (writer.path / "config.json").read_text()
    assert migrate() == "every run is up to date\n"
