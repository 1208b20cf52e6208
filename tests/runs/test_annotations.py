"""Notes, tags, the archive, and deletion that can be undone."""

import json
import threading

import pytest
from filelock import FileLock

from fercore.errors import UserError
from fercore.runs import annotations
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run, read_run
from fercore.runs.schema import Notes
from fercore.runs.writer import RunWriter
from tests.runs.test_reader import ENVIRONMENT
from tests.tiny import tiny_config


@pytest.fixture
def run(tmp_path) -> Run:
    made = RunWriter.create(tmp_path / "runs", tiny_config(seed=3))
    made.write_record(ENVIRONMENT)
    made.set_status(state="interrupted")
    return read_run(made.path)


def test_notes_lie_in_the_run_folder_and_change_field_by_field(run):
    assert run.notes == Notes()
    annotations.annotate(run, text="flips only", tags=("ablation", "best"))
    annotations.annotate(read_run(run.path), pinned=True)
    found = read_run(run.path)
    assert found.notes == Notes(text="flips only", tags=("ablation", "best"), pinned=True)
    assert json.loads((run.path / "notes.json").read_text())["pinned"] is True
    assert found.state == "interrupted"


def test_torn_notes_take_nothing_from_the_run(run):
    (run.path / "notes.json").write_text('{"text": "half')
    found = read_run(run.path)
    assert (found.state, found.notes, found.problem) == ("interrupted", Notes(), "")


def test_a_change_in_an_old_tab_takes_nothing_from_another(run):
    """`run` is what the old tab has read; the new one has written since."""
    annotations.annotate(read_run(run.path), text="from the new tab", tags=("new",))
    annotations.annotate(run, pinned=True)
    annotations.annotate(run, archived=True)
    expected = Notes(text="from the new tab", tags=("new",), pinned=True, archived=True)
    assert read_run(run.path).notes == expected


def test_tags_of_two_tabs_are_merged(run):
    annotations.annotate(run, tags=("a", "b", "c"))
    shown = read_run(run.path).notes
    annotations.annotate(run, shown, tags=("a", "b", "c", "first"))
    annotations.annotate(run, shown, tags=("b", "c", "second"))
    annotations.annotate(run, Notes(), tags=("third", "b"))
    assert read_run(run.path).notes.tags == ("b", "c", "first", "second", "third")


def test_of_two_texts_written_at_once_none_is_lost(run):
    annotations.annotate(run, text="before")
    shown = read_run(run.path).notes
    annotations.annotate(run, shown, text="from one tab")
    with pytest.raises(annotations.NoteConflictError, match="changed meanwhile") as conflict:
        annotations.annotate(run, shown, text="from the other", tags=("lost",))
    assert conflict.value.newer.text == "from one tab"
    assert read_run(run.path).notes == Notes(text="from one tab")
    # Who has seen the newer one replaces it knowingly; who changes nothing or says the same may.
    annotations.annotate(run, shown, text="before", pinned=True)
    annotations.annotate(run, shown, text="from one tab")
    assert read_run(run.path).notes == Notes(text="from one tab", pinned=True)
    annotations.annotate(run, conflict.value.newer, text="from the other")
    assert read_run(run.path).notes.text == "from the other"


def test_a_paragraph_is_added_to_what_is_there(run):
    for text in ("one", " ", "two"):
        annotations.annotate(run, Notes(), add_text=text)
    assert read_run(run.path).notes.text == "one\n\ntwo"


def test_many_at_once_lose_no_tag(run):
    """Threads stand for tabs and commands; each holds a lock of its own."""
    names = [f"tag{number}" for number in range(20)]
    threads = [
        threading.Thread(target=annotations.annotate, args=(run, Notes()), kwargs={"tags": (name,)})
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_run(run.path).notes.tags) == sorted(names)


