"""Test that pages and commands work with any run folder, and report damage in one line."""

import json
import os
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.state import run_cache
from dashboard.state.run_store import RunCache
from fercore import cli
from fercore.runs import annotations
from fercore.runs.listing import list_runs
from fercore.runs.reader import read_run
from tests.dashboard.conftest import fresh_caches  # noqa: F401
from tests.hostile import run_folders
from tests.hostile.run_folders import DAMAGES, FILES, PARTS

APP = str(Path(__file__).parents[2] / "dashboard" / "navigation.py")
PAGES = ("runs", "compare", "confusion", "run", "papers")
# One of each kind; `test_run_folders.py` reads them all.
SAMPLE = ("half", "brackets", "numbers of 400 digits", "a FIFO")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folders.whole_run(tmp_path_factory.mktemp("whole") / "runs")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setenv("FERCORE_RUNS", str(folder))
    return folder


def open_page(name: str, **query: str | list[str]) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    if name != "overview":
        app.switch_page(f"app_pages/{name}/{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, (name, query, [entry.value for entry in app.exception])
    return app


def words(app: AppTest) -> str:
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "code", "html")
    said = [str(element.value) for kind in kinds for element in getattr(app, kind)]
    said += [frame.value.to_string() for frame in app.dataframe]
    return "\n".join(said).replace("\\", "")


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["fercore", *words])
    return cli._run_command()


def test_no_damaged_file_takes_a_page_down(whole: Path, root: Path):
    for name in SAMPLE:
        for file in FILES:
            path = root / f"{file}-{name}".replace(" ", "-")
            shutil.copytree(whole, path)
            DAMAGES[name](path / file)
    shutil.copytree(whole, root / "whole")
    said = words(open_page("runs"))
    for file in FILES:
        assert file in said
    some = [f"{file}-half" for file in PARTS] + ["log.jsonl-a-FIFO"]
    for page in ("compare", "confusion"):
        open_page(page, runs=["whole", *some])
    for file in FILES:
        open_page("run", run=f"{file}-brackets")
    open_page("papers")


@pytest.mark.parametrize("file", PARTS)
def test_a_page_names_the_damaged_part(whole: Path, root: Path, file: str):
    shutil.copytree(whole, root / "whole")
    shutil.copytree(whole, root / "damaged")
    DAMAGES["half"](root / "damaged" / file)
    (warning,) = read_run(root / "damaged").warnings
    assert warning.startswith(file)
    assert warning in words(open_page("run", run="damaged", details="network"))
    assert warning in words(open_page("compare", runs=["whole", "damaged"]))
    assert warning[:40] in words(open_page("runs"))
    assert warning not in words(open_page("run", run="whole"))


def test_half_a_network_is_not_offered(whole: Path, root: Path):
    shutil.copytree(whole, root / "whole")
    shutil.copytree(whole, root / "damaged")
    DAMAGES["half"](root / "damaged" / "model.onnx")
    app = open_page("photo", networks=["damaged"])
    (picked,) = (box for box in app.multiselect if box.label == "Models")
    assert picked.options == ["A whole run · whole ★"]
    assert "model.onnx is damaged" in words(app)


def test_odd_records_take_no_page_down(whole: Path, root: Path):
    names = list(run_folders.odd_records(whole))
    for number, name in enumerate(names):
        path = root / f"odd-{number:02d}"
        shutil.copytree(whole, path)
        run_folders.odd_records(path)[name]()
    for page in ("runs", "papers"):
        open_page(page)
    open_page("runs", group="1", archived="1")
    readable = [run.id for run in list_runs(root) if run.config]
    for start in range(0, len(readable), 8):
        for page in ("compare", "confusion"):
            open_page(page, runs=readable[start : start + 8])
    for name in (*names[:1], "huge counts", "no splits", "no classes", "many epochs", "odd titles"):
        open_page("run", run=f"odd-{names.index(name):02d}", details="provenance")


