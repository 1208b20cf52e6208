"""Notes, tags, the archive, and deletion that can be undone."""

import json

import pytest

from fercore import curation
from fercore.errors import UserError
from fercore.recorder import RunWriter
from fercore.records import Notes
from fercore.runs import Run, list_runs, read_run
from tests.test_runs import ENVIRONMENT
from tests.tiny import tiny_config


@pytest.fixture
def run(tmp_path) -> Run:
    made = RunWriter.create(tmp_path / "runs", tiny_config(seed=3))
    made.write_record(ENVIRONMENT)
    made.set_status(state="interrupted")
    return read_run(made.path)


def test_notes_lie_in_the_run_folder_and_change_field_by_field(run):
    assert run.notes == Notes()
    curation.annotate(run, text="flips only", tags=("ablation", "best"))
    curation.annotate(read_run(run.path), pinned=True)
    found = read_run(run.path)
    assert found.notes == Notes(text="flips only", tags=("ablation", "best"), pinned=True)
    assert json.loads((run.path / "notes.json").read_text())["pinned"] is True
    assert found.state == "interrupted"


def test_torn_notes_take_nothing_from_the_run(run):
    (run.path / "notes.json").write_text('{"text": "half')
    found = read_run(run.path)
    assert (found.state, found.notes, found.problem) == ("interrupted", Notes(), "")


def test_tags_are_words_each_once():
    assert curation.parse_tags(" best, ablation best\nseed0,,") == ("best", "ablation", "seed0")


def test_a_note_that_is_too_long_is_refused_in_one_line(run):
    with pytest.raises(UserError, match=r"^[^\n]*text[^\n]*10000[^\n]*$"):
        curation.annotate(run, text="x" * 10_001)
    assert not (run.path / "notes.json").exists()


def test_a_deleted_run_is_in_no_list_and_comes_back_whole(run):
    root = run.path.parent
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    curation.delete(run)
    assert list_runs(root) == []
    assert [gone.id for gone in curation.deleted(root)] == [run.id]
    found = curation.restore(root, run.id)
    assert {path.name: path.read_bytes() for path in found.path.iterdir()} == before
    assert curation.deleted(root) == []


def test_of_two_deleted_runs_of_one_name_none_is_lost(run):
    root = run.path.parent
    curation.annotate(run, text="first")
    curation.delete(run)
    again = RunWriter.create(root, tiny_config(seed=3))
    again.path.rename(root / run.id)
    again.release()
    curation.annotate(read_run(root / run.id), text="second")
    RunWriter(root / run.id).set_status(state="interrupted")
    curation.delete(read_run(root / run.id))
    assert curation.restore(root, run.id).notes.text == "second"
    assert curation.restore(root, f"{run.id}-2").notes.text == "first"


@pytest.mark.parametrize("content", [b"<<<<<<< HEAD", b'{"text": "from tomorrow", "stars": 5}'])
def test_notes_that_cannot_be_read_are_not_replaced(run, content):
    file = run.path / "notes.json"
    file.write_bytes(content)
    found = read_run(run.path)
    assert found.state == run.state
    with pytest.raises(UserError, match=r"notes\.json cannot be read"):
        curation.annotate(found, pinned=True)
    assert file.read_bytes() == content


def test_nothing_but_a_run_that_rests_is_deleted(run):
    photos = run.path.parent / "photos"
    photos.mkdir()
    with pytest.raises(UserError, match="not a run"):
        curation.delete(read_run(photos))
    with RunWriter.claim(run.path), pytest.raises(UserError, match=r"in use by process \d+ on "):
        curation.delete(read_run(run.path))
    assert photos.is_dir()
    assert run.path.is_dir()


def test_restoring_never_overwrites(run):
    root = run.path.parent
    curation.delete(run)
    (root / run.id).mkdir()
    with pytest.raises(UserError, match="another run"):
        curation.restore(root, run.id)
    with pytest.raises(UserError, match="expected a deleted run"):
        curation.restore(root, "../outside")


def test_purging_is_for_good(run):
    root = run.path.parent
    curation.delete(run)
    assert curation.purge(root) == 1
    assert curation.deleted(root) == []
