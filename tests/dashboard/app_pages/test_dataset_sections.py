"""The Datasets page."""

import re
from pathlib import Path

import numpy as np
import pytest

from dashboard.charts.data_urls import cached_png_data_url
from fercore.data import store
from fercore.data.labels import FER2013
from fercore.data.quality import Audit
from fercore.data.registry import load_dataset
from fercore.data.splits import UNSPLIT
from tests.dashboard import make_runs
from tests.dashboard.pages import charts, open_page, words


def test_the_data_page_counts_weighs_and_shows(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    make_runs.faces(tmp_path / "data", root)
    app = open_page("data", part="test", **{"class": "disgust"})
    listed, counted = (frame.value for frame in app.dataframe)
    ready = {row["Dataset"]: list(row["State"]) for _, row in listed.iterrows()}
    assert ready["fer2013"] == ready["synthetic"] == ["ready"]
    assert ready["ckplus"] == ["not installed"]
    row = counted[counted["Class"] == "disgust"].iloc[0]
    assert (row["Training"], row["PublicTest"], row["PrivateTest"]) == (2, 56, 55)
    assert row["Weight"] == pytest.approx(1)
    said = words(app)
    assert "55 images of PrivateTest" in said
    assert "fercore data add" in said
    gallery, *_ = app.get("html")[1:]
    assert gallery.value.count("<img ") == 24
    assert "true disgust" in gallery.value
    assert charts(app) == 3


def test_the_data_page_shows_flaws(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    make_runs.faces(tmp_path / "data", root)
    clean = words(open_page("data"))
    assert "No duplicates, conflicting labels" in clean

    splits = load_dataset("fer2013", tmp_path / "data")
    parts = {role: splits[role].take(np.arange(len(splits[role]))) for role in splits}
    parts["test"].images[0] = parts["train"].images[4]  # angry and fear
    parts["test"].images[1] = 0
    store.write(
        tmp_path / "data", "fer2013", FER2013, parts, (), validation_from_train=False, audit=Audit()
    )
    app = open_page("data")
    labels = app.get("button_group")
    assert "Conflicting labels" in str(labels)
    table = next(f.value for f in app.dataframe if "Issue" in f.value).set_index("Issue")
    assert table["Groups"].to_dict() == {
        "Duplicates across splits (leakage)": 1,
        "Near-duplicates train–test": 0,
        "Conflicting labels": 1,
        "Duplicates within a split": 0,
        "Constant images": 1,
    }
    assert table["Images"].to_list() == [2, 0, 2, 0, 1]
    assert table.loc["Constant images", "Share"] == pytest.approx(
        100 / sum(map(len, parts.values()))
    )
    shown = "".join(element.value for element in app.get("html"))
    assert "angry, PrivateTest" in shown
    assert "fear, Training" in shown


def test_the_data_page_shows_an_aligned_dataset(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "data"
    monkeypatch.setenv("FERCORE_DATA", str(place))
    make_runs.faces(place, root)
    source = load_dataset("fer2013", place)
    derived = store.Derivation(
        dataset="fer2013",
        fingerprint=source.fingerprint,
        titles=dict(source.titles),
        detector="yunet",
        detector_sha256="f" * 64,
        faces_found={"train": 0.98, "validation": 0.97, "test": 0.96},
    )
    options = {"validation_from_train": False, "audit": Audit(), "derived_from": derived}
    store.write(place, "fer2013-aligned", FER2013, dict(source.parts), (), **options)
    app = open_page("data", dataset="fer2013-aligned", part="test")
    listed, counted = (frame.value for frame in app.dataframe)
    row = listed[listed["Dataset"] == "fer2013-aligned"].iloc[0]
    assert list(row["State"]) == ["ready"]
    assert row["Remark"].startswith(f"aligned from fer2013 {source.fingerprint}")
    assert {"Training", "PublicTest", "PrivateTest"} <= set(counted)
    assert "images of PrivateTest" in words(app)


def test_without_a_dataset_the_pages_show_faces_drawn_by_code(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    app = open_page("data")
    assert app.selectbox(key="dataset").value == "synthetic"
    assert "No run on this dataset has a network" in words(app)


def test_pictures_of_flaws_show_every_split_and_no_black_squares_first(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    make_runs.faces(tmp_path / "data", root)
    splits = load_dataset("fer2013", tmp_path / "data")
    parts = {role: splits[role].take(np.arange(len(splits[role]))) for role in splits}
    for role in ("train", "test"):
        parts[role].images[:3] = 0  # a group of black images, larger than the other one
    parts["train"].images[3:7] = parts["train"].images[7]
    parts["test"].images[9] = parts["train"].images[7]
    store.write(
        tmp_path / "data", "fer2013", FER2013, parts, (), validation_from_train=False, audit=Audit()
    )
    app = open_page("data")
    (shown,) = (e.value for e in app.get("html") if "image-group" in e.value)
    first, second = shown.split("<section")[1:]
    captions = re.findall(r"<figcaption[^>]*>([^<]*)<", first)
    assert len(captions) == 3
    assert any("PrivateTest" in caption for caption in captions)
    assert "and 3 more" in first
    assert "and 3 more" in second
    black = cached_png_data_url(np.zeros((48, 48), np.uint8))
    assert black not in first
    assert black in second


def test_an_unsplit_dataset_says_how_it_is_split(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    make_runs.faces(tmp_path / "data", root)
    train = load_dataset("fer2013", tmp_path / "data")["train"]
    options = {"validation_from_train": False, "audit": Audit()}
    store.write(tmp_path / "data", "own", FER2013, {UNSPLIT: train}, (), **options)
    said = words(open_page("data", dataset="own"))
    assert "14 images of 7 classes" in said
    assert "unsplit, each experiment splits them by its protocol" in said
    assert "14 images." in said
