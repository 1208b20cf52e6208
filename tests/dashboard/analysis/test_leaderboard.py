import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dashboard.analysis import board_grouping, leaderboard, run_properties
from dashboard.analysis.leaderboard import Difference, Entry
from dashboard.charts.base import pareto_front
from dashboard.charts.tradeoff_charts import TradeOffPoint, trade_off
from dashboard.state import comparison_cache
from dashboard.tables import leaderboard_table
from fercore.evaluation.paired_runs import join_samples, sample_predictions
from fercore.runs.listing import list_runs
from fercore.runs.predictions import Predictions
from fercore.runs.reader import Run

RUNS = Path(__file__).parents[3] / "runs"


@pytest.fixture(scope="module")
def committed() -> list[Run]:
    return list_runs(RUNS)


def test_a_board_holds_what_can_be_compared(committed: list[Run]):
    for dataset in ("fer2013", "ckplus", "lfw_emotion"):
        for board in board_grouping.boards(committed, dataset):
            keys = {board_grouping._board_key(run) for entry in board.entries for run in entry.runs}
            assert keys == {board.key}
            assert len({entry.n for entry in board.entries}) == 1
            names = [entry.run.config.name for entry in board.entries if entry.run.experiment]
            assert len(names) == len(set(names))


def test_the_first_board_is_without_leakage_and_on_all_classes(committed: list[Run]):
    first, *others = board_grouping.boards(committed, "fer2013")
    assert first.split == "test_unique"
    assert all(run_properties.honest_result(entry.run) for entry in first.entries)
    assert all(
        len(board.entries) <= len(first.entries) or board.split == "test" for board in others
    )


def test_the_order_is_that_of_validation(committed: list[Run]):
    board = board_grouping.boards(committed, "fer2013")[0]
    order = [entry.validation for entry in board.entries]
    assert order == sorted(order, reverse=True)
    assert board.best is board.entries[0]


def test_the_recommended_network_is_the_smallest_near_the_best_single_one(committed: list[Run]):
    board = board_grouping.boards(committed, "fer2013")[0]
    single = [entry for entry in board.entries if entry.is_single_network]
    top = max(single, key=lambda entry: entry.validation)
    n = run_properties.result_of(top.run, "validation").n
    enough = top.validation - np.sqrt(top.validation * (1 - top.validation) / n)
    near = [entry for entry in single if entry.validation >= enough]
    assert board.recommended in near
    assert board.recommended.parameters == min(entry.parameters for entry in near)
    assert not any(entry.kind == "ensemble" for entry in near)


def test_seeds_are_averaged_and_folds_are_added_up(committed: list[Run]):
    entries = board_grouping.boards(committed, "fer2013")[0].entries
    seeds = next(entry for entry in entries if entry.run.config.name == "facet-tiny")
    values = [run.results.splits["test_unique"].accuracy for run in seeds.runs]
    assert (seeds.seeds, seeds.n) == (3, 3301)
    assert seeds.accuracy == pytest.approx(np.mean(values))
    assert seeds.spread == pytest.approx(np.std(values, ddof=1))
    (folds,) = board_grouping.boards(committed, "ckplus")[0].entries
    assert (folds.seeds, len(folds.runs), folds.n) == (1, 10, 981)
    assert leaderboard.groups_of(folds) == "by subject, 118 groups"
    low, high = folds.interval
    # Wider than independent images would give.
    assert high - low > 2 * 1.96 * np.sqrt(folds.accuracy * (1 - folds.accuracy) / 981)


def test_operations_count_every_member_and_view(committed: list[Run]):
    by_name = {
        entry.run.config.name: entry
        for entry in board_grouping.boards(committed, "fer2013")[0].entries
    }
    one = by_name["facet-tiny"].macs
    assert by_name["facet-tiny-tta"].macs == 10 * one
    assert by_name["facet-tiny-three"].macs == 30 * one


def test_differences_to_the_recommended_network(committed: list[Run]):
    board = board_grouping.boards(committed, "fer2013")[0]
    found = leaderboard.differences(
        board.recommended, board.entries, comparison_cache.sample_predictions
    )
    assert board.recommended.run.id not in found
    for entry in board.entries:
        if entry is not board.recommended and len(entry.runs) == 1:
            expected = entry.accuracy - board.recommended.accuracy
            assert found[entry.run.id].accuracy == pytest.approx(expected, abs=1e-9)
    table = leaderboard_table.leaderboard_table(board.entries, board.recommended, found)
    text = dict(zip(table["Model"], table["To recommended"], strict=True))
    assert text[board.recommended.title] == leaderboard_table.RECOMMENDED
    assert text["Le 2019, Shallow CNN"].startswith("worse (−")


def test_a_difference_is_corrected_for_the_number_of_tests():
    assert Difference(0.01, 0.049).is_significant
    assert not Difference(0.01, 0.05).is_significant


