"""Cached comparisons of runs: shared images, paired tests, tables of papers, goals, ablations."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

import streamlit as st

from dashboard.analysis import board_grouping, leaderboard, run_properties, side_by_side
from dashboard.analysis.leaderboard import Board, Difference, Entry
from dashboard.analysis.side_by_side import SharedPredictions
from dashboard.state.run_cache import files_signature, predictions, run_signature
from dashboard.state.run_store import Signature
from fercore import metrics
from fercore.evaluation import paired_runs, shared_images
from fercore.evaluation.paired_runs import PairedComparison, SamplePredictions
from fercore.evaluation.shared_images import Evaluations
from fercore.metrics import ClassCurves, Curves, PairedDifference, Reliability
from fercore.metrics.validation import Probabilities
from fercore.reproduction import ablations, goals, papers, published_figures
from fercore.runs.reader import Run

_MAX_DELTAS = 4096
_DELTAS_LOCK = threading.Lock()


def paper_rows(runs: Sequence[Run]) -> tuple[papers.Comparison, ...]:
    """Compare every published result with ours; computed again when one of our runs changes."""
    return _paper_rows(_finished(runs, _paper_experiments()))


def paper_statuses(runs: Sequence[Run]) -> Counter[papers.Status]:
    """Count the papers' test accuracies by status; counted again when one of our runs changes."""
    return _paper_statuses(_finished(runs, _paper_experiments()))


def goal_statuses(runs: Sequence[Run]) -> tuple[goals.GoalStatus, ...]:
    """Compare every goal with our results; computed again when one of our runs changes."""
    return _goal_statuses(_finished(runs, _goal_experiments(goals.goals())))


def ablation_results(
    study: ablations.Study, runs: Sequence[Run]
) -> tuple[ablations.AblationResult, ...]:
    """Return the results of a study; computed again when one of its runs changes."""
    text = study.model_dump_json(by_alias=True)
    return _ablation_results(text, _finished(runs, _study_experiments(text)))


def boards(runs: Sequence[Run], dataset: str) -> list[Board]:
    """Return the leaderboards of a dataset, computed anew when one of its runs changes."""
    return _boards(tuple(run for run in runs if run.config), dataset)


def datasets(runs: Sequence[Run]) -> Sequence[str]:
    """Return `board_grouping.datasets`, computed anew when one of the runs changes."""
    return _datasets(tuple(runs))


def main_board(runs: Sequence[Run], dataset: str | None = None) -> Board | None:
    """Return the leaderboard that names the best and the recommended network of all pages.

    Args:
        runs: any.
        dataset: name of the dataset; by default the one with most experiments.
    """
    name = dataset or next(iter(datasets(runs)), None)
    return board_grouping.main_board(boards(runs, name)) if name else None


def recommended_run(runs: Sequence[Run], dataset: str | None = None) -> Run | None:
    """Return the run of the recommended network, see `Board.recommended`; `None` without one."""
    board = main_board(runs, dataset)
    return board.recommended.run if board and board.recommended else None


def top_runs(runs: Sequence[Run], count: int = 3) -> list[str]:
    """Return the ids of the runs at the top of the main leaderboard, ablations left out."""
    board = main_board(runs)
    entries = board.entries if board else ()
    return [entry.run.id for entry in entries if entry.kind != "ablation"][:count]


def differences_to(
    baseline: Entry | None, entries: tuple[Entry, ...]
) -> Mapping[str, Difference | None]:
    """Return how experiments differ from one of them, by run id; nothing without a baseline."""
    return _differences(baseline, entries) if baseline else {}


def sample_predictions(
    run: Run, split: str, also_dropped: tuple[str, ...] = ()
) -> SamplePredictions | None:
    """Return the predictions behind one evaluation of a run.

    Args:
        run: any.
        split: as in `fercore.runs.schema.Results.splits`.
        also_dropped: classes to leave out besides those that the run leaves out.

    Returns:
        The predictions; `None` where they are not stored.
    """
    if run.results is None:
        return None
    left_out = shared_images.left_out_classes(run, split, also_dropped)
    return _sample_predictions(run, run.path, split, left_out, run_signature(run))


