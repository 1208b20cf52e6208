"""Group runs into leaderboards: experiments on the same images, under the same protocol."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from dashboard.analysis import run_properties
from dashboard.analysis.leaderboard import Board, Entry, Kind
from dashboard.analysis.network_cost import count_prediction_macs
from fercore.config.protocol import ProtocolConfig
from fercore.config.run import CombinedConfig
from fercore.reproduction import ablations, published_figures
from fercore.runs.listing import newest_of_each_seed
from fercore.runs.reader import Run


def datasets(runs: Sequence[Run]) -> list[str]:
    """Return the names of the real datasets with evaluated runs, most experiments first."""
    experiments: dict[str, set[str]] = {}
    for run in runs:
        if run.config and _is_evaluated(run):
            experiments.setdefault(run.config.dataset, set()).add(run.config.name)
    return sorted(experiments, key=lambda name: len(experiments[name]), reverse=True)


def main_board(ranked: Sequence[Board]) -> Board | None:
    """Return the board of a dataset whose best and recommended networks stand for the dataset.

    Args:
        ranked: as `boards` returns them.

    Returns:
        The first one; `None` if it is not of experiments on all classes that are free of leakage.
    """
    return ranked[0] if ranked and ranked[0].split == "test_unique" else None


def boards(runs: Sequence[Run], dataset: str) -> list[Board]:
    """Group the experiments on one dataset into boards that can each be ranked.

    The first board has the most experiments among those that test all classes without leakage.

    Args:
        runs: any.
        dataset: its name.
    """
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        if run.config and run.config.dataset == dataset and _is_evaluated(run):
            grouped.setdefault(_board_key(run), []).append(run)
    by_id = {run.id: run for run in runs}
    ranked = []
    for key, members in grouped.items():
        split = "test" if _is_flawed(members[0]) else "test_unique"
        entries = [
            Entry(tuple(own), split, _kind(own[0]), count_prediction_macs(own[0], by_id.get))
            for own in _experiments(members)
        ]
        if not entries:
            continue
        entries.sort(key=lambda entry: entry.validation or 0.0, reverse=True)
        ranked.append(Board(key, _board_title(members[0]), split, tuple(entries)))
    ranked.sort(key=lambda board: (board.split != "test_unique", -len(board.entries)))
    return ranked


def _is_evaluated(run: Run) -> bool:
    return bool(run_properties.result_of(run, "test")) and not run_properties.is_synthetic(run)


def _is_flawed(run: Run) -> bool:
    """Whether the figure without repeated images is none to rank by."""
    return run_properties.honest_result(run) is None


# Runs are compared by identity: one that was read anew has no entry yet.
@lru_cache(maxsize=4096)
def _board_key(run: Run) -> str:
    assert run.config is not None
    division = run.config.protocol.model_dump(
        mode="json", exclude={"leave_out", "exclude", "fold", "split_seed"}
    )
    unknown = run_properties.has_unknown_training_data(run)
    classes = run_properties.dropped_classes(run)
    original = run.original_dataset
    images = [original.name, original.fingerprint] if original else [run.config.dataset]
    return json.dumps([images, division, classes, unknown, _is_flawed(run)])


def _board_title(run: Run) -> str:
    words = run_properties.protocol_words(run) or ""
    if dropped := run_properties.dropped_classes(run):
        words += f", without {', '.join(dropped)}"
    if run_properties.leaks(run):
        words += ", with leakage"
    if run_properties.has_unknown_training_data(run):
        words += ", unknown training data"
    return words


def _experiments(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the newest completed run of each seed and fold, by experiment.

    A seed of a cross-validation counts once all of its folds are trained.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        name = run.config.name if run.config else run.id
        groups.setdefault(name if run.experiment else run.id, []).append(run)
    experiments = []
    for group in groups.values():
        trained = [run for run in group if run.experiment]
        if not trained:
            experiments.append(group)
            continue
        # Of experiments that were changed under the same name, the newest counts.
        recipes = run_properties.group_by_experiment([run for run in trained if run.completed])
        if recipes:
            newest = max(recipes, key=lambda own: (len(own), max(run.id for run in own)))
            if complete := _with_all_folds(newest_of_each_seed(newest)):
                experiments.append(complete)
    return experiments


def _with_all_folds(runs: dict[tuple[int, int, int], Run]) -> list[Run]:
    """Return the runs of the seeds of which every fold is there; all runs without folds."""
    counts = Counter(key[:2] for key in runs)
    return [
        run
        for key, run in runs.items()
        if run.config and counts[key[:2]] >= _num_folds(run.config.protocol)
    ]


def _num_folds(protocol: ProtocolConfig) -> int:
    return protocol.folds if protocol.by_folds else 1


def _kind(run: Run) -> Kind:
    if run.origin == "imported":
        return "imported"
    if isinstance(run.config, CombinedConfig):
        return "ensemble"
    if run.config and run.config.name in _ablation_names():
        return "ablation"
    return "paper" if run.config and run.config.name in _paper_experiments() else "own"


# The package's own files do not change while a process runs.
@lru_cache(maxsize=1)
def _paper_experiments() -> frozenset[str]:
    return frozenset(published_figures.experiments())


@lru_cache(maxsize=1)
def _ablation_names() -> frozenset[str]:
    return frozenset(
        ablations.config_of(study, change).name
        for study in ablations.studies()
        for change in study.changes
        if study.reference(change)
    )