def test_runs_on_another_version_of_a_dataset_are_on_another_board(committed: list[Run]):
    board = board_grouping.boards(committed, "fer2013")[0]
    other = board.entries[1].run
    moved = dataclasses.replace(
        other,
        environment=other.environment.model_copy(update={"dataset_fingerprint": "another"}),
    )
    runs = [moved if run.id == other.id else run for run in committed]
    found = board_grouping.boards(runs, "fer2013")
    assert len(found) == len(board_grouping.boards(committed, "fer2013")) + 1


def test_folds_are_joined_for_a_test():
    def part(prefix: str, grouped: bool):
        predictions = Predictions(
            np.array([f"{prefix}{i}" for i in range(4)]),
            np.array([0, 1, 0, 1]),
            np.eye(2, dtype=np.float32)[[0, 1, 1, 1]],
        )
        if grouped:
            predictions = dataclasses.replace(
                predictions, groups=np.array(list("aabb")), group_kind="subject"
            )
        return sample_predictions(predictions)

    joined = join_samples([part("x", True), part("y", True)])
    assert len(joined) == 8
    assert joined.group_kind == "subject"
    assert join_samples([part("x", True), part("y", False)]).groups is None
    assert join_samples([]) is None


def test_the_worst_confusions_are_by_share_of_the_true_class(committed: list[Run]):
    run = board_grouping.boards(committed, "fer2013")[0].recommended.run
    result = run.results.splits["test_unique"]
    found = leaderboard_table.confusions(result, 3)
    assert len({true for true, *_ in found}) == 3
    shares = [share for *_, share in found]
    assert shares == sorted(shares, reverse=True)
    names = [entry.name for entry in result.classes]
    for true, predicted, count, share in found:
        row = result.confusion[names.index(true)]
        assert count == row[names.index(predicted)]
        assert share == count / sum(row)


def point(name: str, cost: float, accuracy: float, labelled: bool = False) -> TradeOffPoint:
    return TradeOffPoint(
        name, name, "Ours", cost, accuracy, accuracy - 0.01, accuracy + 0.02, labelled
    )


def test_the_pareto_front_holds_what_no_other_beats():
    assert pareto_front([(30, 0.7), (20, 0.5), (10, 0.6), (10, 0.55)]) == [2, 0]


def test_only_the_front_and_the_selection_are_labelled():
    points = [point("a", 10, 0.6), point("b", 20, 0.5), point("c", 30, 0.4, labelled=True)]
    figure = trade_off(points, "Parameters", "light")
    labels = next(trace for trace in figure.data if trace.mode == "text")
    assert list(labels.text) == ["a", "c"]
    # Above the error bars, and inside the chart.
    assert list(labels.y) == pytest.approx([0.62, 0.42])
    assert list(labels.textposition) == ["top right", "top left"]
    markers = next(trace for trace in figure.data if trace.mode == "markers")
    assert [custom[0] for custom in markers.customdata] == ["a", "b", "c"]
    assert list(markers.error_y.arrayminus) == pytest.approx([0.01] * 3)


def test_an_entry_without_validation_is_never_chosen(committed: list[Run]):
    board = board_grouping.boards(committed, "fer2013")[0]
    best = board.entries[0]
    run = best.run
    splits = {name: own for name, own in run.results.splits.items() if name != "validation"}
    blind = dataclasses.replace(run, results=run.results.model_copy(update={"splits": splits}))
    entries = (Entry((blind,), best.split, best.kind, None), *board.entries[1:])
    assert dataclasses.replace(board, entries=entries).best is board.entries[1]


def test_repeats_in_words(committed: list[Run]):
    boards = board_grouping.boards(committed, "fer2013")
    words = {entry.run.config.name: entry.repeats for entry in boards[0].entries}
    assert words["facet-tiny"] == "3 seeds"
    assert words["le2019-deep"] == "1 seed"
    assert board_grouping.boards(committed, "ckplus")[0].entries[0].repeats == "10 folds"


def test_a_lead_is_described_by_the_tests(committed: list[Run]):
    best, second, third = board_grouping.boards(committed, "fer2013")[0].entries[:3]
    sure, unsure = Difference(-0.02, 0.001), Difference(-0.02, 0.2)
    pair = {second.run.id: sure, third.run.id: sure}
    entries = (best, second, third)
    assert leaderboard.describe_lead(best, (best,), {}) == ""
    assert leaderboard.describe_lead(best, entries, pair) == (
        "Significantly better than all 2 others."
    )
    one = pair | {third.run.id: unsure}
    assert leaderboard.describe_lead(best, entries, one) == (
        f"Not significantly better than {third.title}."
    )
    assert leaderboard.describe_lead(best, entries, {second.run.id: None}) == (
        "Not significantly better than 2 of 2 others."
    )


def test_experiments_of_the_papers_are_published_systems(committed: list[Run]):
    entries = board_grouping.boards(committed, "fer2013")[0].entries
    kinds = {entry.run.config.name: entry.kind for entry in entries}
    assert kinds["khopkar2021-honest"] == kinds["le2019-shallow-fractional"] == "paper"
    assert kinds["facet-tiny"] == "own"
    assert kinds["facet-tiny-tta"] == "ensemble"
