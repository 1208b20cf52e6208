"""The Paper reproductions page."""

import json
from pathlib import Path

import numpy as np
import pytest

from fercore.reproduction import ablations, goals, papers, published_figures
from fercore.runs.listing import list_runs
from tests.dashboard.pages import RUNS, charts, open_page, words


def test_without_runs_the_published_figures_stand_alone(empty: Path):
    whole = sum(not row.class_name for row in published_figures.rows())
    app = open_page("papers")
    assert f"Not trained yet {len(published_figures.experiments())}" in words(app)
    assert "Matched or exceeded 0 of 18" in words(app)
    assert words(app).count("not trained yet]") == len(published_figures.systems())
    assert "fercore papers --train khopkar2021-honest  # 25" in words(app)
    assert sum(len(frame.value) for frame in app.dataframe if "Paper" in frame.value) == whole
    assert charts(app) == 0


def test_papers_sets_our_runs_beside_the_published_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """On the committed runs: what the page says is what they hold."""
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    app = open_page("papers", ("by-class-le2019", "our-matrices-le2019"), system="le2019")
    (table,) = (frame.value for frame in app.dataframe if "Paper" in frame.value)
    deep = table[table["Result"] == "Table 1, Deep"].iloc[0]
    runs = papers.runs_of("le2019-deep", list_runs(RUNS))
    expected = np.mean([100 * run.results.splits["test"].accuracy for run in runs])
    assert deep["Ours"] == pytest.approx(expected)
    assert deep["Difference"] == pytest.approx(expected - 65.55)
    assert charts(app) == 2
    recalls = [frame.value for frame in app.dataframe if "disgust" in frame.value]
    assert recalls[1]["disgust"][0] == 57.14


def test_papers_opens_with_a_verdict_on_each_paper(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    app = open_page("papers")
    first = app.markdown[0].value.splitlines()
    rows = papers.compare(list_runs(RUNS))
    for line, system in zip(first, published_figures.systems(), strict=True):
        statuses = [r.status for r in rows if r.row.system == system.key and r.row.overall]
        assert system.short_title in line
        for status in {*statuses}:
            assert f"-badge[{statuses.count(status)} {papers.STATUS_WORDS[status]}]" in line
    # The tile counts the same experiments as the commands.
    missing = papers.untrained(rows)
    assert f"Not trained yet {len(missing)}" in words(app)
    assert all(f"fercore papers --train {name} " in words(app) for name in missing)


def test_papers_explains_a_result_in_closed_sections(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    app = open_page("papers", system="rath2021")
    (system,) = (found for found in published_figures.systems() if found.key == "rath2021")
    assert all(note not in words(app) for note in system.notes)
    opened = ("notes-rath2021", "details-rath2021", "how-compared")
    app = open_page("papers", opened, system="rath2021")
    assert all(note in words(app) for note in (*system.notes, *published_figures.general_notes()))
    main, details = (frame.value for frame in app.dataframe)
    rows = [r for r in papers.compare(list_runs(RUNS)) if r.row.experiment == "rath2021-original"]
    assert details["Groups"][0] == rows[0].paper.grouping
    assert details["Leakage-free n"][0] == rows[0].leak_free.n
    assert details["Network size"][0] == f"– / {rows[0].paper.parameters:,}"
    assert main["Spread"][0] == pytest.approx(rows[0].paper.spread)


def test_the_columns_of_papers_fit_a_window_of_1440_pixels(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    keys = [f"study-{study.key}" for study in ablations.studies()]
    app = open_page("papers", [*keys, "details-ranjan2023", "details-rath2021", "details-ours"])
    assert len(app.dataframe) >= 5 + 3 + len(keys)
    for frame in app.dataframe:
        columns = json.loads(frame.proto.columns)
        widths = [columns[str(name)].get("width", 100) for name in frame.value]
        assert sum(widths) <= 1256, list(frame.value)


def test_papers_sets_our_own_networks_beside_their_goals(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    app = open_page("papers", [f"study-{ablations.studies()[0].key}"], system="ours")
    goal_table, changes, *_ = (frame.value for frame in app.dataframe)
    runs = list_runs(RUNS)

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
    assert ablations.studies()[0].findings[0] in words(app)
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
    assert [expander.label for expander in app.expander] == [
        "How the results are compared",
        "Notes",
        "Training time and device",
        *(study.title for study in studies),
    ]
    assert "Every step builds on the one before." in words(app)
    assert "fercore ablate --train steps" in words(app)
    table = app.dataframe[-1].value
    assert list(table["Compared with"][1:]) == ["As it is", "AdamW"]
    first, adamw, short = ablations.compare(steps, list_runs(RUNS))
    assert table["Epochs to target"][0] == pytest.approx(first.epochs_to_target)
    assert table["Difference"][1] == pytest.approx(100 * adamw.difference.difference)
    assert short.mean is None
    assert np.isnan(table["PublicTest"][2])
