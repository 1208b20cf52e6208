"""The Runs page."""

from pathlib import Path

import numpy as np
import pytest

from dashboard import formats
from dashboard.components import export_menu
from fercore.runs import annotations
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run
from tests.dashboard.pages import open_page, words


def test_runs_page(root: Path, runs: dict[str, Run]):
    app = open_page("runs")
    said = words(app)
    best = runs["le2019-deep"].results.splits
    accuracy = formats.percent(best["test_unique"].accuracy, 1)
    links = {link.proto.label for link in app.get("page_link")}
    assert f"Most accurate: Le 2019, Deep CNN, {accuracy}" in links
    assert f"Recommended: Le 2019, Deep CNN, {accuracy}" in links
    assert "8 runs on real faces: 4 finished, 1 in progress, 3 failed or stopped." in said
    assert "epoch 12 of 40" in app.get("progress")[0].text
    real, synthetic, problems = (frame.value for frame in app.dataframe)
    assert set(synthetic["Dataset"]) == {"synthetic"}
    assert "synthetic" not in set(real["Dataset"])
    assert real.loc[runs["le2019-deep"].id, "n"] == 3589
    assert list(real.loc[runs["katkar2021-model1-original"].id, "Classes"]) == ["6 of 7"]
    assert real.loc[runs["le2019-deep"].id, "Experiment"] == "★ Le 2019, Deep CNN"
    assert set(problems["Folder"]) == {"holiday-pictures", "torn-s0-20250101T000000"}


def test_filters_come_from_the_address(root: Path):
    app = open_page("runs", q="le 2019", state="finished")
    assert app.text_input(key="q").value == "le 2019"
    (real, *_) = (frame.value for frame in app.dataframe)
    assert set(real["Experiment"]) == {"★ Le 2019, Deep CNN", "Le 2019, Shallow CNN"}
    assert "State" not in real


def test_a_filter_goes_into_the_address(root: Path):
    app = open_page("runs")
    app.text_input(key="q").set_value("deep").run()
    assert app.query_params["q"] == "deep"
    assert len(app.dataframe[0].value) == 1
    app.text_input(key="q").set_value("").run()
    assert "q" not in app.query_params


def test_runs_are_set_against_a_baseline(runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    tables = {}
    for baseline in pair:
        app = open_page("compare", runs=pair, baseline=baseline, split="test")
        (tables[baseline],) = (f.value for f in app.dataframe if "Only baseline correct" in f.value)
    one, other = (tables[run_id].iloc[0] for run_id in pair)
    assert one["Accuracy"] == -other["Accuracy"]
    assert one["Only run correct"] == other["Only baseline correct"]
    assert one["p"] == other["p"]
    accuracies = [
        runs[n].results.splits["test"].accuracy for n in ("le2019-deep", "le2019-shallow")
    ]
    assert one["Accuracy"] == pytest.approx(100 * (accuracies[1] - accuracies[0]))


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


def test_selected_rows_or_all_are_exported(
    root: Path, runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
):
    tables = []
    monkeypatch.setattr(
        export_menu, "_writer", lambda write, table: tables.append(table()) or (lambda: "")
    )
    picked = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    app = open_page("runs", ["export"], runs=picked)
    assert {tuple(sorted(table.index)) for table in tables} == {tuple(sorted(picked))}
    tables.clear()
    app.segmented_control(key="exported").set_value("all").run()
    assert min(map(len, tables)) > 2
    # Without a selection there is no choice.
    tables.clear()
    app = open_page("runs", ["export"])
    assert "exported" not in [control.key for control in app.segmented_control]
    assert min(map(len, tables)) > 2
