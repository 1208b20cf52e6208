"""The Run details page."""

import json
import shutil
from pathlib import Path

import pytest

from dashboard import formats
from dashboard.reports import builder
from fercore import metrics
from fercore.data.labels import FER2013
from fercore.runs.reader import Run, read_run
from tests.dashboard import make_runs
from tests.dashboard.pages import charts, open_page, without_repeats_marked, words


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
    assert f"Accuracy on PrivateTest {formats.percent(test.accuracy)}" in said
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


def test_calibration_before_and_after_temperature_scaling(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    said = words(open_page("run", run=run.id, split="test"))
    chosen, tested = run.predictions("validation"), run.predictions("test")
    before = metrics.expected_calibration_error(tested.probabilities, tested.labels)
    assert f"ECE {formats.percent(before)}; " in said
    temperature = metrics.fit_temperature(chosen.probabilities, chosen.labels)
    after = metrics.apply_temperature(tested.probabilities, temperature)
    ece = metrics.expected_calibration_error(after, tested.labels)
    assert f"{formats.percent(ece)} at temperature {temperature:.2f}, fitted on" in said
    app = open_page("run", run=run.id, scaled="1")
    assert app.toggle(key="scaled").value
    assert charts(app) == 11


def test_markup_in_a_title_stays_text(root: Path):
    plan = make_runs.Plan("markup", "![x](http://example.com/x.png) **bold** $x$ <b>", done=2)
    path = make_runs.ended(root, plan, "failed", "![y](http://example.com/y.png)")
    said = words(open_page("run", run=path.name))
    assert "![" not in said
    assert r"\*\*bold\*\*" in said


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


def test_trust_follows_from_the_matrix(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"]
    app = open_page("run", run=run.id, split="test", prevalence="0.001")
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


def test_ranking_curves_of_each_class(root: Path, runs: dict[str, Run]):
    run = runs["katkar2021-model1-original"]
    app = open_page("run", run=run.id)
    (table,) = (frame.value for frame in app.dataframe if "AUC" in frame.value)
    # Disgust is not scored.
    assert list(table["Class"]) == [name for name in FER2013 if name != "disgust"] + [
        "macro average"
    ]
    assert table["n"].sum() == 3534


def test_the_layer_table_is_closed_at_first(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"]
    shown = [set(frame.value) for frame in open_page("run", run=run.id).dataframe]
    assert not any("Layer" in columns for columns in shown)
    shown = [set(frame.value) for frame in open_page("run", ["layers"], run=run.id).dataframe]
    assert any("Layer" in columns for columns in shown)
