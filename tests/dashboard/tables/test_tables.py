from dataclasses import replace

import pandas as pd
import pytest

from dashboard.analysis import run_properties
from dashboard.charts import theme
from dashboard.state import run_cache
from dashboard.tables import compare_tables, run_details_tables, runs_table
from fercore.runs.reader import Run


def test_runs_table_holds_the_figures(runs: dict[str, Run]):
    run, dropped = runs["le2019-deep"], runs["katkar2021-model1-original"]
    table = runs_table.runs_table([[run], [dropped], [runs["failed-run"]]])
    test = run.results.splits["test"]
    row = table.loc[run.id]
    assert row["Accuracy"] == pytest.approx(test.accuracy * 100)
    assert row["n"] == 3589
    assert row["Classes"] == ["all 7"]
    assert row["All classes"] == row["Accuracy"]
    assert row["Worst class"] == run_properties.worst_class(test).name
    assert row["Parameters"] == run.results.parameters
    assert row["Training time"] == pd.Timedelta(round(run.results.train_seconds), unit="s")
    row = table.loc[dropped.id]
    assert row["Classes"] == ["6 of 7"]
    assert row["n"] == 3534
    assert row["All classes"] == pytest.approx(dropped.results.splits["test_all"].accuracy * 100)
    row = table.loc[runs["failed-run"].id]
    assert pd.isna(row["Accuracy"])
    assert row["Note"] == "no space left on device"
    assert row["Epochs"] == "2 of 30"


def test_every_run_has_a_row(runs: dict[str, Run]):
    table = runs_table.runs_table([[run] for run in runs.values()])
    assert list(table.index) == [run.id for run in runs.values()]
    assert runs_table.runs_table([]).empty


@pytest.mark.parametrize(
    ("text", "dataset", "states", "expected"),
    [
        ("deep", "", (), {"le2019-deep"}),
        ("LE 2019 h200", "", (), {"le2019-deep"}),
        ("-s1", "", ("finished",), {"le2019-deep"}),
        ("", "synthetic", (), {"synthetic-quick"}),
        ("", "", ("stalled", "failed"), {"stalled-run", "failed-run"}),
        ("nothing like it", "", (), set()),
    ],
)
def test_select_runs(runs: dict[str, Run], text, dataset, states, expected):
    everything = [run for run in runs.values() if run.config]
    found = runs_table.select_runs(everything, text, dataset, states)
    assert {run.config.name for run in found} == expected


def test_problems_in_one_line(runs: dict[str, Run]):
    table = runs_table.problems_table([runs["holiday-pictures"], runs["torn-s0-20250101T000000"]])
    assert table["Problem"][0] == "no config.json: not a run directory of this package"
    assert "\n" not in table["Problem"][1]


def test_headline_table_leaves_gaps(runs: dict[str, Run]):
    pair = [runs["le2019-deep"], runs["khopkar2021"]]
    labels, colors = (
        run_properties.labels(pair),
        theme.run_colors([run.id for run in pair], "light"),
    )
    unique = pair[0].results.splits["test_unique"]
    table = compare_tables.headline_table(pair, labels, colors, {pair[0].id: unique})
    assert table["Accuracy"][0] == pytest.approx(unique.accuracy * 100)
    assert table["n"][0] == unique.n
    assert pd.isna(table["Accuracy"][1])
    assert theme.RUN_COLORS["light"][0][1:] in table["Color"][0]


def test_class_table(runs: dict[str, Run]):
    result = runs["katkar2021-model1-original"].results.splits["test"]
    table = run_details_tables.class_table(result).set_index("Class")
    assert table.loc["happy", "Samples"] == 879
    assert table.loc["happy", "Recall"] == pytest.approx(result.classes[3].recall * 100)
    assert pd.isna(table.loc["disgust", "Recall"])
    assert table.loc["disgust", "95% interval"] == "–"


def test_splits_table(runs: dict[str, Run]):
    table = run_details_tables.splits_table(runs["katkar2021-model1-original"])
    assert list(table["Split"]) == [
        "PrivateTest",
        "PrivateTest (deduplicated)",
        "PrivateTest, all classes",
        "PublicTest",
    ]
    assert list(table["Classes"]) == [6, 6, 7, 6]


def test_differences_only(runs: dict[str, Run]):
    pair = [runs["le2019-deep"], runs["le2019-shallow"]]
    labels = run_properties.labels(pair)
    table = compare_tables.differences_table(pair, labels).set_index("Field")
    assert table.loc["augmentation.rotation"].tolist() == ["10", "0"]
    assert table.loc["augmentation.horizontal_flip"].tolist() == ["yes", "no"]
    assert table.loc["model_options.variant"].tolist() == ["–", "shallow"]
    assert table.loc["Device"].tolist() == ["NVIDIA H200", "Intel Xeon, 2 cores"]
    assert "model" not in table.index
    assert "title" not in table.index
    everything = compare_tables.differences_table(pair, labels, equal=True)
    assert "model" in set(everything["Field"])
    assert compare_tables.differences_table([pair[0]], labels).empty


def test_layers_and_network(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    layers = run_cache.layers(run)
    table = run_details_tables.layer_table(layers)
    assert table["Parameters"].sum() == run.results.parameters
    assert table["Output"][1] == "46 × 46 × 32"
    labels, colors = run_properties.labels([run]), theme.run_colors([run.id], "light")
    row = compare_tables.network_table([run], labels, colors, {run.id: layers}).iloc[0]
    assert row["Parameters"] == run.results.parameters
    assert row["Largest layer"].startswith("hidden, 93")


def test_provenance(runs: dict[str, Run]):
    table = run_details_tables.provenance_table(runs["le2019-deep"]).set_index("What")["Value"]
    assert table["Device"] == "NVIDIA H200"
    assert table["Package keras"] == "3.15.1"
    assert table["Checkpoint"].startswith("epoch ")
    assert (
        "Folder" in run_details_tables.provenance_table(runs["holiday-pictures"])["What"].tolist()
    )


def test_provenance_says_what_was_excluded_from_training(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    assert "Excluded from training" not in run_details_tables.provenance_table(run)["What"].tolist()
    protocol = run.config.protocol.model_copy(update={"exclude": "./doubtful.csv"})
    excluded = {"excluded_images": 1234, "excluded_sha256": "ab12"}
    run = replace(
        run,
        config=run.config.model_copy(update={"protocol": protocol}),
        environment=run.environment.model_copy(update=excluded),
    )
    table = run_details_tables.provenance_table(run).set_index("What")["Value"]
    assert table["Excluded from training"] == "1,234 images of ./doubtful.csv, SHA-256 ab12"


def test_config_and_counts(runs: dict[str, Run]):
    fields = run_details_tables.config_table(runs["le2019-deep"]).set_index("Field")["Value"]
    assert fields["optimizer.learning_rate"] == "0.001"
    counts = run_details_tables.counts_table(runs["le2019-deep"]).set_index("Split")
    assert counts.loc["Training", "all"] == 28709
    assert counts.loc["PrivateTest", "disgust"] == 55
