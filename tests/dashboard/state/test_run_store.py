import json
import os
import shutil
from pathlib import Path

import pytest

from dashboard.state import run_store
from dashboard.state.run_store import RunCache
from fercore.runs import reader as core
from fercore.runs.listing import list_runs
from fercore.runs.schema import Notes
from fercore.runs.writer import RunWriter
from tests.dashboard import make_runs
from tests.tiny import tiny_config


def test_same_runs_as_the_package_lists(root: Path):
    found = RunCache(root).all()
    assert [(r.id, r.state) for r in found] == [(r.id, r.state) for r in list_runs(root)]


def test_unchanged_runs_are_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch):
    kept = RunCache(root)
    first = kept.all()
    read: list[Path] = []
    monkeypatch.setattr(
        core, "read_run", lambda path: read.append(path) or core.Run(path, "broken")
    )
    assert all(a is b for a, b in zip(first, kept.all(), strict=True))
    changed = next(root.glob("stalled-run-*"))
    os.utime(changed / "config.json", ns=(1, 1))
    kept.all()
    assert read == [changed]


def test_silence_turns_running_into_stalled(root: Path, monkeypatch: pytest.MonkeyPatch):
    kept = RunCache(root)
    name = next(root.glob("khopkar2021-*")).name
    assert kept.find(name).state == "running"
    with monkeypatch.context() as patched:
        patched.setattr("fercore.runs.locks.seconds_since_written", lambda file: 121.0)
        assert kept.find(name).state == "stalled"
    make_runs.revive(root / name)
    assert kept.find(name).state == "running"


def test_the_end_of_a_process_ends_its_run_at_once(tmp_path: Path):
    run = RunWriter.create(tmp_path, tiny_config())
    kept = RunCache(tmp_path)
    assert kept.find(run.path.name).state == "starting"
    run.release()  # as the operating system does when the process is killed
    assert kept.find(run.path.name).state == "interrupted"


def test_a_path_is_no_name(root: Path, tmp_path: Path):
    inside = next(root.glob("le2019-deep-*"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").write_text("{}")
    kept = RunCache(root)
    assert kept.find(inside.name).state == "finished"
    for name in (str(inside), "../elsewhere", "..", ".", "", ".hidden", "a/b", "a\\b", "absent"):
        assert kept.find(name) is None


def test_unreadable_folder_is_a_row(root: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path) -> core.Run:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run_store.reader, "read_run", refuse)
    found = RunCache(root).all()
    assert {run.state for run in found} == {"broken"}
    assert found[0].problem == "cannot be read (Permission denied)"


def test_absent_root_holds_nothing(tmp_path: Path):
    assert RunCache(tmp_path / "absent").all() == []


def test_removed_run_is_forgotten(root: Path):
    kept = RunCache(root)
    before = len(kept.all())
    (root / "holiday-pictures" / "notes.txt").unlink()
    (root / "holiday-pictures").rmdir()
    assert len(kept.all()) == before - 1


def test_unchanged_runs_are_the_same_objects_and_every_list_is_its_own(root: Path):
    kept = RunCache(root)
    first = kept.all()
    second = kept.all()
    assert first is not second
    assert all(a is b for a, b in zip(first, second, strict=True))
    second.clear()
    assert kept.all() == first


def test_a_run_is_read_anew_when_any_file_that_pages_read_changes(root: Path):
    kept = RunCache(root)
    name = next(root.glob("le2019-deep-*")).name
    run = kept.find(name)
    for change in (
        lambda: os.truncate(root / name / "log.jsonl", 100),  # in place
        lambda: os.utime(root / name / "predictions.npz", ns=(1, 1)),
        lambda: (root / name / "model.onnx").write_bytes(b"appears"),
        lambda: (root / name / "model.onnx").unlink(),
        lambda: (root / name / "notes.json").write_text('{"text": "new"}'),
    ):
        change()
        again = kept.find(name)
        assert again is not run
        assert kept.find(name) is again
        run = again
    assert run.notes.text == "new"


def test_a_quick_scan_finds_what_was_replaced_appeared_or_is_gone(root: Path):
    kept = RunCache(root)
    names = {run.id for run in kept.all()}
    deep = next(root.glob("le2019-deep-*"))
    RunWriter(deep).write_record(Notes(text="replaced"))
    found = {run.id: run for run in kept.all(quick=True)}
    assert found[deep.name].notes.text == "replaced"
    shutil.copytree(deep, root / "another")
    assert {run.id for run in kept.all(quick=True)} == names | {"another"}
    shutil.rmtree(root / "another")
    assert {run.id for run in kept.all(quick=True)} == names
    running = next(root.glob("khopkar2021-*"))
    fields = json.loads((running / "status.json").read_bytes())
    # In place: a run that trains is looked at in full.
    (running / "status.json").write_text(json.dumps(fields | {"epoch": 39}))
    found = {run.id: run for run in kept.all(quick=True)}
    assert found[running.name].status.epoch == 39


def test_a_quick_scan_asks_the_disk_once_for_a_settled_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    kept = RunCache(root)
    settled = [run.path for run in kept.all() if run.state not in ("running", "stalled")]
    asked = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, *a, **k: asked.append(path) or stat(path, *a, **k))
    kept.all(quick=True)
    # Those at work, or thought to be, are looked at in full.
    for path in settled:
        assert [seen for seen in map(str, asked) if seen.startswith(str(path))] == [str(path)]
    asked.clear()
    kept.known()
    assert asked == []
