from pathlib import Path

import pytest

from fercore.errors import UserError
from fercore.runs import saved_views
from fercore.runs.listing import list_runs
from fercore.runs.saved_views import SavedView, delete_view, read_views, save_view


def test_views_are_saved_by_name_and_deleted(tmp_path: Path):
    root = tmp_path / "runs"
    assert read_views(root) == ()
    save_view(root, " b ", "compare", {"runs": ["one", "two"]})
    save_view(root, "A", "", {})
    assert read_views(root) == (
        SavedView(name="A", page="", query={}),
        SavedView(name="b", page="compare", query={"runs": ["one", "two"]}),
    )
    save_view(root, "b", "runs", {"sort": ["f1"]})
    assert [view.page for view in read_views(root)] == ["", "runs"]
    delete_view(root, "b")
    delete_view(root, "nobody has saved this")
    assert [view.name for view in read_views(root)] == ["A"]
    assert list_runs(root) == []


@pytest.mark.parametrize("name", ["", "   ", "x" * 61])
def test_a_view_needs_a_name(tmp_path: Path, name: str):
    with pytest.raises(UserError, match="cannot save the view: name"):
        save_view(tmp_path, name, "runs", {})
    assert read_views(tmp_path) == ()


def test_there_is_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(saved_views, "MAX_VIEWS", 2)
    for name in ("one", "two", "two"):
        save_view(tmp_path, name, "runs", {})
    with pytest.raises(UserError, match="2 views are saved already"):
        save_view(tmp_path, "three", "runs", {})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not JSON", "expected JSON"),
        (b"{}", "tuple"),
        (b'[{"name": "a", "page": "runs", "color": "red"}]', "color"),
        (b'[{"name": "a"}]', "page"),
    ],
)
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, content: bytes, problem: str):
    file = tmp_path / saved_views.FILE
    file.write_bytes(content)
    with pytest.raises(UserError, match=problem):
        read_views(tmp_path)
    with pytest.raises(UserError, match="is damaged"):
        save_view(tmp_path, "new", "runs", {})
    assert file.read_bytes() == content


def test_a_root_that_cannot_be_written_is_reported(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("no folder")
    with pytest.raises(UserError, match="expected a folder of runs"):
        save_view(file, "new", "runs", {})