def test_hostile_predictions_take_no_page_down(whole: Path, root: Path):
    shutil.copytree(whole, root / "whole")
    contents = run_folders.hostile_predictions()
    names = [name for name in contents if "MB" not in name]
    for number, name in enumerate(names):
        path = root / f"hostile-{number:02d}"
        shutil.copytree(whole, path)
        (path / "predictions.npz").write_bytes(contents[name]())
    ids = [f"hostile-{number:02d}" for number in range(len(names))]
    for start in range(0, len(ids), 7):
        for page in ("compare", "confusion"):
            open_page(page, runs=["whole", *ids[start : start + 7]])
    for name in ("ids all alike", "infinite probabilities", "no samples"):
        open_page("run", run=ids[names.index(name)], scaled="1")
    open_page("runs", baseline="whole")


def test_folders_of_any_name_are_rows(whole: Path, root: Path):
    for name in run_folders.NAMES:
        shutil.copytree(whole, root / os.fsdecode(name))
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    for page in PAGES:
        open_page(page)
    for run in list_runs(root):
        assert RunCache(root).find(run.id).path == run.path
        if "\\" in run.id:
            assert "There is no run called" not in words(open_page("run", run=run.id))
    for run in list_runs(root):
        if run.config:
            annotations.delete(run)
    open_page("runs")


@pytest.mark.parametrize("run_id", ["a\0b", "x" * 5000, "..", "a/b", "back\\slash"])
def test_an_address_may_ask_for_any_run(whole: Path, root: Path, run_id: str):
    shutil.copytree(whole, root / "whole")
    assert run_cache.find_run(run_id) is None
    open_page("run", run=run_id)
    open_page("photo", networks=[run_id])


def test_commands_say_one_line(
    whole: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    for file in FILES:
        shutil.copytree(whole, root / file)
        DAMAGES["brackets"](root / file / file)
    for name in run_folders.NAMES:
        shutil.copytree(whole, root / os.fsdecode(name))
    for number, name in enumerate(run_folders.odd_records(whole)):
        path = root / f"odd-{number:02d}"
        shutil.copytree(whole, path)
        run_folders.odd_records(path)[name]()
    for words in (["runs", "list"], ["runs", "list", "--json"], ["papers"], ["ablate"]):
        assert command(monkeypatch, *words) == 0
        said = capsys.readouterr()
        assert "a defect" not in said.err
        assert not any(0xD800 <= ord(c) < 0xE000 or c == "\x1b" for c in said.out)
    for run in list_runs(root):
        for words in (["show"], ["check"], ["note", "--pin"]):
            status = command(monkeypatch, "runs", words[0], str(run.path), *words[1:])
            said = capsys.readouterr()
            assert "a defect" not in said.err
            assert status in {0, 1, 2}
            if status == 2:
                assert said.err.count("\n") == 1


@pytest.mark.parametrize("file", ["predictions.npz", "model.onnx", "log.jsonl", "layers.json"])
def test_a_command_names_the_damaged_part(
    whole: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
):
    shutil.copytree(whole, root / "damaged")
    DAMAGES["half"](root / "damaged" / file)
    (warning,) = read_run(root / "damaged").warnings
    assert command(monkeypatch, "runs", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["warnings"] == [warning]
    assert command(monkeypatch, "runs", "show", "damaged") == 0
    assert warning in capsys.readouterr().out
    assert command(monkeypatch, "runs", "check", "damaged") == 1
    assert warning in capsys.readouterr().out
    assert command(monkeypatch, "papers") == 0
    assert f"damaged: {warning}" in capsys.readouterr().err
    if file == "model.onnx":
        assert command(monkeypatch, "bench", "inference", "damaged") == 2
        assert warning in capsys.readouterr().err


def test_a_replaced_note_stays_on_the_screen(
    whole: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    shutil.copytree(whole, root / "whole")
    assert command(monkeypatch, "runs", "note", "whole", "--text", "another", "--tags", "new") == 0
    said = capsys.readouterr()
    assert said.err == "replaced the note: a note\nremoved the tags: best\n"
    assert json.loads(said.out)["text"] == "another"