@lru_cache(maxsize=256)
def reliability(samples: SamplePredictions, temperature: float | None = None) -> Reliability:
    """Return accuracy by bin of confidence, at a temperature if one is given."""
    probabilities = _at_temperature(samples, temperature)
    return metrics.reliability(probabilities, samples.labels, groups=samples.groups)


# Samples are compared by identity: those of a run that was read again have no entry yet.
@lru_cache(maxsize=256)
def calibration_error(samples: SamplePredictions, temperature: float | None = None) -> float:
    """Return the expected calibration error, at a temperature if one is given."""
    return metrics.expected_calibration_error(_at_temperature(samples, temperature), samples.labels)


@lru_cache(maxsize=512)
def ranking(samples: SamplePredictions, class_index: int) -> ClassCurves | None:
    """Return the precision-recall and ROC curve of one class, see `metrics.class_curves`."""
    return metrics.class_curves(samples.probabilities, samples.labels, class_index)


@lru_cache(maxsize=128)
def macro_ranking(samples: SamplePredictions) -> Curves | None:
    """Return the macro average of the curves of all classes that have some; `None` if none has."""
    classes = range(samples.probabilities.shape[1])
    curves = [curve for k in classes if (curve := ranking(samples, k))]
    return metrics.macro_average(curves) if curves else None


@lru_cache(maxsize=32)
def shared_predictions(evaluations: Evaluations) -> SharedPredictions | None:
    """Return the predictions of the runs on the images of the first one, see `side_by_side`."""
    return side_by_side.share_predictions(evaluations.samples)


def temperature(run: Run) -> float | None:
    """Return the temperature fitted on the run's validation split, or `None`."""
    return run.results.temperature if run.results else None


def evaluate_together(runs: Sequence[Run], split: str) -> Evaluations:
    """Evaluate several runs on the images of one split that they share, see `Evaluations`."""
    return _evaluate_together(runs, split, files_signature(runs))


def compare_pair(
    runs: Sequence[Run], split: str, baseline: str, other: str
) -> PairedComparison | None:
    """Compare a run with the baseline on the images that the runs of a view share.

    Args:
        runs: of the view.
        split: in view.
        baseline: a run's id.
        other: another run's id.

    Returns:
        The comparison; `None` if the two have no image in common.
    """
    return _compare_pair(
        evaluate_together(runs, split), split, baseline, other, files_signature(runs)
    )


def accuracy_deltas(baseline: Run, others: Sequence[Run]) -> dict[str, PairedDifference | None]:
    """Return each run's test accuracy minus the baseline's, by run id.

    Both accuracies are of the samples that both runs have scored; `None` where there are none.
    """
    # One entry of Streamlit's cache for each baseline: a thousand lookups would take half a second.
    cached = _deltas_from(baseline.path, run_signature(baseline))
    deltas = {}
    for run in others:
        key = (run.path, run_signature(run))
        try:
            deltas[run.id] = cached[key]
        except KeyError:
            deltas[run.id] = delta = _accuracy_delta(baseline, run)
            with _DELTAS_LOCK:
                cached[key] = delta
                while len(cached) > _MAX_DELTAS:
                    del cached[next(iter(cached))]
    return deltas


# The package's own files do not change while the server runs.
@cache
def _paper_experiments() -> tuple[str, ...]:
    return published_figures.experiments()


@lru_cache(maxsize=4)
def _goal_experiments(wanted: tuple[goals.Goal, ...]) -> tuple[str, ...]:
    return goals.experiments(wanted)


@lru_cache(maxsize=32)
def _study_experiments(text: str) -> tuple[str, ...]:
    study = ablations.Study.model_validate_json(text)
    return tuple(ablations.overrides(study, change)["name"] for change in study.changes)


