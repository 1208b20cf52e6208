"""The Confusion matrix page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fercore.data.labels import FER2013
from fercore.runs.reader import Run
from tests.dashboard import make_runs
from tests.dashboard.pages import open_page, without_repeats_marked, words


def test_a_cell_opens_from_the_address(
    root: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    run = runs["le2019-deep"]
    count = run.results.splits["test"].confusion[FER2013.index("fear")][FER2013.index("sad")]
    query = {"runs": run.id, "true": "fear", "said": "sad", "split": "test"}
    app = open_page("confusion", **query)
    said = words(app)
    assert f"true fear, predicted sad: {count:,} of 3,589 images" in said
    # Without the dataset: the ids, and how to add it.
    assert "fercore data add fer2013 PATH" in said
    (table,) = (frame.value for frame in app.dataframe if "Sample" in frame.value)
    assert set(table["True"]) == {"fear"}
    assert set(table["predicted"]) == {"sad"}
    assert table["predicted, confidence"].is_monotonic_decreasing

    make_runs.faces(tmp_path / "data", root)
    shown = words(open_page("confusion", **query))
    assert shown.count("<img ") == min(24, count)
    assert "fercore data add" not in shown


def test_another_dataset_of_the_same_name_is_warned_of(
    root: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    make_runs.faces(tmp_path / "data", tmp_path / "nowhere")
    app = open_page("confusion", runs=runs["le2019-deep"].id)
    assert "differs from the one that this run was evaluated on" in app.warning[0].value


def test_two_runs_are_told_apart_on_their_faces(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    said = words(open_page("confusion", runs=pair))
    compared = open_page("compare", runs=pair)
    (against,) = (
        frame.value for frame in compared.dataframe if "Only baseline correct" in frame.value
    )
    row = against.iloc[0]
    assert f"only run A is correct on **{row['Only baseline correct']:,}**" in said
    assert f"run B on **{row['Only run correct']:,}**" in said
    assert f"p = **{row['p']:.3g}**" in said


def test_runs_of_other_classes_are_not_paired(root: Path, runs: dict[str, Run]):
    other = root / "other-classes"
    shutil.copytree(runs["le2019-shallow"].path, other)
    results = json.loads((other / "results.json").read_bytes())
    results["class_names"][0] = "bored"
    for split in results["splits"].values():
        split["classes"][0]["name"] = "bored"
    (other / "results.json").write_text(json.dumps(results))
    said = words(open_page("confusion", runs=[runs["le2019-deep"].id, other.name]))
    assert "The runs have different classes" in said


def test_confidence_is_not_that_of_other_images(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    for name in ("le2019-deep", "le2019-shallow"):
        without_repeats_marked(runs[name])
    app = open_page("confusion", runs=pair, split="test_unique")
    (table,) = (frame.value for frame in app.dataframe if "ECE" in frame.value)
    assert table["ECE"].notna().all()
    assert table["ECE after"].isna().all()
    assert "No diagrams and no scaled ECE on this split" in words(app)
    app = open_page("confusion", runs=pair, split="test")
    (table,) = (frame.value for frame in app.dataframe if "ECE" in frame.value)
    assert table["ECE after"].notna().all()


@pytest.mark.parametrize(
    ("cells", "unit"),
    [
        ("share", "Percent of the true class"),
        ("counts", "Images"),
        ("predicted", "Percent of the predicted class"),
        ("all", "Percent of all images"),
        ("nonsense", "Percent of the true class"),
    ],
)
def test_matrices_are_normalized_as_the_address_says(
    root: Path, runs: dict[str, Run], cells: str, unit: str
):
    app = open_page("confusion", runs=runs["le2019-deep"].id, cells=cells)
    assert unit in [caption.value for caption in app.caption]


def test_matrices_are_exported(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    closed = open_page("confusion", runs=pair)
    assert [button.label for button in closed.get("download_button")] == ["Predictions as CSV"]
    app = open_page("confusion", ["export"], runs=pair, cells="all", width="84")
    labels = [button.label for button in app.get("download_button")]
    assert labels[:4] == [
        "Matrices as SVG",
        "Matrices as PNG",
        "Each matrix as CSV (ZIP)",
        "All cells as CSV",
    ]
    assert "84 mm wide" in app.get("download_button")[0].help


@pytest.mark.parametrize("metric", ["recall", "precision", "f1"])
def test_a_metric_of_each_class_comes_from_the_address(
    root: Path, runs: dict[str, Run], metric: str
):
    run = runs["le2019-deep"]
    app = open_page("confusion", runs=run.id, per=metric, split="test")
    (table,) = (frame.value for frame in app.dataframe if "Mean" in frame.value)
    fear = run.results.splits["test"].classes[2]
    assert table["fear"][0] == pytest.approx(100 * getattr(fear, metric))


def test_predictions_side_by_side(
    root: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    pair = [runs["le2019-deep"], runs["le2019-shallow"]]
    query = {"runs": [run.id for run in pair], "row_true": "fear", "agree": "differ"}
    query |= {"right": pair[0].id, "wrong": pair[1].id, "sure": "0.3", "split": "test"}
    app = open_page("confusion", **query)
    (table,) = (frame.value for frame in app.dataframe if list(frame.value)[:1] == ["Image"])
    first, second = (run.predictions("test") for run in pair)
    predicted = [each.probabilities.argmax(axis=1) for each in (first, second)]
    sure = np.minimum(first.probabilities.max(axis=1), second.probabilities.max(axis=1)) >= 0.3
    fear = FER2013.index("fear")
    count = ((first.labels == fear) & (predicted[0] == fear) & (predicted[1] != fear) & sure).sum()
    assert f"{count:,} of 3,589 images, highest mean confidence first" in words(app)
    assert len(table) == min(count, 15)
    assert set(table["True"]) == {"fear"}
    assert table["Le 2019, Deep CNN"].str.startswith("✓ fear").all()
    assert table["Le 2019, Shallow CNN"].str.startswith("✗").all()
    make_runs.faces(tmp_path / "data", root)
    app = open_page("confusion", **query)
    (table,) = (frame.value for frame in app.dataframe if "Face" in frame.value)
    assert table["Face"].str.startswith("data:image/png").all()


def test_filters_that_nothing_passes_say_so(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"].id
    app = open_page("confusion", runs=run, right=run, wrong=run)
    assert "No image passes these filters." in words(app)
