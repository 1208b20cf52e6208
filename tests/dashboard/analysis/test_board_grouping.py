from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dashboard.analysis import board_grouping, run_properties
from dashboard.analysis.leaderboard import Board
from fercore.config.loading import load_config
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run


def main_board(runs: Sequence[Run]) -> Board | None:
    names = board_grouping.datasets(runs)
    return board_grouping.main_board(board_grouping.boards(runs, names[0])) if names else None


@pytest.fixture
def runs(made: Path) -> list[Run]:
    return [run for run in list_runs(made) if run.results and not run_properties.is_synthetic(run)]


@pytest.fixture
def best(runs: list[Run]) -> Run:
    return main_board(runs).best.run


def as_if(run: Run, name: str, /, accuracy: float | None = None, **changes: Any) -> Run:
    """Return another experiment: a changed config, and maybe another validation accuracy."""
    config = load_config(run.path / "config.json", {"name": name} | changes)
    results = run.results
    if accuracy is not None:
        validation = results.splits["validation"].model_copy(update={"accuracy": accuracy})
        results = results.model_copy(update={"splits": results.splits | {"validation": validation}})
    return replace(run, path=run.path.with_name(f"{name}-s0"), config=config, results=results)


def test_the_best_run_is_leakage_free_and_of_the_dataset_with_most_experiments(
    runs: list[Run], best: Run
):
    board = main_board(runs)
    validated = [
        run_properties.result_of(run, "validation").accuracy
        for run in runs
        if run_properties.honest_result(run)
    ]
    assert board.best.validation == max(validated)
    assert board.best.accuracy == run_properties.honest_result(best).accuracy

    leaky = as_if(best, "leaky", **{"protocol.leak_free": False})
    assert run_properties.honest_result(leaky) is None
    assert main_board([leaky]) is None
    # Ten folds of one experiment are one experiment.
    by_subject = {"dataset": "ckplus", "protocol.split": "subjects", "protocol.folds": 10}
    folds = [as_if(best, "folds", **by_subject, **{"protocol.fold": fold}) for fold in range(10)]
    others = [as_if(run, f"other-{n}") for n, run in enumerate(runs)]
    assert board_grouping.datasets([*folds, *others]) == ["fer2013", "ckplus"]
    assert main_board([*folds, *others]).best.run.config.dataset == "fer2013"


def test_the_validation_split_selects_the_best_and_the_recommended_network(best: Run):
    assert main_board([best]).recommended.run is best
    lucky = as_if(best, "lucky", 0.99)
    worse = lucky.results.splits["test_unique"].model_copy(update={"accuracy": 0.01})
    splits = lucky.results.splits | {"test_unique": worse}
    lucky = replace(lucky, results=lucky.results.model_copy(update={"splits": splits}))
    board = main_board([best, lucky])
    assert board.recommended.run is lucky
    # The accuracy of the best run is stated, not the maximum of the test accuracies.
    assert (board.best.run, board.best.accuracy) == (lucky, 0.01)
    # Without a validation accuracy there is nothing to select by.
    unvalidated = {k: v for k, v in splits.items() if k != "validation"}
    results = lucky.results.model_copy(update={"splits": unvalidated})
    assert main_board([replace(lucky, results=results)]).best is None


def test_runs_on_other_images_are_not_ranked_with_each_other(best: Run):
    moved = as_if(best, "moved", 0.99)
    environment = moved.environment.model_copy(update={"dataset_fingerprint": "0123456789abcdef"})
    for other in (
        as_if(best, "random", 0.99, **{"protocol.split": "random"}),
        replace(moved, environment=environment),
    ):
        boards = board_grouping.boards([best, other], "fer2013")
        assert sorted(len(board.entries) for board in boards) == [1, 1]
    # What is left out of training changes no tested image.
    cleaned = as_if(best, "cleaned", 0.99, **{"protocol.leave_out": ["conflicts"]})
    assert main_board([best, cleaned]).best.run is cleaned


def test_of_networks_as_good_as_the_best_the_smallest_is_recommended(best: Run):
    def network(name: str, accuracy: float, parameters: int | None) -> Run:
        run = as_if(best, name, accuracy)
        validation = run.results.splits["validation"].model_copy(update={"n": 2500})
        splits = run.results.splits | {"validation": validation}
        update = {"splits": splits, "parameters": parameters}
        return replace(run, results=run.results.model_copy(update=update))

    def recommended(*runs: Run) -> Run:
        return main_board(runs).recommended.run

    # One standard error of 0.5 among 2,500 is 0.01.
    top, near, far = (
        network("top", 0.5, 1000),
        network("near", 0.4901, 100),
        network("far", 0.4899, 10),
    )
    nearer, unknown = network("nearer", 0.495, 100), network("unknown", 0.5, None)
    assert recommended(top, near, far) is near
    assert recommended(top, near, nearer) is nearer
    assert recommended(unknown, top) is top
    assert recommended(unknown, far) is unknown


def test_a_dataset_of_synthetic_images_is_not_ranked(made: Path):
    synthetic = [run for run in list_runs(made) if run_properties.is_synthetic(run)]
    assert synthetic
    assert board_grouping.datasets(synthetic) == []


def test_a_cross_validation_is_ranked_once_all_of_its_folds_are_trained(best: Run):
    def fold(number: int, **changes: Any) -> Run:
        protocol = {"protocol.split": "subjects", "protocol.folds": 3, "protocol.fold": number}
        run = as_if(best, "folds", **protocol, **changes)
        return replace(run, path=run.path.with_name(f"folds-{number}-{changes}"))

    two = [fold(0), fold(1)]
    assert board_grouping.boards(two, "fer2013") == []
    (board,) = board_grouping.boards([*two, fold(2)], "fer2013")
    assert [len(entry.runs) for entry in board.entries] == [3]
    # A second seed with one fold does not count yet.
    (board,) = board_grouping.boards([*two, fold(2), fold(0, seed=7)], "fer2013")
    assert [(entry.seeds, len(entry.runs)) for entry in board.entries] == [(1, 3)]
    ranked = board_grouping.boards([best, *two], "fer2013")
    assert [len(board.entries) for board in ranked] == [1]