def test_who_cannot_have_the_lock_is_told_so(run, monkeypatch):
    monkeypatch.setattr(annotations, "LOCK_SECONDS", 0.0)
    with (
        FileLock(run.path.parent / annotations.LOCK),
        pytest.raises(UserError, match=r"^[^\n]*curation\.lock[^\n]*try again$"),
    ):
        annotations.annotate(run, pinned=True)
    assert read_run(run.path).notes == Notes()
    assert [found.id for found in list_runs(run.path.parent)] == [run.id]  # a lock is no run


def test_a_run_that_was_resumed_since_it_was_shown_is_not_deleted(run):
    RunWriter(run.path).set_status(state="running")
    assert run.state == "interrupted"
    with pytest.raises(UserError, match="is in use by process"):
        annotations.delete(run)
    assert run.path.is_dir()


def test_a_run_that_another_tab_deleted_is_said_so(run):
    annotations.delete(run)
    with pytest.raises(UserError, match="not a run"):
        annotations.delete(run)
    with pytest.raises(UserError, match="cannot write"):
        annotations.annotate(run, pinned=True)


def test_a_folder_of_an_odd_name_comes_back(run):
    odd = run.path.rename(run.path.parent / "back\\slash\n")
    annotations.delete(read_run(odd))
    (gone,) = annotations.deleted(odd.parent)
    assert annotations.restore(odd.parent, gone.id).path == odd


def test_tags_are_words_each_once():
    assert annotations.parse_tags(" best, ablation best\nseed0,,") == ("best", "ablation", "seed0")


def test_a_note_that_is_too_long_is_refused_in_one_line(run):
    with pytest.raises(UserError, match=r"^[^\n]*text[^\n]*10000[^\n]*$"):
        annotations.annotate(run, text="x" * 10_001)
    assert not (run.path / "notes.json").exists()


def test_a_deleted_run_is_in_no_list_and_comes_back_whole(run):
    root = run.path.parent
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    annotations.delete(run)
    assert list_runs(root) == []
    assert [gone.id for gone in annotations.deleted(root)] == [run.id]
    found = annotations.restore(root, run.id)
    assert {path.name: path.read_bytes() for path in found.path.iterdir()} == before
    assert annotations.deleted(root) == []


def test_of_two_deleted_runs_of_one_name_none_is_lost(run):
    root = run.path.parent
    annotations.annotate(run, text="first")
    annotations.delete(run)
    again = RunWriter.create(root, tiny_config(seed=3))
    again.path.rename(root / run.id)
    again.release()
    annotations.annotate(read_run(root / run.id), text="second")
    RunWriter(root / run.id).set_status(state="interrupted")
    annotations.delete(read_run(root / run.id))
    assert annotations.restore(root, run.id).notes.text == "second"
    assert annotations.restore(root, f"{run.id}-2").notes.text == "first"


@pytest.mark.parametrize("content", [b"<<<<<<< HEAD", b'{"text": "from tomorrow", "stars": 5}'])
def test_notes_that_cannot_be_read_are_not_replaced(run, content):
    file = run.path / "notes.json"
    file.write_bytes(content)
    found = read_run(run.path)
    assert found.state == run.state
    with pytest.raises(UserError, match=r"notes\.json cannot be read"):
        annotations.annotate(found, pinned=True)
    assert file.read_bytes() == content


def test_nothing_but_a_run_that_rests_is_deleted(run):
    photos = run.path.parent / "photos"
    photos.mkdir()
    with pytest.raises(UserError, match="not a run"):
        annotations.delete(read_run(photos))
    with RunWriter.claim(run.path), pytest.raises(UserError, match=r"in use by process \d+ on "):
        annotations.delete(read_run(run.path))
    assert photos.is_dir()
    assert run.path.is_dir()


def test_restoring_never_overwrites(run):
    root = run.path.parent
    annotations.delete(run)
    (root / run.id).mkdir()
    with pytest.raises(UserError, match="another run"):
        annotations.restore(root, run.id)
    with pytest.raises(UserError, match="expected a deleted run"):
        annotations.restore(root, "../outside")


def test_purging_is_for_good(run):
    root = run.path.parent
    annotations.delete(run)
    assert annotations.purge(root) == 1
    assert annotations.deleted(root) == []
