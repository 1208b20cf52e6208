"""Our own networks with their accuracy and cost, one row for each experiment.

Our own networks are the experiments of `goals.toml`, alone, with test-time augmentation and in
ensembles. All are trained from scratch on the training split of FER2013.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from fercore import metrics
from fercore.config.run import CombinedConfig
from fercore.reproduction import goals
from fercore.runs.reader import Run
from fercore.runs.schema import SplitResult


@dataclass(frozen=True)
class Accuracy:
    """Mean accuracy of the runs of an experiment on one split, in percent.

    Attributes:
        mean: over the runs.
        spread: standard deviation over the runs; `None` for a single run.
        low: lower end of the 95% CI (Wilson) of the mean, for other images, not for other seeds.
        high: upper end of the 95% CI.
        n: number of images.
    """

    mean: float
    spread: float | None
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class NetworkSummary:
    """One of our networks, or an ensemble with one of them.

    Attributes:
        title: one line for people.
        runs: ids of the runs, one for each seed.
        parameters: of the network, or of all members of an ensemble.
        validation: accuracy on PublicTest, which selects the checkpoint.
        test: accuracy on PrivateTest.
        clean: accuracy on PrivateTest without the images that also occur in training.
        macro_f1: mean over the runs of the mean F1 over the classes, from 0 to 1, on the images of
            `clean`.
        latency_ms: milliseconds for one face by the latest measurement; `None` without any.
    """

    title: str
    runs: tuple[str, ...]
    parameters: int
    validation: Accuracy
    test: Accuracy
    clean: Accuracy
    macro_f1: float
    latency_ms: float | None


def summarize(runs: Sequence[Run]) -> list[NetworkSummary]:
    """Return our networks that were trained, the most accurate on PublicTest first.

    An ensemble belongs to them if at least one member is one of our networks.
    """
    by_id = {run.id: run for run in runs}
    names = set(goals.experiments(goals.goals()))
    groups = [list(goals.runs_of(name, runs).values()) for name in sorted(names)]
    groups += [
        [run]
        for run in runs
        if isinstance(run.config, CombinedConfig) and names & _experiments(run, by_id)
    ]
    summaries = [summary for group in groups if (summary := _summarize_group(group))]
    return sorted(summaries, key=lambda summary: summary.validation.mean, reverse=True)


def _experiments(run: Run, by_id: dict[str, Run]) -> set[str]:
    """Return the names of the experiments whose runs are combined, over all levels."""
    if not isinstance(run.config, CombinedConfig):
        return {run.config.name} if run.config else set()
    members = (by_id[name] for name in run.config.combined.members if name in by_id)
    return set().union(*(_experiments(member, by_id) for member in members))


def _summarize_group(runs: Sequence[Run]) -> NetworkSummary | None:
    splits = [run.results.splits for run in runs if run.results]
    if not splits or not all({"validation", "test", "test_unique"} <= set(own) for own in splits):
        return None
    first = runs[0]
    assert first.config is not None
    assert first.results is not None
    measured = [entry for run in runs for entry in run.latency]
    latest = max(measured, key=lambda entry: entry.measured) if measured else None
    return NetworkSummary(
        title=first.config.title,
        runs=tuple(run.id for run in runs),
        parameters=first.results.parameters or 0,
        validation=_accuracy([own["validation"] for own in splits]),
        test=_accuracy([own["test"] for own in splits]),
        clean=_accuracy([own["test_unique"] for own in splits]),
        macro_f1=statistics.fmean(own["test_unique"].macro_f1 for own in splits),
        latency_ms=latest.face_ms if latest else None,
    )


def _accuracy(results: Sequence[SplitResult]) -> Accuracy:
    values = [100 * result.accuracy for result in results]
    mean, n = statistics.fmean(values), results[0].n
    low, high = metrics.accuracy_interval(round(mean * n / 100), n)
    spread = statistics.stdev(values) if len(values) > 1 else None
    return Accuracy(mean, spread, 100 * low, 100 * high, n)
