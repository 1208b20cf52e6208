"""Adding datasets on the Data page, and undoing it."""

import io
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.app_pages.data import upload_section
from fercore.data.registry import load_dataset
from tests.dashboard import make_runs
from tests.dashboard.pages import open_page


def upload(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    app.selectbox(key="add-name").set_value("fer2013")
    app.file_uploader(key="add-files").set_value([(*file, "text/csv") for file in files])
    app.run()
    return press(app, "Add")


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return app.run()


def table(level: int, usage: str) -> bytes:
    return f"emotion,pixels,Usage\n3,{' '.join([str(level)] * 2304)},{usage}\n".encode()


def test_the_page_asks_before_it_replaces_and_undoes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "data"
    monkeypatch.setenv("FERCORE_DATA", str(place))
    make_runs.faces(place, root)
    before = load_dataset("fer2013", place).fingerprint
    app = upload(open_page("data"), ("small.csv", table(7, "Training")))
    assert load_dataset("fer2013", place).fingerprint == before
    assert "are replaced for everyone" in app.warning[0].value
    press(app, "Cancel")
    assert load_dataset("fer2013", place).fingerprint == before
    assert not [button for button in app.button if button.label == "Undo: fer2013"]
    app = press(upload(open_page("data"), ("small.csv", table(7, "Training"))), "Replace")
    assert not app.exception
    assert len(load_dataset("fer2013", place)["train"]) == 1
    app = press(open_page("data"), "Undo: fer2013")
    assert load_dataset("fer2013", place).fingerprint == before
    assert "The previous version of fer2013 is restored" in app.success[0].value


def test_uploads_of_one_name_and_of_long_names_are_all_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "data"
    monkeypatch.setenv("FERCORE_DATA", str(place))
    usages = ("Training", "PublicTest", "PrivateTest")
    names = ("fer2013.csv", "fer2013.csv", "a" * 300 + ".csv")
    files = [
        (name, table(level, usage))
        for level, (name, usage) in enumerate(zip(names, usages, strict=True))
    ]
    app = upload(open_page("data"), *files)
    assert not app.exception
    assert not app.error
    splits = load_dataset("fer2013", place)
    assert [len(splits[role]) for role in splits] == [1, 1, 1]


def test_what_cannot_be_read_is_said_and_can_be_left_out(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "data"
    monkeypatch.setenv("FERCORE_DATA", str(place))
    bad = table(1, "Training") + b"9,1 2 3,Training\n"
    app = upload(open_page("data"), ("fer2013.csv", bad))
    assert "data row 1" in app.error[0].value
    app.checkbox(key="add-skip-bad").check()
    press(app, "Add")
    assert not app.error
    said = " ".join(element.value for element in app.success).replace("\\", "")
    assert "left out: 1 of 2 images" in said


@pytest.mark.parametrize(
    "name",
    ["", "..", "...csv", "/", "a\0b.csv", "\u9ad8" * 300 + ".tar.xz", "x." + "y" * 300, "a:b|c"],
)
def test_any_name_of_an_upload_can_be_a_file(tmp_path: Path, name: str):
    file = io.BytesIO(b"content")
    file.name = name
    (path,) = upload_section.store_uploads([file], tmp_path)
    assert path.read_bytes() == b"content"
    assert path.parent == tmp_path / "0"
    if name.endswith(".tar.xz"):
        assert path.name.endswith(".tar.xz")
