"""Comparison of published figures with the runs that reproduce them.

`papers.toml` lists the figures, and for each the experiment under the paper's protocol and the one
under a leak-free protocol. Our figures are computed from completed runs of exactly these
experiments.
"""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fercore import metrics
from fercore.config.loading import load_config
from fercore.reproduction.published_figures import Row, experiments, folds, minutes, rows
from fercore.runs.listing import completed_runs, newest_of_each_seed
from fercore.runs.reader import Run
from fercore.runs.schema import UNGROUPED, ClassResult, SplitResult, grouping

Status = Literal["reached", "within", "short", "noted", "missing"]
STATUS_WORDS: dict[Status, str] = {
    "reached": "matched",
    "within": "within 95% CI",
    "short": "below",
    "noted": "reported only",
    "missing": "not trained yet",
}


@dataclass(frozen=True)
class Reproduction:
    """Our figure for a row, over the runs of one experiment. Accuracies are in percent.

    Attributes:
        runs: ids of the runs.
        mean: mean over the runs.
        first: mean over the runs of the first seed, to compare with a paper that trained once.
        spread: standard deviation over the runs; `None` for a single run.
        low: lower end of the 95% CI of the mean, for other samples, not for other seeds. The CI is
            Wilson's. If the samples come in groups, it is that of `metrics.clustered_interval` over
            the groups of all runs. If the groups of folds are not stored, it is Student's over the
            folds.
        high: upper end of the 95% CI. Both ends are `None` if the figure is no fraction of samples,
            and for copies without stored groups.
        n: number of test samples of all folds of one seed.
        grouping: description of the groups; a caution if they are not stored; empty without groups.
        seeds: number of seeds.
        folds: number of folds of each seed; 1 without folds.
        parameters: number of parameters of the network.
    """

    runs: tuple[str, ...]
    mean: float
    first: float
    spread: float | None
    low: float | None
    high: float | None
    n: int
    grouping: str
    seeds: int
    folds: int
    parameters: int


@dataclass(frozen=True)
class Comparison:
    """A published figure and our reproductions of it.

    Attributes:
        row: the published figure.
        paper: ours under the paper's protocol; `None` until it is trained.
        leak_free: ours under a leak-free protocol; `None` until it is trained, or if the row has no
            such experiment.
    """

    row: Row
    paper: Reproduction | None
    leak_free: Reproduction | None

    @property
    def difference(self) -> float | None:
        """Our figure minus the paper's, in points, under the paper's protocol."""
        if self.paper is None or self.row.figure is None:
            return None
        return self.paper.mean - self.row.figure

    @property
    def difference_interval(self) -> tuple[float, float] | None:
        """The 95% CI of the difference, in points, with the sampling errors of both figures.

        `None` if the paper's test set is ours or its size is unknown: then only our figure has a
        sampling error.
        """
        ours, printed, n = self.paper, self.row.figure, self.row.paper_n
        if ours is None or printed is None or n is None or ours.low is None or ours.high is None:
            return None
        low, high = difference_to_paper(
            (ours.mean / 100, ours.low / 100, ours.high / 100), ours.n, printed / 100, n
        )
        return 100 * low, 100 * high

    @property
    def status(self) -> Status:
        """How our figure compares with the paper's, under the paper's protocol.

        `"within"`: below the paper's figure, but within the CI of the difference, or without one
        within the CI of our figure. `"noted"`: a training accuracy, which need not be high; a
        published zero, which any figure reaches; or no published figure.
        """
        if self.paper is None:
            return "missing"
        if self.row.metric == "train accuracy" or not self.row.figure:
            return "noted"
        if self._reaches(self.paper.mean):
            return "reached"
        interval = self.difference_interval
        if interval is not None:
            return "within" if interval[1] >= 0 else "short"
        high = self.paper.high
        return "within" if high is not None and high >= self.row.figure else "short"

    @property
    def first_reaches(self) -> bool:
        """Whether the mean of the first seed reaches the figure, under the paper's protocol."""
        return self.paper is not None and self._reaches(self.paper.first)

    def _reaches(self, value: float) -> bool:
        printed = self.row.figure
        return printed is not None and round(value, self.row.digits) >= printed


