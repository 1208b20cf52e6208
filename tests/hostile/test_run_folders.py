"""Test that reading a run never fails, and reports damaged files."""

import os
import shutil
import tracemalloc
from pathlib import Path

import pytest

from fercore.config.loading import load_config
from fercore.errors import UserError
from fercore.evaluation import label_issues
from fercore.runs.checks import check_notes, check_run
from fercore.runs.listing import find_run, list_runs
from fercore.runs.reader import read_run, started
from tests.hostile import run_folders
from tests.hostile.run_folders import DAMAGES, FILES, PARTS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folders.whole_run(tmp_path_factory.mktemp("whole") / "runs")


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    path = tmp_path / "runs" / whole.name
    shutil.copytree(whole, path)
    return path


def restore(file: Path, content: bytes) -> None:
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    else:
        file.unlink(missing_ok=True)
    file.write_bytes(content)


def test_a_whole_run_is_whole(run):
    found = read_run(run)
    assert (found.state, found.problem, found.warnings) == ("finished", "", ())
    assert check_run(run) == []


@pytest.mark.parametrize("name", DAMAGES)
def test_no_damage_of_a_file_takes_the_reader_down(run, name):
    for file in FILES:
        content = (run / file).read_bytes()
        DAMAGES[name](run / file)
        (found,) = list_runs(run.parent)
        assert found.id == run.name
        found.log(), found.layers(), found.predictions("test"), found.onnx_path
        problems = [found.problem, *found.warnings, *check_run(run), *check_notes(run)]
        assert all("\n" not in problem and len(problem) < 400 for problem in problems)
        restore(run / file, content)
    assert check_run(run) == []


@pytest.mark.parametrize(
    "name", ["empty", "half", "zeros", "a list", "null", "brackets", "a directory", "a FIFO"]
)
@pytest.mark.parametrize("file", PARTS)
def test_a_damaged_part_is_named_and_takes_nothing_from_the_rest(run, file, name):
    DAMAGES[name](run / file)
    found = read_run(run)
    assert (found.state, found.problem) == ("finished", "")
    (warning,) = found.warnings
    assert warning.startswith(file)
    assert set(found.damaged) == {file}
    assert any(problem.startswith(file) for problem in check_run(run))


@pytest.mark.parametrize("file", FILES[:4])
@pytest.mark.parametrize("name", ["half", "brackets", "numbers of 400 digits", "a FIFO", "2 GB"])
def test_a_damaged_record_breaks_the_run_in_one_line(run, file, name):
    DAMAGES[name](run / file)
    found = read_run(run)
    assert found.state == "broken"
    assert found.problem.startswith(file) or "config.json" in found.problem


def test_a_training_may_lack_what_it_writes_last(run):
    (run / "results.json").unlink()
    run_folders.edit(run / "status.json", lambda fields: fields.update(state="interrupted"))
    with (run / "log.jsonl").open("ab") as file:
        file.write(b'{"epoch": 4, "lo')
    (run / "predictions.npz").unlink()
    assert read_run(run).warnings == ()
    assert len(read_run(run).log()) == 3


@pytest.mark.parametrize("name", run_folders.hostile_predictions())
def test_hostile_predictions_are_none(run, name):
    (run / "predictions.npz").write_bytes(run_folders.hostile_predictions()[name]())
    found = read_run(run)
    if found.predictions("test") is not None:  # whole arrays, of other values
        assert any("predictions.npz" in problem for problem in check_run(run))
        assert "ids" in name or "probabilities" in name
    assert found.state == "finished"


@pytest.mark.parametrize("name", ["probabilities that are not numbers", "declares 100 GB"])
def test_label_issues_refuse_predictions_that_are_no_numbers(run, name):
    (run / "predictions.npz").write_bytes(run_folders.hostile_predictions()[name]())
    with pytest.raises(UserError, match=r"predictions\.npz is missing or cannot be read"):
        label_issues._average_over_seeds([read_run(run)])


def test_an_array_is_as_large_as_the_archive_says(run):
    """A declared array of 100 GB is refused before memory is taken."""
    content = run_folders.hostile_predictions()["declares 100 GB"]()
    (run / "predictions.npz").write_bytes(content)
    tracemalloc.start()
    assert read_run(run).predictions("test") is None
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("digest", [True, False])
def test_a_check_finds_a_network_with_other_weights(run, digest):
    run_folders.record_network(run, digest=digest)
    assert check_run(run) == []
    assert (len(check_notes(run)) == 0) == digest
    content = bytearray((run / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (run / "model.onnx").write_bytes(content)
    assert read_run(run).warnings == ()  # its size is right
    # Without a digest, one wrong bit cannot be found.
    assert any("SHA-256" in problem for problem in check_run(run)) == digest
    (run / "model.onnx").write_bytes(b"\x08" + bytes(len(content) - 1))
    assert any("model.onnx is damaged" in problem for problem in check_run(run))


def test_a_check_counts_the_epochs_of_the_log(run):
    lines = (run / "log.jsonl").read_bytes().splitlines(keepends=True)
    (run / "log.jsonl").write_bytes(b"".join(lines[:-1]))
    assert check_run(run) == ["log.jsonl: 2 epochs, results.json has 3"]


def test_odd_records_take_no_reader_down(run):
    contents = {file: (run / file).read_bytes() for file in FILES}
    for change in run_folders.odd_records(run).values():
        change()
        found = read_run(run)
        check_run(run)
        assert 0 <= started(found) < 2**33
        assert "\n" not in found.problem
        for file, content in contents.items():
            restore(run / file, content)


@pytest.mark.parametrize("name", run_folders.NAMES, ids=ascii)
def test_a_folder_of_any_name_is_a_row_that_can_be_shown(run, name):
    shutil.copytree(run, run.parent / os.fsdecode(name))
    found = next(r for r in list_runs(run.parent) if r.id != run.name)
    found.id.encode()
    assert found.id.isprintable()
    if isinstance(name, bytes):
        assert found.state == "broken"
        assert "not UTF-8" in found.problem
    else:
        assert found.state == "finished"


def test_different_names_stay_different(tmp_path):
    for name in (b"a\xff", b"a\\xff", b"a\\\\xff", b"a\n", b"a\\n"):
        os.mkdir(os.fsencode(tmp_path) + b"/" + name)
    assert len({run.id for run in list_runs(tmp_path)}) == 5


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "\ud800", "a/" * 5000])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="fercore runs list"):
        find_run(tmp_path, name)


def test_links_that_lead_nowhere_or_in_circles_hide_no_run(run):
    root = run.parent
    (root / "loop").symlink_to("loop")
    (root / "gone").symlink_to("nowhere")
    (root / "itself").symlink_to(".")
    os.mkfifo(root / "fifo")
    assert {found.id for found in list_runs(root)} == {run.name, "itself"}


@pytest.mark.parametrize("name", ["brackets", "numbers of 5000 digits", "a FIFO", "a directory"])
def test_a_config_that_cannot_be_read_is_refused_in_one_line(run, name):
    DAMAGES[name](run / "config.json")
    with pytest.raises(UserError, match=r"^[^\n]*config\.json[^\n]*$"):
        load_config(run / "config.json")
    deep = run / "deep.toml"
    deep.write_text("a = " + "[" * 100_000)
    with pytest.raises(UserError, match="not valid TOML"):
        load_config(deep)