def _finished(runs: Sequence[Run], names: Sequence[str]) -> tuple[Run, ...]:
    """Return the runs with results that belong to these experiments or are ensembles."""
    wanted = frozenset(names)
    return tuple(
        run
        for run in runs
        if run.results and run.config and (run.origin == "combined" or run.config.name in wanted)
    )


# Runs are compared by identity, and a run whose files have changed is a new object: runs can be the
# keys of what is computed from them. The results are frozen, so that all visitors can share them.
@lru_cache(maxsize=2)
def _paper_rows(runs: tuple[Run, ...]) -> tuple[papers.Comparison, ...]:
    return papers.compare(runs)


@lru_cache(maxsize=2)
def _paper_statuses(runs: tuple[Run, ...]) -> Counter[papers.Status]:
    return papers.statuses(runs)


@lru_cache(maxsize=2)
def _goal_statuses(runs: tuple[Run, ...]) -> tuple[goals.GoalStatus, ...]:
    return goals.compare(runs)


@lru_cache(maxsize=16)
def _ablation_results(study: str, runs: tuple[Run, ...]) -> tuple[ablations.AblationResult, ...]:
    return ablations.compare(ablations.Study.model_validate_json(study), runs)


@lru_cache(maxsize=4)
def _datasets(runs: tuple[Run, ...]) -> list[str]:
    return board_grouping.datasets(runs)


@lru_cache(maxsize=16)
def _boards(runs: tuple[Run, ...], dataset: str) -> list[Board]:
    return board_grouping.boards(runs, dataset)


# Entries are compared by identity.
@lru_cache(maxsize=64)
def _differences(baseline: Entry, entries: tuple[Entry, ...]) -> dict[str, Difference | None]:
    return leaderboard.differences(baseline, entries, sample_predictions)


@st.cache_resource(max_entries=64, show_spinner=False)
def _sample_predictions(
    _run: Run, path: Path, split: str, left_out: tuple[str, ...], signature: Signature
) -> SamplePredictions | None:
    stored = predictions(_run, shared_images.stored_split(split))
    return None if stored is None else shared_images.select_split(_run, stored, split, left_out)


@st.cache_resource(max_entries=16, show_spinner=False)
def _evaluate_together(_runs: Sequence[Run], split: str, key: str) -> Evaluations:
    def load(run: Run, also_dropped: tuple[str, ...]) -> SamplePredictions | None:
        return sample_predictions(run, split, also_dropped)

    return shared_images.evaluate_together(_runs, split, load)


def _at_temperature(samples: SamplePredictions, temperature: float | None) -> Probabilities:
    if temperature is None:
        return samples.probabilities
    return metrics.apply_temperature(samples.probabilities, temperature)


@st.cache_resource(max_entries=256, show_spinner=False)
def _compare_pair(
    _evaluations: Evaluations, split: str, baseline: str, other: str, key: str
) -> PairedComparison | None:
    samples = _evaluations.pair(baseline, other)
    return paired_runs.compare_pair(*samples) if samples else None


@st.cache_resource(max_entries=8, show_spinner=False)
def _deltas_from(
    path: Path, signature: Signature
) -> dict[tuple[Path, Signature], PairedDifference | None]:
    return {}


def _accuracy_delta(baseline: Run, other: Run) -> PairedDifference | None:
    samples = _on_common_classes(baseline, other, "test")
    pair = paired_runs.pair_samples(*samples) if samples else None
    return pair.difference(samples[0].probabilities.shape[1]) if samples and pair else None


def _on_common_classes(
    first: Run, second: Run, split: str
) -> tuple[SamplePredictions, SamplePredictions] | None:
    names = [run.results.class_names if run.results else [] for run in (first, second)]
    if names[0] != names[1] or first.original_dataset != second.original_dataset:
        return None
    left_out = (*run_properties.dropped_classes(first), *run_properties.dropped_classes(second))
    a, b = (sample_predictions(run, split, left_out) for run in (first, second))
    return (a, b) if a and b else None
