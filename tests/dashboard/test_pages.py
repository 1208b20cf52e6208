"""Every page in every state: no exception, and the figures that matter are there."""

import base64
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import formats
from dashboard.app_pages.live import sections as live_sections
from dashboard.app_pages.photo import sections as photo_sections
from dashboard.components import model_picker
from dashboard.reports import builder
from fercore import metrics
from fercore.config.augmentation import AugmentationConfig
from fercore.config.loading import load_config
from fercore.config.run import RunConfig
from fercore.data import store
from fercore.data.labels import FER2013
from fercore.data.quality import Audit
from fercore.data.registry import load_dataset
from fercore.importers.import_run import import_predictions
from fercore.inference.ensemble import combine
from fercore.reproduction import ablations, goals, papers, published_figures
from fercore.runs import annotations
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run, read_run
from tests.dashboard import make_runs

APP = str(Path(__file__).parents[2] / "dashboard" / "navigation.py")
RUNS = Path(__file__).parents[2] / "runs"
PAGES = ("runs", "compare", "confusion", "run", "papers")  # those of runs alone


def open_page(name: str, opened: Sequence[str] = (), **query: str | list[str]) -> AppTest:
    """The page as a link with these query parameters opens it; some sections are opened."""
    app = AppTest.from_file(APP, default_timeout=30)
    for key in opened:
        app.session_state[key] = True
    if name != "runs":
        app.switch_page(f"app_pages/{name}/{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    assert not app.error
    return app


def words(app: AppTest) -> str:
    """Everything that the page says in words."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "code", "html")
    said = [element.value for kind in kinds for element in getattr(app, kind)]
    said += [f"{metric.label} {metric.value}" for metric in app.metric]
    return "\n".join(map(str, said))


def charts(app: AppTest) -> int:
    """How many Plotly charts are on the page."""
    return len(app.get("plotly_chart"))


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path / "nothing"))
    return tmp_path / "nothing"


@pytest.mark.parametrize("page", [page for page in PAGES if page != "papers"])
def test_without_runs_a_page_says_what_to_do(empty: Path, page: str):
    said = words(open_page(page))
    assert "No runs yet" in said
    assert "fercore train synthetic-quick" in said
    assert "fercore data add fer2013 PATH" in said
    assert "fercore train katkar2021-model1-original" in said


def test_without_runs_the_published_figures_stand_alone(empty: Path):
    whole = sum(not row.class_name for row in published_figures.rows())
    app = open_page("papers")
    assert "Not trained yet 18" in words(app)
    assert "fercore papers --train khopkar2021-honest  # 25" in words(app)
    assert sum(len(frame.value) for frame in app.dataframe if "Paper" in frame.value) == whole
    assert charts(app) == 0


def test_papers_sets_our_runs_beside_the_published_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """On the committed runs: what the page says is what they hold."""
    committed = Path(__file__).parents[2] / "runs"
    monkeypatch.setenv("FERCORE_RUNS", str(committed))
    app = open_page("papers", ("by-class-le2019", "our-matrices-le2019"), system="le2019")
    (table,) = (frame.value for frame in app.dataframe if "Paper" in frame.value)
    deep = table[table["Result"] == "Table 1, Deep"].iloc[0]
    runs = papers.runs_of("le2019-deep", list_runs(committed))
    expected = np.mean([100 * run.results.splits["test"].accuracy for run in runs])
    assert deep["Ours"] == pytest.approx(expected)
    assert deep["Difference"] == pytest.approx(expected - 65.55)
    assert charts(app) == 2
    recalls = [frame.value for frame in app.dataframe if "disgust" in frame.value]
    assert recalls[1]["disgust"][0] == 57.14


def test_papers_sets_our_own_networks_beside_their_goals(monkeypatch: pytest.MonkeyPatch):
    committed = Path(__file__).parents[2] / "runs"
    monkeypatch.setenv("FERCORE_RUNS", str(committed))
    app = open_page("papers", [f"study-{ablations.studies()[0].key}"], system="ours")
    goal_table, changes, *_ = (frame.value for frame in app.dataframe)
    runs = list_runs(committed)

    def mean(name, split):
        found = goals.runs_of(name, runs).values()
        return np.mean([100 * run.results.splits[split].accuracy for run in found])

    goal = next(goal for goal in goals.goals() if goal.key == "tiny")
    trained = [name for name in goal.experiments if goals.runs_of(name, runs)]
    assert {"facet-tiny", "facet-tiny-taught"} <= set(trained)
    # The test chooses nothing, and one seed nothing over three.
    enough = [name for name in trained if len(goals.runs_of(name, runs)) >= goals.SEEDS]
    name = max(enough or trained, key=lambda name: mean(name, "validation"))
    line = goal_table[goal_table["Goal"] == goal.title].iloc[0]
    assert line["Ours"] == pytest.approx(mean(name, "test"))
    assert (line["Runs"], line["Network"]) == (len(goals.runs_of(name, runs)), name)
    standings = [[goals.STATUS_WORDS[found.status]] for found in goals.compare(runs)]
    assert list(goal_table["Status"]) == standings
    assert "fercore goals --train" in words(app)
    study = ablations.studies()[0]
    assert list(changes["Change"]) == [change.title for change in study.changes]
    recipe = ablations.compare(study, runs)[0]
    assert changes["PublicTest"][0] == pytest.approx(recipe.mean)
    assert np.isnan(changes["Difference"][0])
    assert not {"Compared with", "Epochs to target"}.intersection(changes)


def test_papers_shows_every_study(monkeypatch: pytest.MonkeyPatch):
    text = """
[[study]]
key = "steps"
title = "Step by step"
base = "facet-screening"
note = "Every step builds on the one before."
target = 58

[[study.change]]
key = "recipe"
title = "As it is"

[[study.change]]
key = "adamw"
title = "AdamW"
set = { "optimizer.name" = "adamw" }

[[study.change]]
key = "adamw-short"
title = "Four epochs"
on = "adamw"
set = { epochs = 4 }
"""
    (steps,) = ablations.parse(text)
    studies = (*ablations.studies(), steps)
    monkeypatch.setattr(ablations, "studies", lambda: studies)
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    app = open_page("papers", ["study-steps"], system="ours")
    assert [expander.label for expander in app.expander] == [study.title for study in studies]
    assert "Every step builds on the one before." in words(app)
    assert "fercore ablate --train steps" in words(app)
    table = app.dataframe[-1].value
    assert list(table["Compared with"][1:]) == ["As it is", "AdamW"]
    first, adamw, short = ablations.compare(steps, list_runs(RUNS))
    assert table["Epochs to target"][0] == pytest.approx(first.epochs_to_target)
    assert table["Difference"][1] == pytest.approx(100 * adamw.difference.difference)
    assert short.mean is None
    assert np.isnan(table["PublicTest"][2])


@pytest.mark.parametrize("page", PAGES)
def test_broken_folders_alone(empty: Path, page: str):
    empty.mkdir()
    make_runs.broken(empty)
    open_page(page)


def test_runs_page(root: Path, runs: dict[str, Run]):
    app = open_page("runs")
    said = words(app)
    best = runs["le2019-deep"].results.splits
    accuracy = formats.percent(best["test_unique"].accuracy)
    assert f"Best run, selected on PublicTest {accuracy}" in said
    chosen_by = formats.percent(best["validation"].accuracy)
    assert f"Le 2019, Deep CNN, {chosen_by} on PublicTest" in said
    assert f"n = {best['test_unique'].n:,}" in said
    assert "Active runs 1" in said
    assert "epoch 12 of 40" in app.get("progress")[0].text
    real, synthetic, problems = (frame.value for frame in app.dataframe)
    assert set(synthetic["Dataset"]) == {"synthetic"}
    assert "synthetic" not in set(real["Dataset"])
    assert real.loc[runs["le2019-deep"].id, "n"] == 3589
    assert list(real.loc[runs["katkar2021-model1-original"].id, "Scored"]) == ["6 of 7"]
    assert set(problems["Folder"]) == {"holiday-pictures", "torn-s0-20250101T000000"}


def test_filters_come_from_the_address(root: Path):
    app = open_page("runs", q="le 2019", state="finished")
    assert app.text_input(key="q").value == "le 2019"
    (real, *_) = (frame.value for frame in app.dataframe)
    assert set(real["Experiment"]) == {"Le 2019, Deep CNN", "Le 2019, Shallow CNN"}


def test_a_filter_goes_into_the_address(root: Path):
    app = open_page("runs")
    app.text_input(key="q").set_value("deep").run()
    assert app.query_params["q"] == "deep"
    assert len(app.dataframe[0].value) == 1
    app.text_input(key="q").set_value("").run()
    assert "q" not in app.query_params


def test_compare_asks_for_runs(root: Path, runs: dict[str, Run]):
    assert "Select at least two runs" in words(open_page("compare"))
    said = words(open_page("compare", runs=runs["le2019-deep"].id))
    assert "Select at least one more run" in said


def test_compare_two_runs(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    app = open_page("compare", runs=pair)
    assert app.multiselect(key="runs").value == pair
    headline = app.dataframe[0].value
    assert list(headline["Run"]) == ["le2019-deep · s1", "le2019-shallow · s0"]
    assert list(headline["n"]) == [3589, 3589]
    assert not app.warning
    # A forest, two curves, the recall bars, accuracy against parameters.
    assert charts(app) == 5
    assert "The training loss includes" not in words(app)


def test_compare_says_that_class_sets_differ(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["katkar2021-model1-original"].id]
    app = open_page("compare", runs=pair)
    said = app.warning[0].value.replace("\\", "")
    assert "the results are on the images without disgust" in said
    assert list(app.dataframe[0].value["n"]) == [3534, 3534]
    fair = open_page("compare", runs=pair, split="test_all")
    assert not fair.warning
    assert list(fair.dataframe[0].value["n"]) == [3589, 3589]
    mixed = open_page("compare", runs=[pair[0], runs["synthetic-quick"].id])
    assert "Real and synthetic faces" in mixed.warning[0].value


def test_compare_warns_of_other_test_images_alone(monkeypatch: pytest.MonkeyPatch):
    """What was left out of the training changes nothing that is judged; a merged test set does."""
    committed = Path(__file__).parents[2] / "runs"
    monkeypatch.setenv("FERCORE_RUNS", str(committed))
    every = list_runs(committed)
    deep, tiny, merged = (
        papers.runs_of(name, every)[0].id for name in ("le2019-deep", "facet-tiny", "khopkar2021")
    )
    assert not open_page("compare", runs=[deep, tiny]).warning
    warned = open_page("compare", runs=[deep, merged]).warning[0].value
    assert "not the same test images" in warned


def test_compare_view_comes_from_the_address(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["khopkar2021"].id]
    app = open_page(
        "compare",
        runs=pair,
        split="validation",
        x="time",
        smooth="0.8",
        curves=["loss", "gap", "learning_rate"],
        equal="1",
    )
    assert "Test metrics (PublicTest)" in words(app)
    assert app.toggle(key="equal").value is True
    assert "model" in set(app.dataframe[-1].value["Field"])
    assert charts(app) == 1 + 3 + 1


def test_compare_shrugs_off_a_bad_address(root: Path, runs: dict[str, Run]):
    app = open_page(
        "compare",
        runs=["../../etc", str(root), runs["le2019-deep"].id, runs["le2019-shallow"].id],
        split="none",
        x="sideways",
        smooth="much",
        curves="magic",
    )
    assert app.multiselect(key="runs").value == [
        runs["le2019-deep"].id,
        runs["le2019-shallow"].id,
    ]


def test_compare_takes_eight_at_most(root: Path):
    everything = sorted(path.name for path in root.iterdir() if path.name != "holiday-pictures")
    assert len(everything) > 8
    app = open_page("compare", runs=everything)
    assert len(app.multiselect(key="runs").value) == 8


def test_compare_changes_the_address(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    app = open_page("compare", runs=pair)
    app.multiselect(key="runs").set_value([*pair, runs["khopkar2021"].id]).run()
    assert app.query_params["runs"] == [*pair, runs["khopkar2021"].id]
    app.toggle(key="equal").set_value(True).run()
    assert app.query_params["equal"] == "1"
    assert not app.exception


@pytest.mark.parametrize(
    "name",
    [
        "le2019-deep",
        "le2019-shallow",
        "katkar2021-model1-original",
        "synthetic-quick",
        "khopkar2021",
        "stalled-run",
        "stopped-run",
        "failed-run",
        "half-written",
        "holiday-pictures",
        "torn-s0-20250101T000000",
    ],
)
def test_run_page_in_every_state(root: Path, runs: dict[str, Run], name: str):
    said = words(open_page("run", run=runs[name].id))
    assert formats.markdown(runs[name].config.title if runs[name].config else name) in said


def test_run_page_figures(root: Path, runs: dict[str, Run]):
    run = runs["katkar2021-model1-original"]
    said = words(open_page("run", run=run.id))
    test = run.results.splits["test"]
    assert f"PrivateTest accuracy {formats.percent(test.accuracy)}" in said
    assert formats.interval(test.accuracy_low, test.accuracy_high) in said
    assert "n = 3,534" in said
    assert f"Paper {formats.percent(0.5406)}" in said
    assert f"Difference {formats.points(test.accuracy - 0.5406)}" in said
    assert "Scored without disgust" in said
    assert "The accuracy on all 3,589 test images" in said


@pytest.mark.parametrize(
    ("details", "shown"),
    [
        ("network", "of them trainable"),
        ("config", "published.test_accuracy"),
        ("provenance", "fercore train katkar2021-model1-original --seed"),
    ],
)
def test_run_page_details_come_from_the_address(
    root: Path, runs: dict[str, Run], details: str, shown: str
):
    app = open_page("run", run=runs["katkar2021-model1-original"].id, details=details)
    assert shown in words(app) + "".join(frame.value.to_string() for frame in app.dataframe)


def test_pages_show_runs_that_start_were_killed_or_diverged(root: Path):
    plans = [make_runs.Plan(name, name, done=done) for name, done in NEW_STATES]
    starting = make_runs.running(root, plans[0])
    starting.set_status(state="starting", phase="starting", epoch=0)
    (starting.path / "environment.json").unlink()
    killed = make_runs.killed(root, plans[1])
    said = "the training loss of epoch 6 is nan"
    diverged = make_runs.ended(root, plans[2], "diverged", said)
    open_page("runs")
    page = words(open_page("run", run=starting.path.name))
    assert "To train it" not in page
    page = words(open_page("run", run=killed.name))
    assert "To train it from the start:" in page
    assert f"fercore train --resume {killed.name}" in page
    page = words(open_page("run", run=diverged.name))
    assert said in page
    assert "--resume" not in page
    open_page("compare", runs=[starting.path.name, killed.name, diverged.name])


NEW_STATES = (("loading-run", 0), ("killed-run", 0), ("diverged-run", 5))


def test_run_page_resumes(root: Path, runs: dict[str, Run]):
    said = words(open_page("run", run=runs["stalled-run"].id))
    assert f"fercore train --resume {runs['stalled-run'].id}" in said
    assert "last sign of life 1" in said
    failed = runs["failed-run"]
    said = words(open_page("run", run=failed.id))
    assert "no space left on device" in said
    assert "To resume it:" in said
    shutil.rmtree(failed.path / "checkpoints")
    said = words(open_page("run", run=failed.id))
    assert "It has no checkpoint here and cannot be resumed" in said
    assert "To resume it:" not in said


def test_run_page_progress(root: Path, runs: dict[str, Run]):
    app = open_page("run", run=runs["khopkar2021"].id)
    assert "epoch 12 of 40, step 210 of 449" in app.get("progress")[0].text
    assert "left" in app.get("progress")[0].text


@pytest.mark.parametrize("wanted", ["gone", "../elsewhere", "/etc", ".", "*bold*"])
def test_run_page_with_an_unknown_run(root: Path, wanted: str):
    app = open_page("run", run=wanted)
    assert "There is no run called" in app.warning[0].value


def test_split_without_predictions_says_so(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"]
    assert "do not mark the duplicates" not in words(
        open_page("run", run=run.id, split="test_unique")
    )
    without_repeats_marked(run)
    assert "do not mark the duplicates" in words(open_page("run", run=run.id, split="test_unique"))
    (run.path / "predictions.npz").write_bytes(b"PK\x03\x04 torn")
    assert "The predictions on this split are not stored" in words(open_page("run", run=run.id))


def without_repeats_marked(run: Run) -> None:
    """Store predictions as earlier versions did."""
    with np.load(run.path / "predictions.npz") as stored:
        arrays = {name: stored[name] for name in stored if name != "test_unique"}
    np.savez(run.path / "predictions.npz", **arrays)


@pytest.mark.parametrize("file", ["log.jsonl", "layers.json", "results.json", "predictions.npz"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"null\n"])
def test_torn_files_break_no_page(root: Path, runs: dict[str, Run], file: str, content: bytes):
    run = runs["le2019-deep"]
    (run.path / file).write_bytes(content)
    open_page("runs")
    open_page("compare", runs=[run.id, runs["le2019-shallow"].id])
    open_page("run", run=run.id)


def test_a_matrix_of_the_wrong_shape_breaks_no_page(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"]
    fields = json.loads((run.path / "results.json").read_bytes())
    fields["splits"]["test"]["confusion"] = [[1, 2], [3]]
    (run.path / "results.json").write_text(json.dumps(fields))
    open_page("runs")
    open_page("compare", runs=[run.id, runs["le2019-shallow"].id])
    said = words(open_page("run", run=run.id))
    assert "is not of the 7 classes of class" in said


def test_predictions_of_the_wrong_shape_count_as_none(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"]
    path = run.path / "predictions.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"test_probabilities": arrays["test_probabilities"][:, :3]}))
    assert "The predictions on this split are not stored" in words(open_page("run", run=run.id))


def test_calibration_before_and_after_temperature_scaling(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    said = words(open_page("run", run=run.id))
    chosen, tested = run.predictions("validation"), run.predictions("test")
    before = metrics.expected_calibration_error(tested.probabilities, tested.labels)
    assert f"ECE {formats.percent(before)}, " in said
    temperature = metrics.fit_temperature(chosen.probabilities, chosen.labels)
    after = metrics.apply_temperature(tested.probabilities, temperature)
    ece = metrics.expected_calibration_error(after, tested.labels)
    assert f"{formats.percent(ece)} at temperature {temperature:.2f}, fitted on" in said
    app = open_page("run", run=run.id, scaled="1")
    assert app.toggle(key="scaled").value
    assert charts(app) == 9


def test_runs_are_set_against_a_baseline(runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    tables = {}
    for baseline in pair:
        app = open_page("compare", runs=pair, baseline=baseline)
        (tables[baseline],) = (f.value for f in app.dataframe if "Only baseline" in f.value)
    one, other = (tables[run_id].iloc[0] for run_id in pair)
    assert one["Accuracy"] == -other["Accuracy"]
    assert one["Only this"] == other["Only baseline"]
    assert one["p"] == other["p"]
    accuracies = [
        runs[n].results.splits["test"].accuracy for n in ("le2019-deep", "le2019-shallow")
    ]
    assert one["Accuracy"] == pytest.approx(100 * (accuracies[1] - accuracies[0]))


def test_markup_in_a_title_stays_text(root: Path):
    plan = make_runs.Plan("markup", "![x](http://example.com/x.png) **bold** $x$ <b>", done=2)
    path = make_runs.ended(root, plan, "failed", "![y](http://example.com/y.png)")
    said = words(open_page("run", run=path.name))
    assert "![" not in said
    assert r"\*\*bold\*\*" in said


@pytest.mark.parametrize("page", PAGES)
def test_no_page_imports_keras(made: Path, page: str):
    run_ids = sorted(path.name for path in made.glob("le2019-*"))
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({APP!r}, default_timeout=60)
if {page!r} != "runs":
    app.switch_page("app_pages/{page}/{page}.py")
    app.query_params["runs"] = {run_ids!r}
    app.query_params["run"] = {run_ids[0]!r}
app.run()
assert not app.exception
# scipy.special takes 0.4 s once, scipy.stats 3 s.
heavy = {{"keras", "tensorflow", "jax", "sklearn", "scipy.stats", "cv2", "onnxruntime", "cleanlab"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"FERCORE_RUNS": str(made), "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.strip() == "[]"


def test_dashboard_imports_neither_training_nor_the_command_line():
    for file in (Path(APP).parent).rglob("*.py"):
        source = file.read_text()
        for forbidden in (
            "fercore.cli",
            "fercore.training.trainer",
            "import keras",
            "import tensorflow",
        ):
            assert forbidden not in source, file


def test_no_module_takes_a_standard_name():
    names = {file.stem for file in Path(APP).parent.glob("*.py")}
    assert not names & sys.stdlib_module_names


def test_pages_are_thin():
    for folder in (Path(APP).parent / "app_pages").glob("[a-z]*"):
        file = folder / f"{folder.name}.py"
        assert len(file.read_text().splitlines()) < 130
        assert "numpy" not in file.read_text()


def test_a_cell_opens_from_the_address(
    root: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    run = runs["le2019-deep"]
    count = run.results.splits["test"].confusion[FER2013.index("fear")][FER2013.index("sad")]
    query = {"runs": run.id, "true": "fear", "said": "sad"}
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
    (against,) = (frame.value for frame in compared.dataframe if "Only baseline" in frame.value)
    row = against.iloc[0]
    assert f"only run A is correct on **{row['Only baseline']:,}**" in said
    assert f"run B on **{row['Only this']:,}**" in said
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


def test_seeds_share_a_row_with_mean_and_spread(root: Path):
    app = open_page("runs", group="1")
    (real, *_) = (frame.value for frame in app.dataframe)
    seeds = [
        run.results.splits["test"].accuracy
        for run in list_runs(root)
        if run.config and run.config.name == "katkar2021-model1-original"
    ]
    row = real[real["Experiment"] == "Katkar 2021, Model 1, original data"].iloc[0]
    assert row["Runs"] == len(seeds) == 2
    assert row["Accuracy"] == pytest.approx(100 * np.mean(seeds))
    assert row["Spread"] == pytest.approx(100 * np.std(seeds, ddof=1))


def test_the_table_is_sorted_and_set_against_a_baseline(root: Path, runs: dict[str, Run]):
    baseline = runs["le2019-shallow"].id
    app = open_page("runs", sort="accuracy", baseline=baseline)
    (real, *_) = (frame.value for frame in app.dataframe)
    known = real["Accuracy"].dropna()
    assert known.is_monotonic_decreasing
    assert real["Accuracy"].isna().iloc[len(known) :].all()
    deep = real.loc[runs["le2019-deep"].id]
    accuracies = [
        runs[name].results.splits["test"].accuracy for name in ("le2019-deep", "le2019-shallow")
    ]
    assert deep["Delta"] == pytest.approx(100 * (accuracies[0] - accuracies[1]))
    assert " to " in deep["Delta interval"]
    assert np.isnan(real.loc[baseline, "Delta"])
    # The mean of all seeds but the baseline is not that of their row.
    seeds = runs["katkar2021-model1-original"]
    app = open_page("runs", group="1", baseline=seeds.id)
    (real, *_) = (frame.value for frame in app.dataframe)
    row = real[real["Experiment"] == seeds.config.title].iloc[0]
    assert row["Runs"] == 2
    assert np.isnan(row["Delta"])
    assert real["Delta"].notna().any()


def test_a_run_has_one_name_on_all_pages(root: Path, runs: dict[str, Run]):
    """Two runs of one name and seed are told apart even where one of them is shown alone."""
    one = runs["le2019-deep"]
    shutil.copytree(one.path, root / "le2019-deep-again")
    app = open_page("compare", runs=[one.id, runs["le2019-shallow"].id])
    shown = pd.concat([frame.value for frame in app.dataframe if "Run" in frame.value])
    assert one.id in set(shown["Run"])
    assert "le2019-shallow · s0" in set(shown["Run"])


def test_what_a_page_cannot_show_stays_picked(root: Path, runs: dict[str, Run]):
    picked = [runs["le2019-deep"].id, runs["khopkar2021"].id]
    app = open_page("compare", runs=picked)
    app.switch_page("app_pages/confusion/confusion.py").run()
    app.switch_page("app_pages/compare/compare.py").run()
    assert app.query_params["runs"] == picked


def test_of_a_parameter_that_stands_twice_the_first_counts_everywhere(
    root: Path, runs: dict[str, Run]
):
    app = open_page("run", run=runs["le2019-deep"].id, split=["test_unique", "test"])
    assert app.segmented_control(key="split").value == "test_unique"
    open_page("run", run=runs["le2019-deep"].id, faces="9" * 5000)


def test_the_report_of_a_run_says_what_its_page_warns_of(runs: dict[str, Run]):
    run = runs["katkar2021-model1-original"]
    said = builder.of_run(run, "test")()
    assert "Scored without disgust" in said
    assert "The accuracy on all 3,589 test images is" in said
    assert "Synthetic faces" in builder.of_run(runs["synthetic-quick"], "test")()


def test_a_network_that_was_there_before_the_results_is_none_of_theirs(runs: dict[str, Run]):
    """As after a resumption on a machine that cannot export."""
    run = runs["le2019-deep"]
    (run.path / "model.onnx").write_bytes(b"of other weights")
    told = json.loads((run.path / "results.json").read_bytes())
    (run.path / "results.json").write_text(json.dumps(told | {"onnx": None}))
    assert read_run(run.path).onnx_path is None


@pytest.mark.parametrize("page", ["photo", "live", "confusion"])
def test_a_page_that_can_show_none_of_the_runs_says_what_they_lack(root: Path, page: str):
    for run in list_runs(root):
        if run.state != "running":
            shutil.rmtree(run.path)
    said = words(open_page(page))
    assert "No run here has" in said
    assert "No runs yet" not in said


def test_live_says_what_is_wrong_with_yunet(
    root: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "yunet.onnx").write_bytes(b"truncated")
    monkeypatch.setenv("FERCORE_YUNET", str(tmp_path / "yunet.onnx"))
    network = next(RUNS.glob("katkar2021-model2-original-s0-*")) / "model.onnx"
    run = runs["katkar2021-model1-original"]
    shutil.copyfile(network, run.path / "model.onnx")
    results = json.loads((run.path / "results.json").read_bytes())
    results["onnx"] = json.loads((network.parent / "results.json").read_bytes())["onnx"]
    (run.path / "results.json").write_text(json.dumps(results))
    app = AppTest.from_file(APP, default_timeout=30)
    app.switch_page("app_pages/live/live.py")
    app.query_params["networks"] = [run.id]
    app.run()
    assert not app.exception
    (error,) = (element.value for element in app.error)
    assert "cannot be loaded as YuNet" in error


def test_turn_servers_carry_their_secret(monkeypatch: pytest.MonkeyPatch):
    assert live_sections.ice_servers() == []
    named = "stun:one.example:3478, turn:two.example?transport=udp|ann|s3cret,"
    monkeypatch.setenv("FERCORE_ICE_SERVERS", named)
    assert live_sections.ice_servers() == [
        {"urls": "stun:one.example:3478"},
        {"urls": "turn:two.example?transport=udp", "username": "ann", "credential": "s3cret"},
    ]


def test_pins_tags_and_the_archive(root: Path, runs: dict[str, Run]):
    pinned, archived = runs["le2019-shallow"], runs["le2019-deep"]
    annotations.annotate(pinned, pinned=True, tags=("gold",), text="the one to beat")
    annotations.annotate(archived, archived=True)
    app = open_page("runs")
    (real, *_) = (frame.value for frame in app.dataframe)
    assert real.index[0] == pinned.id
    assert list(real.loc[pinned.id, "Tags"]) == ["pinned", "gold"]
    assert real.loc[pinned.id, "Note"] == "the one to beat"
    assert archived.id not in real.index
    everything = open_page("runs", archived="1").dataframe[0].value
    assert archived.id in everything.index
    for word in ("gold", "beat"):
        found = open_page("runs", q=word).dataframe[0].value
        assert list(found.index) == [pinned.id]


def test_a_deleted_run_can_be_restored_from_the_page(root: Path, runs: dict[str, Run]):
    annotations.delete(runs["le2019-shallow"])
    app = open_page("runs")
    (button,) = (b for b in app.button if b.label == "Restore")
    button.click().run()
    assert not app.exception
    assert runs["le2019-shallow"].path.is_dir()


def test_an_imported_run_stands_beside_our_own(root: Path, runs: dict[str, Run], tmp_path: Path):
    data = tmp_path / "data"
    make_runs.faces(data, root)
    splits = load_dataset("fer2013", data)
    names = splits.class_names
    table = pd.DataFrame(np.full((3589, 7), 0.1), columns=list(names))
    table[names[3]] = 0.4
    table.insert(0, "id", splits["test"].ids)
    (tmp_path / "theirs.csv").write_text(table.to_csv(index=False))
    config = RunConfig(name="theirs", title="Theirs", dataset="fer2013", model="theirs")
    path = import_predictions({"test": tmp_path / "theirs.csv"}, config, splits, root, "import")
    real = open_page("runs").dataframe[0].value
    assert list(real.loc[path.name, "Tags"]) == ["imported"]
    assert real.loc[path.name, "Accuracy"] == pytest.approx(100 * 879 / 3589)
    pair = [runs["le2019-deep"].id, path.name]
    for page in ("compare", "confusion"):
        app = open_page(page, runs=pair)
        assert "They have judged no samples in common" not in words(app)
    app = open_page("run", run=path.name)
    assert "Theirs" in words(app)
    assert "No run" not in words(app)


def test_predicted_classes_without_probabilities_are_shown_without_calibration(
    root: Path, runs: dict[str, Run], tmp_path: Path
):
    data = tmp_path / "data"
    make_runs.faces(data, root)
    test = load_dataset("fer2013", data)["test"]
    said = [FER2013[place] for place in np.where(np.arange(len(test)) % 3, test.labels, 3)]
    pd.DataFrame({"id": test.ids, "predicted": said}).to_csv(tmp_path / "theirs.csv", index=False)
    config = RunConfig(name="theirs", title="Theirs", dataset="fer2013", model="theirs")
    splits = load_dataset("fer2013", data)
    path = import_predictions({"test": tmp_path / "theirs.csv"}, config, splits, root, "import")
    pair = [runs["le2019-deep"].id, path.name]
    app = open_page("compare", runs=pair)
    assert "McNemar" in words(app)
    app = open_page("confusion", runs=pair)
    assert "without probabilities" in words(app)
    quality = next(e.value for e in app.dataframe if "ECE after" in e.value)
    theirs = quality[quality["Run"].str.contains("heirs")].iloc[0]
    assert all(pd.isna(theirs[name]) for name in ("Top-2", "ECE", "ECE after", "NLL"))
    faces = words(open_page("confusion", runs=pair, of=path.name))
    assert "images, in the order of the dataset." in faces
    assert "most confident first" not in faces
    app = open_page("run", run=path.name)
    assert "without probabilities" in words(app)
    assert "100%" not in words(app)
    assert np.isfinite(open_page("runs").dataframe[0].value.loc[path.name, "Accuracy"])


def test_an_ensemble_without_a_network_is_shown_but_not_offered_for_photos(
    root: Path, runs: dict[str, Run], tmp_path: Path
):
    made_data = tmp_path / "data"
    make_runs.faces(made_data, root)
    first, second = read_run(runs["le2019-deep"].path), read_run(runs["le2019-shallow"].path)
    path = combine(
        [first, second],
        load_dataset("fer2013", made_data),
        root,
        name="selected",
        title="Two networks",
        tta="none",
        command="fercore ensemble --select 2",
        average="geometric",
        network=False,
        candidates=5,
    )
    assert list(open_page("runs").dataframe[0].value.loc[path.name, "Tags"]) == ["combined"]
    for page in ("compare", "confusion"):
        app = open_page(page, runs=[first.id, path.name])
        assert "They have judged no samples in common" not in words(app)
    said = words(open_page("run", run=path.name, details="network"))
    assert f"The geometric mean probability of `{first.id}`, `{second.id}`" in said
    assert "chosen on PublicTest among 5 runs" in said
    assert "has no network of its own" in said
    offered = model_picker.networks(list_runs(root))
    assert path.name not in offered
    for page in ("photo", "live"):
        open_page(page)


def test_trust_follows_from_the_matrix(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"]
    app = open_page("run", run=run.id, prevalence="0.001")
    (table,) = (frame.value for frame in app.dataframe if "Precision at prevalence" in frame.value)
    result = run.results.splits["test"]
    place = FER2013.index("disgust")
    hits = result.confusion[place][place]
    alarms = sum(row[place] for row in result.confusion) - hits
    sensitivity, specificity = hits / 55, 1 - alarms / (3589 - 55)
    row = table[table["Class"] == "disgust"].iloc[0]
    expected = metrics.positive_predictive_value(sensitivity, specificity, 0.001)
    assert row["Precision at prevalence"] == pytest.approx(100 * expected)
    assert row["Precision"] == pytest.approx(100 * hits / (hits + alarms))


def test_latency_is_shown_where_it_was_measured(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"]
    pair = [run.id, runs["le2019-shallow"].id]
    assert charts(open_page("compare", runs=pair)) == 5
    entry = {
        "device": "A small processor",
        "cores": 2,
        "onnxruntime": "1.0",
        "face_ms": 1.25,
        "face_p95_ms": 1.5,
        "faces_per_second": 900.0,
        "measured": "2026-01-01T00:00:00+00:00",
    }
    (run.path / "latency.json").write_text(json.dumps([entry]))
    app = open_page("compare", runs=pair)
    assert charts(app) == 6
    assert "A small processor" in words(app)
    real = open_page("runs").dataframe[0].value
    assert real.loc[run.id, "Face ms"] == 1.25


@pytest.mark.keras
def test_the_augmentation_page_shows_what_training_feeds(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from fercore.augmentation.preview import preview

    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    policy = {"rotation": "20", "shear": "0", "horizontal_flip": "0", "cutmix": "1", "seed": "3"}
    app = open_page("augmentation", **policy)
    shown = app.get("html")[0].value
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(found), np.uint8), cv2.IMREAD_GRAYSCALE)
        for found in re.findall(r"data:image/png;base64,([^\"]+)", shown)
    ]
    assert len(pictures) == 3 * 16
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
        for run in list_runs(Path(__file__).parents[2] / "runs")
        if run.onnx_path and run.config.name == "katkar2021-model2-original"
    )
    shutil.copytree(run.path, root / run.id)
    app = open_page("augmentation", run=run.id, operation="noise")
    said = words(app)
    assert "14 become 24" in said  # two of seven classes, disgust dropped, doubled
    assert "on 256 faces of PublicTest" in said
    assert "→" in app.get("html")[0].value
    assert charts(app) == 2
    lacking = runs["le2019-deep"].id
    said = words(open_page("augmentation", run=lacking)).replace("\\", "")
    assert f"{lacking} has no network (model.onnx) here; " in said


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
    store.write(tmp_path / "data", "fer2013", FER2013, parts, (), held_out=False, audit=Audit())
    app = open_page("data")
    labels = app.get("button_group")
    assert "Conflicting labels (1)" in str(labels)
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
    options = {"held_out": False, "audit": Audit(), "derived_from": derived}
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


def test_photos_that_are_shown_are_the_last_to_be_forgotten(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    class Counting:
        def predict(self, image: np.ndarray, whole: object) -> list[str]:
            asked.append(int(image[0, 0, 0]))
            return [str(image[0, 0, 0])]

    monkeypatch.setattr(photo_sections, "MAX_KEPT", 6)
    monkeypatch.setattr(photo_sections, "_predictor", lambda view: Counting())
    monkeypatch.setattr(
        photo_sections,
        "decode_photo",
        lambda content, name, **_: np.full((1, 1, 3), int(name), np.uint8),
    )
    monkeypatch.setattr(photo_sections.st, "session_state", {})
    given = [
        photo_sections.UploadedPhoto(str(number), f"digest-{number}", lambda: b"")
        for number in range(4)
    ]
    views = [photo_sections.View({}, finder, False, 0.0, None, "") for finder in ("haar", "yunet")]
    for view in (*views, views[0], views[0]):
        assert list(photo_sections.predict_photos(given, view)) == [one.digest for one in given]
    # Two of the first four had gone, and nothing that is shown does.
    assert asked == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_every_figure_of_a_view_is_on_the_same_images(root: Path, runs: dict[str, Run]):
    """Table, paired test, matrices, faces and agreement, with the runs' own repeats."""
    pair = [runs["le2019-deep"], runs["le2019-shallow"]]
    ids = [run.id for run in pair]
    unique = pair[0].predictions("test").unique & pair[1].predictions("test").unique
    right = [
        (run.predictions("test").probabilities.argmax(axis=1) == run.predictions("test").labels)[
            unique
        ]
        for run in pair
    ]
    n = int(unique.sum())
    assert n < pair[0].results.splits["test_unique"].n
    app = open_page("compare", runs=ids, split="test_unique")
    headline = app.dataframe[0].value
    assert list(headline["n"]) == [n, n]
    assert list(headline["Accuracy"]) == pytest.approx([100 * own.mean() for own in right])
    (against,) = (frame.value for frame in app.dataframe if "Only baseline" in frame.value)
    row = against.iloc[0]
    assert row["n"] == n
    assert row["Accuracy"] == pytest.approx(headline["Accuracy"][1] - headline["Accuracy"][0])
    assert row["Only baseline"] == (right[0] & ~right[1]).sum()
    assert words(app).count(f"{n:,} images") == 1
    confused = open_page("confusion", runs=ids, split="test_unique", show="all")
    said = words(confused)
    assert f"All results on this page are on {n:,} images" in said
    assert f"{n:,} of {n:,} images, most confident first" in said
    assert f"On {n:,} images: only run A is correct on **{row['Only baseline']:,}**" in said
    (table,) = (frame.value for frame in confused.dataframe if "ECE" in frame.value)
    assert list(table["Accuracy"]) == pytest.approx(list(headline["Accuracy"]))
    assert table["ECE after"].notna().all()


def test_images_without_repeats_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    every = list_runs(RUNS)
    pair = [papers.runs_of("le2019-deep", every)[0].id]
    pair.append(next(run.id for run in every if run.config and run.config.name == "facet-tiny"))
    app = open_page("compare", runs=pair, split="test_unique")
    assert (
        "All results on this page are on 3,301 images of PrivateTest without the 288 that also "
        "occur in training." in words(app)
    )
    (against,) = (frame.value for frame in app.dataframe if "Only baseline" in frame.value)
    assert against["n"][0] == 3301


def test_several_tests_against_a_baseline_are_corrected(root: Path, runs: dict[str, Run]):
    names = ("le2019-deep", "le2019-shallow", "katkar2021-model1-original")
    ids = [runs[name].id for name in names]
    app = open_page("compare", runs=ids)
    (against,) = (frame.value for frame in app.dataframe if "Only baseline" in frame.value)
    plain = [
        metrics.mcnemar(np.zeros(a + b, int), np.r_[[0] * a, [1] * b], np.r_[[1] * a, [0] * b]).p
        for a, b in zip(against["Only baseline"], against["Only this"], strict=True)
    ]
    assert list(against["p"]) == pytest.approx(metrics.holm(plain), rel=1e-6, abs=0)
    assert list(against["p"]) != pytest.approx(plain, rel=1e-6, abs=0)
    assert "corrected for 2 tests against one baseline by Holm's method" in words(app)
    # Disgust, which one of them leaves out, counts for none.
    assert set(app.dataframe[0].value["n"]) == set(against["n"]) == {3534}


def test_a_run_on_other_images_counts_for_no_test(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    names = ("facet-tiny-s0", "facet-tiny-s1", "rath2021-balanced-s0")
    ids = [next(run.id for run in list_runs(RUNS) if run.id.startswith(name)) for name in names]
    app = open_page("compare", runs=ids)
    (against,) = (frame.value for frame in app.dataframe if "Only baseline" in frame.value)
    assert against["Verdict"].tolist()[1] == "no images in common"
    assert against["p"].notna().sum() == 1
    assert "tests against one baseline" not in words(app)


def test_confidence_is_not_that_of_other_images(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    for name in ("le2019-deep", "le2019-shallow"):
        without_repeats_marked(runs[name])
    app = open_page("confusion", runs=pair, split="test_unique")
    (table,) = (frame.value for frame in app.dataframe if "ECE" in frame.value)
    assert table["ECE"].notna().all()
    assert table["ECE after"].isna().all()
    assert "No diagrams and no scaled ECE on this split" in words(app)
    app = open_page("confusion", runs=pair)
    (table,) = (frame.value for frame in app.dataframe if "ECE" in frame.value)
    assert table["ECE after"].notna().all()


def test_a_link_to_a_run_without_its_network_says_how_to_make_it(
    root: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    make_runs.faces(tmp_path / "data", root)
    kept = next(RUNS.glob("katkar2021-model2-original-s0-*"))
    shutil.copytree(kept, root / kept.name)
    lacking = runs["le2019-deep"]
    line = f"{lacking.id} has no network (model.onnx) here; "

    def plain(app: AppTest) -> str:
        return words(app).replace("\\", "")

    for page, key in (("photo", "networks"), ("live", "networks"), ("data", "run")):
        app = open_page(page, **{key: lacking.id})
        assert line in plain(app)
        assert "fercore train" in plain(app)
        box = app.multiselect(key=key) if key == "networks" else app.selectbox(key=key)
        assert [label for label in box.options if "le2019" in label] == []
    assert line not in plain(open_page("photo", networks=kept.name))
    # It stays until the choice is changed.
    app = open_page("photo", networks=lacking.id)
    assert line in plain(app.run())
    app.multiselect(key="networks").set_value([kept.name]).run()
    assert line not in plain(app)
    assert line in plain(open_page("run", run=lacking.id, details="network"))
    assert line not in plain(open_page("run", run=kept.name, details="network"))
    app = open_page("run", run=lacking.id, details="provenance")
    assert "the file is not here" in "".join(frame.value.to_string() for frame in app.dataframe)
