"""The Compare page."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.charts import theme
from dashboard.tables import compare_tables, hyper_parameters, table_formats
from fercore import metrics
from fercore.reproduction import papers
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run
from tests.dashboard.pages import RUNS, charts, open_page, words


def test_compare_asks_for_runs(root: Path, runs: dict[str, Run]):
    assert "Select at least two runs" in words(open_page("compare", runs=""))
    said = words(open_page("compare", runs=runs["le2019-deep"].id))
    assert "Select at least one more run" in said


def test_compare_two_runs(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    app = open_page("compare", runs=pair)
    assert app.multiselect(key="runs").value == pair
    # Without the images that also occur in training, as on the leaderboard.
    either = runs["le2019-deep"].results.splits["test_unique"].n
    counts = set(app.dataframe[0].value["n"])
    assert len(counts) == 1
    assert counts.pop() <= either
    app = open_page("compare", runs=pair, split="test")
    headline = app.dataframe[0].value
    assert list(headline["Run"]) == ["Le 2019, Deep CNN", "Le 2019, Shallow CNN"]
    assert list(headline["n"]) == [3589, 3589]
    assert not app.warning
    # A forest, two curves, the recall bars, precision-recall, ROC, accuracy against parameters and
    # against operations, parallel coordinates.
    assert charts(app) == 9
    assert "Training loss includes" not in words(app)


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
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    every = list_runs(RUNS)
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
    assert "Metrics on PublicTest" in words(app)
    assert app.toggle(key="equal").value is True
    assert "model" in set(app.dataframe[-1].value["Field"])
    assert charts(app) == 1 + 3 + 1 + 2 + 1


@pytest.mark.parametrize(("smooth", "value"), [("0", 0.0), ("0.5", 0.5), ("0.8", 0.8), ("3", 0.99)])
def test_smoothing_of_earlier_links_is_read(
    root: Path, runs: dict[str, Run], smooth: str, value: float
):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    assert open_page("compare", runs=pair, smooth=smooth).slider(key="smooth").value == value


def test_runs_without_a_curve_are_named_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    names = ("facet-tiny-three", "facet-tiny-tta", "facet-tiny-s1")
    ids = [next(run.id for run in list_runs(RUNS) if run.id.startswith(name)) for name in names]
    said = words(open_page("compare", runs=ids)).replace("\\", "")
    (line,) = [line for line in said.splitlines() if line.startswith("No training curve:")]
    assert "Facet, tiny, ensemble of 3, ten-view TTA (ensemble of 3 runs)" in line
    assert "Facet, tiny, ten-view TTA (test-time augmentation of a run)" in line
    assert "seed 1" not in line


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


def test_tables_show_all_runs_and_charts_the_first_eight(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    everything = sorted(path.name for path in root.iterdir() if path.name != "holiday-pictures")
    assert len(everything) > 8
    app = open_page("compare", runs=everything)
    picked = app.multiselect(key="runs").value
    assert len(picked) > 8
    assert len(app.dataframe[0].value) == len(picked)
    assert f"Tables show all {len(picked)} runs, charts the first 8" in words(app)
    monkeypatch.setattr(theme, "MAX_COMPARED", 3)
    assert len(open_page("compare", runs=everything).multiselect(key="runs").value) == 3


def test_compare_changes_the_address(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    app = open_page("compare", runs=pair)
    app.multiselect(key="runs").set_value([*pair, runs["khopkar2021"].id]).run()
    assert app.query_params["runs"] == [*pair, runs["khopkar2021"].id]
    app.toggle(key="equal").set_value(True).run()
    assert app.query_params["equal"] == "1"
    assert not app.exception


def test_latency_is_shown_where_it_was_measured(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"]
    pair = [run.id, runs["le2019-shallow"].id]
    assert charts(open_page("compare", runs=pair)) == 9
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
    assert charts(app) == 10
    assert "A small processor" in words(app)
    real = open_page("runs").dataframe[0].value
    assert real.loc[run.id, "Latency (ms)"] == 1.25


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
    (against,) = (frame.value for frame in app.dataframe if "Only baseline correct" in frame.value)
    row = against.iloc[0]
    assert row["n"] == n
    assert row["Accuracy"] == pytest.approx(headline["Accuracy"][1] - headline["Accuracy"][0])
    assert row["Only baseline correct"] == (right[0] & ~right[1]).sum()
    assert words(app).count(f"{n:,} images") == 1
    confused = open_page("confusion", runs=ids, split="test_unique", show="all")
    said = words(confused)
    assert f"All results on this page are on {n:,} images" in said
    assert f"{n:,} of {n:,} images, most confident first" in said
    assert f"On {n:,} images: only run A is correct on **{row['Only baseline correct']:,}**" in said
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
    (against,) = (frame.value for frame in app.dataframe if "Only baseline correct" in frame.value)
    assert against["n"][0] == 3301


def test_several_tests_against_a_baseline_are_corrected(root: Path, runs: dict[str, Run]):
    names = ("le2019-deep", "le2019-shallow", "katkar2021-model1-original")
    ids = [runs[name].id for name in names]
    app = open_page("compare", runs=ids)
    (against,) = (frame.value for frame in app.dataframe if "Only baseline correct" in frame.value)
    plain = [
        metrics.mcnemar(np.zeros(a + b, int), np.r_[[0] * a, [1] * b], np.r_[[1] * a, [0] * b]).p
        for a, b in zip(against["Only baseline correct"], against["Only run correct"], strict=True)
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
    (against,) = (frame.value for frame in app.dataframe if "Only baseline correct" in frame.value)
    assert against["Verdict"].tolist()[1] == "no images in common"
    assert against["p"].notna().sum() == 1
    assert "tests against one baseline" not in words(app)


def test_ranking_curves_of_one_class(root: Path, runs: dict[str, Run]):
    ids = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    app = open_page("compare", runs=ids, split="test", **{"class": "fear"})
    (table,) = (frame.value for frame in app.dataframe if "AUC" in frame.value)
    found = runs["le2019-deep"].predictions("test")
    curves = metrics.class_curves(found.probabilities, found.labels, 2)
    assert table["AUC"][0] == pytest.approx(curves.auc)
    assert list(table["n"]) == [528, 528]
    app = open_page("compare", runs=ids)
    (table,) = (frame.value for frame in app.dataframe if "AUC" in frame.value)
    assert table["n"].isna().all()


def test_a_class_that_no_shared_image_has_is_said(root: Path, runs: dict[str, Run]):
    ids = [runs["le2019-deep"].id, runs["katkar2021-model1-original"].id]
    app = open_page("compare", runs=ids, **{"class": "disgust"})
    assert "None of these runs has images of this class" in words(app)


def test_the_contents_link_to_sections_of_the_page(root: Path, runs: dict[str, Run]):
    app = open_page("compare", runs=[runs["le2019-deep"].id, runs["le2019-shallow"].id])
    (line,) = [m.value for m in app.markdown if m.value.startswith("[Metrics](#metrics)")]
    linked = set(re.findall(r"\(#([a-z-]+)\)", line))
    assert linked == {heading.proto.anchor for heading in app.subheader}


def test_matrices_are_small_multiples(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    said = words(open_page("compare", runs=pair, cells="counts"))
    assert said.count('<img src="data:image/svg+xml,') == 2
    assert 'alt="Confusion matrix of Le 2019, Deep CNN"' in said
    assert "Images. All matrices have the same colour scale." in said


def test_p_is_shown_with_and_without_correction(root: Path, runs: dict[str, Run]):
    names = ("le2019-deep", "le2019-shallow", "katkar2021-model1-original")
    app = open_page("compare", runs=[runs[name].id for name in names])
    (against,) = (frame.value for frame in app.dataframe if "p, one test" in frame.value)
    assert list(against["p"]) == pytest.approx(metrics.holm(list(against["p, one test"])), abs=0)


def test_metrics_are_exported_with_numbers_as_intervals(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"], runs["le2019-shallow"]]
    results = {run.id: run.results.splits["test"] for run in pair}
    names = {run.id: run.id for run in pair}
    table = compare_tables.headline_table(pair, names, names, results)
    text = table_formats.as_csv(compare_tables.with_interval_ends(table, pair, results))
    back = pd.read_csv(io.StringIO(text))
    assert list(back["ci_low"]) == pytest.approx([100 * r.accuracy_low for r in results.values()])
    assert list(back.columns[:4]) == ["run", "accuracy_percent", "ci_low", "ci_high"]


def screening_runs(count: int) -> list[str]:
    runs = [run for run in list_runs(RUNS) if run.id.startswith("facet-screening")]
    return [run.id for run in runs[:count]]


def test_marked_runs_come_from_the_address_and_are_selected_in_the_table(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    ids = screening_runs(10)
    app = open_page("compare", runs=ids, marked=[ids[9], ids[1], "gone"])
    assert app.query_params["marked"] == [ids[9], ids[1]]
    table = next(frame for frame in app.dataframe if hyper_parameters.METRIC in frame.value)
    assert len(table.value) == 10
    chart = next(c for c in app.get("plotly_chart") if "parallel coordinates" in c.proto.alt)
    widths = {
        trace["customdata"][0][0]: trace["line"]["width"]
        for trace in json.loads(chart.proto.spec)["data"]
    }
    assert {run_id for run_id in ids if widths[run_id] == 3} == {ids[9], ids[1]}
    (button,) = [b for b in app.button if b.label == "Compare only the 2 marked runs"]
    button.click().run()
    assert not app.exception
    assert app.query_params["runs"] == [ids[9], ids[1]]
    assert app.multiselect(key="runs").value == [ids[9], ids[1]]


def test_settings_that_are_shown_come_from_the_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    names = ("facet-screening-recipe", "facet-screening-no-smoothing", "facet-screening-sgd")
    ids = [next(run.id for run in list_runs(RUNS) if run.id.startswith(name)) for name in names]
    app = open_page("compare", runs=ids, settings=["label_smoothing", "optimizer.name"])
    table = next(f.value for f in app.dataframe if hyper_parameters.METRIC in f.value)
    assert list(table.columns) == ["Run", "label smoothing", "optimizer", hyper_parameters.METRIC]


def test_runs_that_were_not_trained_have_no_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    names = ("facet-tiny-three", "facet-tiny-tta")
    ids = [next(run.id for run in list_runs(RUNS) if run.id.startswith(name)) for name in names]
    app = open_page("compare", runs=ids)
    assert "Hyper-parameters" not in words(app)
