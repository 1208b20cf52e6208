"""The Augmentation page."""

import base64
import os
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.app_pages.augmentation import presets
from dashboard.app_pages.augmentation import sections as augmentation_sections
from dashboard.state import dataset_cache
from fercore.config.augmentation import AugmentationConfig
from fercore.config.loading import load_config
from fercore.data.registry import load_dataset
from fercore.data.splits import UNSPLIT
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run, read_run
from tests.dashboard import make_runs
from tests.dashboard.pages import RUNS, charts, open_page, words


@pytest.mark.keras
def test_the_augmentation_page_shows_what_training_feeds(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from fercore.augmentation.preview import preview

    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    policy = {"rotation": "20", "shear": "0", "horizontal_flip": "0", "cutmix": "1", "seed": "3"}
    app = open_page("augmentation", **policy)
    (shown,) = (e.value for e in app.get("html") if 'class="triples"' in e.value)
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(found), np.uint8), cv2.IMREAD_GRAYSCALE)
        for found in re.findall(r"data:image/png;base64,([^\"]+)", shown)
    ]
    assert len(pictures) == 3 * 18
    originals = np.stack(pictures[::3])
    config = AugmentationConfig(rotation=20, cutmix=1)
    expected = preview(originals, config, seed=3)
    assert np.array_equal(np.stack(pictures[1::3]), expected.shown)
    assert np.array_equal(np.stack(pictures[2::3]), expected.difference)
    assert app.code[0].value == "[augmentation]\nrotation = 20.0\ncutmix = 1.0"
    tables = tomllib.loads(app.code[0].value)
    assert AugmentationConfig(**tables["augmentation"]) == config


@pytest.mark.keras
def test_a_preset_sets_every_strength(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    app = open_page("augmentation", noise="0.2")
    presets = {"Ranjan 2023": "ranjan2023-model2-fer2013", "Facet (ours)": "facet-tiny"}
    for label, experiment in presets.items():
        (button,) = (b for b in app.button if b.label == label)
        button.click().run()
        assert not app.exception
        wanted = load_config(experiment).augmentation
        assert AugmentationConfig(**tomllib.loads(app.code[0].value)["augmentation"]) == wanted
    (button,) = (b for b in app.button if b.label == "None")
    button.click().run()
    assert app.code[0].value == "[augmentation]"


@pytest.mark.keras
def test_copies_and_a_run_on_changed_faces(
    root: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    make_runs.faces(tmp_path / "data", root)
    run = next(
        run
        for run in list_runs(RUNS)
        if run.onnx_path and run.config.name == "katkar2021-model2-original"
    )
    shutil.copytree(run.path, root / run.id)
    app = open_page("augmentation", run=run.id, operation="noise")
    said = words(app)
    assert "14 become 24" in said  # two of seven classes, disgust dropped, doubled
    assert "on 256 faces of PublicTest" in said
    assert "→" in "".join(element.value for element in app.get("html"))
    assert charts(app) == 2
    lacking = runs["le2019-deep"].id
    said = words(open_page("augmentation", run=lacking)).replace("\\", "")
    assert f"{lacking} has no network (model.onnx) here; " in said


def test_strengths_are_tried_on_faces_that_the_run_was_not_trained_on(
    root: Path, runs: dict[str, Run], tmp_path: Path
):
    make_runs.faces(tmp_path / "data", root)
    splits, run = load_dataset("fer2013", tmp_path / "data"), runs["le2019-deep"]
    part, whose = augmentation_sections.unseen_faces(splits, run)
    assert (whose, part) == ("PublicTest", splits["validation"])
    # What its protocol divides, official parts or a dataset without any: its own test alone.
    protocol = run.config.protocol.model_copy(update={"split": "random"})
    divided = replace(run, config=run.config.model_copy(update={"protocol": protocol}))
    whole = splits["train"].concatenate(splits["validation"]).concatenate(splits["test"])
    for found in (splits, replace(splits, parts={UNSPLIT: whole})):
        part, whose = augmentation_sections.unseen_faces(found, divided)
        assert set(part.ids) == set(run.predictions("test").ids)
    (run.path / "predictions.npz").unlink()
    assert augmentation_sections.unseen_faces(splits, divided) is None


@pytest.mark.keras
def test_the_page_opens_on_the_recipe_of_the_recommended_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path / "runs"))
    tiny = RUNS / "facet-tiny-s0-20261121T151906"
    views = RUNS / "facet-tiny-tta-s0-20261121T161328"
    shutil.copytree(tiny, tmp_path / "runs" / tiny.name)
    wanted = read_run(tiny).config.augmentation
    assert wanted.fill == "constant"
    app = open_page("augmentation")
    assert AugmentationConfig(**tomllib.loads(app.code[0].value)["augmentation"]) == wanted
    # Test-time augmentation of a network: the recipe is that of the network.
    shutil.copytree(views, tmp_path / "runs" / views.name)
    (tmp_path / "runs" / tiny.name / "model.onnx").unlink()
    runs = list_runs(tmp_path / "runs")
    assert presets.recommended_policy(runs) == wanted
    assert next(iter(presets.presets(runs))) == "Recommended model"
    # Where it is unknown, the page opens on a paper's.
    shutil.rmtree(tmp_path / "runs" / tiny.name)
    runs = list_runs(tmp_path / "runs")
    assert presets.recommended_policy(runs) is None
    assert next(iter(presets.presets(runs))) == "Katkar 2021"


@pytest.mark.keras
def test_resampling_augments_the_same_faces_with_another_seed(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def pictures(app: AppTest) -> list[str]:
        (shown,) = (e.value for e in app.get("html") if 'class="triples"' in e.value)
        assert shown.count('class="head"') == 3
        return re.findall(r'src="([^"]*)"', shown)

    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    app = open_page("augmentation", seed="7")
    before = pictures(app)
    (button,) = (b for b in app.button if b.label == "Resample")
    button.click().run()
    assert not app.exception
    seed = app.slider(key="seed").value
    assert seed != 7
    assert 0 <= seed <= 99
    after = pictures(app)
    assert before[::3] == after[::3]
    assert all(old != new for old, new in zip(before[1::3], after[1::3], strict=True))


def test_variables_for_tensorflow_are_set_for_its_import_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with dataset_cache._environment(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="2"):
        # What the user has set stays.
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "2"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    assert "TF_CPP_MIN_LOG_LEVEL" not in os.environ
