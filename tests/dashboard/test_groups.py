"""Beside every interval of dependent images stand their groups, on pages, charts and exports."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dashboard.analysis import board_grouping, run_properties
from dashboard.charts import accuracy_charts, augmentation_charts, class_charts, theme
from dashboard.components import baseline_comparison
from dashboard.components.compared_runs import Compared
from dashboard.reports import html
from dashboard.tables import compare_tables, run_details_tables, runs_table, table_formats
from fercore import metrics
from fercore.cli import app
from fercore.evaluation import paired_runs
from fercore.evaluation.shared_images import evaluate_together
from fercore.runs.reader import Run, read_run
from fercore.runs.schema import UNGROUPED, Results

ROOT = Path(__file__).parents[2] / "runs"
BY_SUBJECT = "ranjan2023-model1-ckplus-subjects-s0-f3-20261121T120411"
GROUPS = "by subject, 14 groups"


@pytest.fixture(scope="module")
def run() -> Run:
    return read_run(ROOT / BY_SUBJECT)


@pytest.fixture(scope="module")
def old(run: Run) -> Run:
    """The same run as earlier versions stored it."""
    fields = run.results.model_dump()
    for split in fields["splits"].values():
        split |= {"groups": None, "group_kind": None}
        for entry in split["classes"]:
            entry["groups"] = None
    return replace(run, results=Results.model_validate(fields))


@pytest.fixture(scope="module")
def independent() -> Run:
    return read_run(ROOT / "le2019-deep-s0-20261121T052505")


def test_the_interval_is_that_of_the_stored_groups(run: Run):
    said, result = run.predictions("test"), run.results.splits["test"]
    right = said.probabilities.argmax(axis=1) == said.labels
    low, high = metrics.clustered_interval(right, said.groups)
    assert (result.accuracy_low, result.accuracy_high) == pytest.approx((low, high))
    alone = metrics.accuracy_interval(int(right.sum()), result.n)
    assert high - low > 1.2 * (alone[1] - alone[0])


def test_tables_name_the_groups_beside_n(run: Run, old: Run, independent: Run):
    table = runs_table.runs_table([[run], [old], [independent]])
    assert table["Groups"].fillna("").tolist() == [GROUPS, UNGROUPED, ""]
    columns = list(table.columns)
    assert columns.index("Groups") == columns.index("n") + 1
    labels = {one.id: one.id for one in (run, independent)}
    colors = theme.run_colors(list(labels), "light")
    results = {one.id: one.results.splits["test"] for one in (run, independent)}
    headline = compare_tables.headline_table([run, independent], labels, colors, results)
    assert headline["Groups"].fillna("").tolist() == [GROUPS, ""]
    assert GROUPS in run_details_tables.splits_table(run)["Groups"].tolist()
    assert run_details_tables.splits_table(old)["Groups"].tolist() == [UNGROUPED] * 3
    assert "Groups" not in run_details_tables.splits_table(independent)
    result = run.results.splits["test"]
    by_class = run_details_tables.class_table(result)["Groups"].tolist()
    angry = result.classes[0]
    assert by_class[0] == f"by subject, {angry.groups} group{'s' * (angry.groups != 1)}"
    assert "Groups" not in run_details_tables.class_table(independent.results.splits["test"])


def test_exports_and_reports_hold_them(run: Run):
    table = run_details_tables.splits_table(run)
    for text in (
        table_formats.as_csv(table),
        table_formats.as_markdown(table),
        table_formats.as_latex(table),
        html.table(table),
    ):
        assert GROUPS in text


def test_texts_beside_an_interval(run: Run, old: Run, independent: Run):
    result = run.results.splits["test"]
    assert run_properties.sample_size(run, result) == f"n = {result.n}, {GROUPS}"
    before = old.results.splits["test"]
    assert run_properties.sample_size(old, before) == f"n = {result.n}, {UNGROUPED}"
    assert run_properties.class_size(old, before, before.classes[0]).endswith(UNGROUPED)
    assert "group" in run_properties.class_size(run, result, result.classes[0])
    assert (
        run_properties.sample_size(independent, independent.results.splits["test"]) == "n = 3,589"
    )
    figure = accuracy_charts.accuracy_forest([("ours", "#123456", result)])
    assert GROUPS in figure.data[0].hovertemplate


def test_a_recall_names_the_groups_of_its_class(run: Run, independent: Run):
    result = run.results.splits["test"]
    colors = theme.class_colors(run.results.class_names, "light")
    seen = [entry for entry in result.classes if entry.support]
    bars = class_charts.class_recall(result, colors).data[0]
    assert [row[3] for row in bars.customdata] == [f", groups: {e.groups}" for e in seen]
    plain = class_charts.class_metric_bars(
        [("a", "#123456", independent.results.splits["test"])]
    ).data[0]
    assert {row[3] for row in plain.customdata} == {""}


def test_a_comparison_names_the_groups_or_that_they_are_unknown(
    run: Run, old: Run, independent: Run, monkeypatch
):
    def compared(first: Run, *, known: bool = True):
        said = read_run(first.path).predictions("test")
        if not known:
            said = replace(said, groups=None, group_kind="")
        runs = [first, replace(first, path=Path("another"))]
        evaluations = evaluate_together(
            runs, "test", lambda run, dropped: paired_runs.sample_predictions(said)
        )
        monkeypatch.setattr(
            baseline_comparison.comparison_cache,
            "compare_pair",
            lambda runs, split, one, other: paired_runs.compare_pair(*evaluations.pair(one, other)),
        )
        names = {one.id: one.id for one in runs}
        colors = theme.run_colors(list(names), "light")
        view = Compared(runs, names, colors, "test", "Test", evaluations)
        return baseline_comparison.table(view, first)

    assert compared(run)["Groups"].tolist() == [GROUPS]
    assert compared(old, known=False)["Groups"].tolist() == [UNGROUPED]
    assert "Groups" not in compared(independent)


def test_an_accuracy_by_strength_has_intervals_by_group():
    right = [np.repeat(np.arange(40) < hits, 5) for hits in (36, 20)]
    groups = np.repeat(np.arange(40), 5).astype(str)
    grouped, alone = (
        augmentation_charts.strength_curve([0, 1], right, known, "Rotation", "#123456").data[0]
        for known in (groups, None)
    )
    assert list(grouped.y) == [0.9, 0.5]
    low, high = metrics.clustered_interval(right[1], groups)
    assert (grouped.error_y.arrayminus[1], grouped.error_y.array[1]) == pytest.approx(
        (0.5 - low, high - 0.5)
    )
    assert alone.error_y.array[1] < grouped.error_y.array[1] / 2


def test_the_network_to_use_is_near_the_best_by_the_error_of_groups(run: Run):
    """Ten points below the best, but with twelve subjects nobody can tell."""
    ids = ("best", "small")
    made = []
    for name, accuracy, parameters in zip(ids, (0.9, 0.86), (900, 100), strict=True):
        split = run.results.splits["validation"].model_copy(
            update={"accuracy": accuracy, "accuracy_low": 0.8, "accuracy_high": 0.97}
        )
        splits = run.results.splits | {"validation": split}
        results = run.results.model_copy(update={"splits": splits, "parameters": parameters})
        # Not one fold of several, which would have no rank.
        protocol = run.config.protocol.model_copy(update={"split": "random"})
        config = run.config.model_copy(update={"name": name, "protocol": protocol})
        made.append(replace(run, path=Path(name), config=config, results=results))
    (board,) = board_grouping.boards(made, run.config.dataset)
    assert board.recommended.run.id == "small"


def test_the_command_line_names_the_groups(run: Run, capsys):
    app(["runs", "show", BY_SUBJECT, "--runs-root", str(ROOT)], standalone_mode=False)
    assert capsys.readouterr().out.count(GROUPS) >= 1
    app(["runs", "list", "--runs-root", str(ROOT)], standalone_mode=False)
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith(BY_SUBJECT))
    assert GROUPS in line