def difference_to_paper(
    ours: tuple[float, float, float], n: int, printed: float, paper_n: int
) -> tuple[float, float]:
    """Return Newcombe's 95% CI of our figure minus the paper's, on two different test sets.

    If our samples come in groups, those of the paper are assumed to be equally dependent: the same
    number of samples counts as one independent sample.

    Args:
        ours: our figure and the ends of its CI, as fractions.
        n: number of our test samples.
        printed: the paper's figure, as a fraction.
        paper_n: number of the paper's test samples.
    """
    size = paper_n * min(1.0, metrics.effective_size(*ours) / n)
    theirs = metrics.wilson_interval(printed, size) if size else (0.0, 1.0)
    return metrics.difference_interval(ours, (printed, *theirs))


def compare(runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Return the comparison of every published figure with the completed runs."""
    by_experiment = {name: runs_of(name, runs) for name in experiments()}
    return tuple(
        Comparison(
            row,
            reproduce_row(row, row.view, by_experiment[row.experiment]),
            reproduce_row(row, row.leak_free_view, by_experiment[row.leak_free])
            if row.leak_free
            else None,
        )
        for row in rows()
    )


def statuses(runs: Sequence[Run]) -> Counter[Status]:
    """Count the test accuracies of the papers by status, see `Comparison.status`.

    It computes less than `compare`: only the rows of `Row.overall`, without leak-free protocols.
    """
    return Counter(
        Comparison(row, reproduce_row(row, row.view, runs_of(row.experiment, runs)), None).status
        for row in rows()
        if row.overall
    )


def outcome(comparisons: Sequence[Comparison]) -> str:
    """Return how many published test accuracies are matched, in words.

    Args:
        comparisons: any; results of single classes, on other splits or without a published accuracy
            are not counted.

    Returns:
        Such as `4 of 6 accuracies matched, 2 within 95% CI`.
    """
    counted = [comparison.status for comparison in comparisons if comparison.row.overall]
    words = [f"{counted.count('reached')} of {len(counted)} accuracies matched"]
    words += [
        f"{counted.count(status)} {STATUS_WORDS[status]}"
        for status in STATUS_WORDS
        if status != "reached" and status in counted
    ]
    return ", ".join(words)


def untrained(comparisons: Sequence[Comparison]) -> dict[str, float]:
    """Return the experiments without completed runs, with the minutes that all folds take."""
    lacking = {
        name
        for comparison in comparisons
        for name, ours in zip(
            comparison.row.experiments, (comparison.paper, comparison.leak_free), strict=False
        )
        if ours is None
    }
    return {name: minutes(name) * len(folds(name)) for name in sorted(lacking)}


def runs_of(experiment: str, runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return the newest completed run of each seed and fold of a committed experiment.

    Runs with another recipe, changed on the command line, are left out.
    """
    completed = completed_runs(load_config(experiment), runs)
    return tuple(newest_of_each_seed([run for _, run in completed]).values())


def reproduce_row(row: Row, view: str, runs: Sequence[Run]) -> Reproduction | None:
    """Return our figure for a row from the runs of one experiment.

    Args:
        row: the published figure.
        view: evaluation of the runs that is used, such as `"test"`.
        runs: completed runs of the experiment, one per seed and fold.

    Returns:
        The figure; `None` unless all folds of a seed have runs.
    """
    if not runs or runs[0].config is None:
        return None
    num_folds = len(folds(runs[0].config.name))
    by_seed: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        assert run.config is not None
        key = (run.config.seed, run.config.protocol.split_seed)
        by_seed.setdefault(key, []).append(run)
    complete = [of_seed for of_seed in by_seed.values() if len(of_seed) == num_folds]
    used = [run for of_seed in complete for run in of_seed]
    values = [value for run in used if (value := _value(row, view, run)) is not None]
    # A fold without samples of the class has no value; the mean is over the other folds.
    if not values:
        return None
    mean = statistics.fmean(value for value, _ in values)
    of_first = [value[0] for run in complete[0] if (value := _value(row, view, run))]
    n = sum(n for _, n in values) // len(complete)
    low, high, groups = None, None, ""
    # Copies of one face are not independent.
    protocol = used[0].config.protocol if used[0].config else None
    has_copies = protocol is not None and protocol.copies == "before_split"
    if row.metric in {"accuracy", "recall", "validation accuracy"} and n:
        by_group = _interval_over_groups(row, view, tuple(used), n)
        if by_group:
            low, high, groups = by_group
        elif num_folds > 1:
            if len(values) >= 2 * len(complete):
                low, high = _interval_over_folds([value for value, _ in values], len(complete))
        elif not has_copies:
            interval = metrics.accuracy_interval(round(mean * n / 100), n)
            low, high = 100 * interval[0], 100 * interval[1]
            groups = UNGROUPED if any(run.groups_unknown for run in used) else ""
    results = used[0].results
    return Reproduction(
        runs=tuple(run.id for run in used),
        mean=mean,
        first=statistics.fmean(of_first) if of_first else mean,
        spread=statistics.stdev(value for value, _ in values) if len(values) > 1 else None,
        low=low,
        high=high,
        n=n,
        grouping=groups,
        seeds=len(complete),
        folds=num_folds,
        parameters=(results.parameters or 0) if results else 0,
    )


def _interval_over_folds(values: Sequence[float], seeds: int) -> tuple[float, float]:
    """Return Student's 95% CI of a mean over folds; repeated seeds do not make it narrower."""
    from scipy.special import stdtrit

    independent = len(values) // seeds
    error = statistics.stdev(values) / math.sqrt(independent)
    half_width = float(stdtrit(independent - 1, 0.975)) * error
    mean = statistics.fmean(values)
    return max(mean - half_width, 0.0), min(mean + half_width, 100.0)


@lru_cache(maxsize=1024)
def _interval_over_groups(
    row: Row, view: str, runs: tuple[Run, ...], n: int
) -> tuple[float, float, str] | None:
    """Return the ends of the 95% CI over the groups of all runs, and a description of the groups.

    The ends are in percent. `None` if a run does not store the samples of the figure or their
    groups.
    """
    correct, groups, kinds = [], [], []
    for run in runs:
        value = _value(row, view, run)
        if value is None:
            continue  # a fold without samples of the class
        stored = _predicted_classes(
            run, "validation" if row.metric == "validation accuracy" else "test"
        )
        split = _split(row, view, run)
        if stored is None or split is None or stored.groups is None:
            return None
        keep = np.isin(stored.labels, np.flatnonzero(np.asarray(split.confusion).any(axis=1)))
        if view == "test_unique" and stored.unique is not None:
            keep &= stored.unique
        if keep.sum() != split.n:
            return None  # the run does not store which test images also occur in training
        if row.metric == "recall":
            keep &= stored.labels == [entry.name for entry in split.classes].index(row.class_name)
        correct.append((stored.predicted == stored.labels)[keep])
        groups.append(stored.groups[keep])
        kinds.append(stored.group_kind)
    if not correct or len({*kinds}) > 1:
        return None
    low, high = metrics.clustered_mean_interval(correct, groups, n)
    return 100 * low, 100 * high, grouping(len(np.unique(np.concatenate(groups))), kinds[0])


@dataclass(frozen=True, eq=False)
class _PredictedClasses:
    """Labels and predicted classes of the samples of a split, and their groups."""

    labels: NDArray[np.uint8]
    predicted: NDArray[np.intp]
    groups: NDArray[np.str_] | None
    group_kind: str
    unique: NDArray[np.bool_] | None


@lru_cache(maxsize=128)
def _predicted_classes(run: Run, role: str) -> _PredictedClasses | None:
    stored = run.predictions(role)
    if stored is None:
        return None
    return _PredictedClasses(
        stored.labels,
        stored.probabilities.argmax(axis=1),
        stored.groups,
        stored.group_kind,
        stored.unique,
    )


def _split(row: Row, view: str, run: Run) -> SplitResult | None:
    splits = run.results.splits if run.results else {}
    if row.metric == "validation accuracy":
        view = "validation"
    if view == "test_all" and view not in splits:
        view = "test"
    return splits.get(view)


def _value(row: Row, view: str, run: Run) -> tuple[float, int] | None:
    """Return the figure of a run, in percent, and the number of samples; `None` without a value."""
    results = run.results
    if results is None:
        return None
    if row.metric == "train accuracy":
        log = {entry.epoch: entry for entry in run.log()}
        selected = log.get(results.selection.epoch) if results.selection else None
        return (100 * selected.accuracy, 0) if selected else None
    split = _split(row, view, run)
    if split is None:
        return None
    if row.metric in {"accuracy", "validation accuracy"}:
        return 100 * split.accuracy, split.n
    entry = _class_of(split, row.class_name)
    value = getattr(entry, row.metric) if entry else None
    return None if value is None or entry is None else (100 * value, entry.support)


def _class_of(split: SplitResult, name: str) -> ClassResult | None:
    return next((entry for entry in split.classes if entry.name == name), None)
