"""Compare published figures with the runs that reproduce them.

`papers.toml` lists the figures, the experiment that stands for each under the paper's protocol, the
one under an honest protocol, and what was found about each system. What a figure is compared with
is always computed from finished runs of exactly those experiments.
"""

import math
import statistics
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
    "reached": "reached",
    "within": "within the interval",
    "short": "short",
    "noted": "noted",
    "missing": "not trained yet",
}


@dataclass(frozen=True)
class Reproduction:
    """A figure of our own, over the runs of one experiment. All values in percent.

    Attributes:
        runs: the runs it is computed from.
        mean: over the runs.
        first: over the runs of the first seed alone, as a paper that trained once has it.
        spread: standard deviation over the runs; `None` for a single one.
        low: lower end of the 95% interval of the mean, for other samples, not for other seeds:
            Wilson's; where the samples come in groups, that of `metrics.clustered_interval` over
            the groups of all runs. Where the groups of folds are not stored, Student's over them.
        high: upper end. Both are `None` where the figure is no share of samples, and for copies
            whose groups are not stored.
        n: samples tested, all folds together, repeated seeds not counted again.
        grouping: the groups in words; a caution where they are not stored; empty where there are
            none.
        seeds: how many.
        folds: tested of each seed; 1 where the protocol has none.
        parameters: of the network.
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
    """A row, and what our runs give.

    Attributes:
        row: the published figure.
        paper: ours under the paper's protocol; `None` until it is trained.
        leak_free: ours under the leak-free one; `None` until it is trained, or where there is none.
    """

    row: Row
    paper: Reproduction | None
    leak_free: Reproduction | None

    @property
    def difference(self) -> float | None:
        """Ours less the paper's, in points, under the paper's protocol."""
        if self.paper is None or self.row.figure is None:
            return None
        return self.paper.mean - self.row.figure

    @property
    def difference_interval(self) -> tuple[float, float] | None:
        """The 95% interval of the difference, in points, with the sampling errors of both figures.

        `None` where the paper's test set is ours, or of unknown size: then only ours has one.
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
        """How ours compares, under the paper's protocol.

        `"within"` falls short of the paper by less than the reach of the interval, that of the
        difference where there is one, else that of ours. A training accuracy,
        of which more is not better, a zero, which nobody can miss, and what has no published figure
        are `"noted"`.
        """
        if self.paper is None:
            return "missing"
        if self.row.metric == "train accuracy" or not self.row.figure:
            return "noted"
        if self._reaches(self.paper.mean):
            return "reached"
        both = self.difference_interval
        if both is not None:
            return "within" if both[1] >= 0 else "short"
        high = self.paper.high
        return "within" if high is not None and high >= self.row.figure else "short"

    @property
    def first_reaches(self) -> bool:
        """Whether the first seed alone reaches the figure, under the paper's protocol."""
        return self.paper is not None and self._reaches(self.paper.first)

    def _reaches(self, value: float) -> bool:
        printed = self.row.figure
        return printed is not None and round(value, self.row.digits) >= printed


def difference_to_paper(
    ours: tuple[float, float, float], n: int, printed: float, paper_n: int
) -> tuple[float, float]:
    """Newcombe's interval of our share less the printed one, of two different test sets.

    Where our samples come in groups, those of the paper are taken to be as dependent: as many of
    them as of ours count as one independent sample.

    Args:
        ours: our share and the ends of its interval.
        n: samples that it is a share of.
        printed: the paper's share.
        paper_n: samples that it is a share of.
    """
    size = paper_n * min(1.0, metrics.effective_size(*ours) / n)
    theirs = metrics.wilson_interval(printed, size) if size else (0.0, 1.0)
    return metrics.difference_interval(ours, (printed, *theirs))


def compare(runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Set every published figure beside those of the finished runs."""
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


def untrained(comparisons: Sequence[Comparison]) -> dict[str, float]:
    """The experiments that some of the rows still lack, with the minutes that all folds take."""
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
    """The finished runs of a committed experiment as it stands, the newest of each seed and fold.

    A run whose recipe was changed on the command line is not one of them.
    """
    found = completed_runs(load_config(experiment), runs)
    return tuple(newest_of_each_seed([run for _, run in found]).values())


def reproduce_row(row: Row, view: str, runs: Sequence[Run]) -> Reproduction | None:
    """The figure of a row over the runs of one experiment; `None` without all folds of a seed."""
    if not runs or runs[0].config is None:
        return None
    needed = len(folds(runs[0].config.name))
    by_seed: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        assert run.config is not None
        key = (run.config.seed, run.config.protocol.split_seed)
        by_seed.setdefault(key, []).append(run)
    whole = [seeds for seeds in by_seed.values() if len(seeds) == needed]
    used = [run for seeds in whole for run in seeds]
    values = [value for run in used if (value := _value(row, view, run)) is not None]
    # A fold may hold no sample of a class; the others speak for it.
    if not values:
        return None
    mean = statistics.fmean(value for value, _ in values)
    of_first = [found[0] for run in whole[0] if (found := _value(row, view, run))]
    n = sum(n for _, n in values) // len(whole)
    low, high, groups = None, None, ""
    # Copies of one face are not independent.
    protocol = used[0].config.protocol if used[0].config else None
    copied = protocol is not None and protocol.copies == "before_split"
    if row.metric in {"accuracy", "recall", "validation accuracy"} and n:
        by_group = _over_groups(row, view, tuple(used), n)
        if by_group:
            low, high, groups = by_group
        elif needed > 1:
            if len(values) >= 2 * len(whole):
                low, high = _between_folds([value for value, _ in values], len(whole))
        elif not copied:
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
        seeds=len(whole),
        folds=needed,
        parameters=(results.parameters or 0) if results else 0,
    )


def _between_folds(values: Sequence[float], seeds: int) -> tuple[float, float]:
    """Student's 95% interval of a mean of folds; repeated seeds do not make it narrower."""
    from scipy.special import stdtrit

    independent = len(values) // seeds
    error = statistics.stdev(values) / math.sqrt(independent)
    reach = float(stdtrit(independent - 1, 0.975)) * error
    mean = statistics.fmean(values)
    return max(mean - reach, 0.0), min(mean + reach, 100.0)


@lru_cache(maxsize=1024)
def _over_groups(
    row: Row, view: str, runs: tuple[Run, ...], n: int
) -> tuple[float, float, str] | None:
    """Ends of the interval over the groups of all runs, in percent, and the groups in words.

    `None` where a run does not store which samples the figure is a share of, or their groups.
    """
    right, groups, weights, kinds = [], [], [], []
    for run in runs:
        value = _value(row, view, run)
        if value is None:
            continue  # a fold without a sample of the class
        found = _predicted(run, "validation" if row.metric == "validation accuracy" else "test")
        split = _split(row, view, run)
        if found is None or split is None or found.groups is None:
            return None
        keep = np.isin(found.labels, np.flatnonzero(np.asarray(split.confusion).any(axis=1)))
        if view == "test_unique" and found.unique is not None:
            keep &= found.unique
        if keep.sum() != split.n:
            return None  # which samples repeat is not stored
        if row.metric == "recall":
            keep &= found.labels == [entry.name for entry in split.classes].index(row.class_name)
        right.append((found.predicted == found.labels)[keep])
        groups.append(found.groups[keep])
        # The mean is over the runs, whatever their size.
        weights.append(np.full(keep.sum(), 1 / keep.sum()))
        kinds.append(found.group_kind)
    if not right or len({*kinds}) > 1:
        return None
    names = np.concatenate(groups)
    low, high = metrics.clustered_interval(
        np.concatenate(right), names, np.concatenate(weights), max_size=n
    )
    return 100 * low, 100 * high, grouping(len(np.unique(names)), kinds[0])


@dataclass(frozen=True, eq=False)
class _Predicted:
    """True and predicted classes of one split, and the groups of its samples."""

    labels: NDArray[np.uint8]
    predicted: NDArray[np.intp]
    groups: NDArray[np.str_] | None
    group_kind: str
    unique: NDArray[np.bool_] | None


@lru_cache(maxsize=128)
def _predicted(run: Run, role: str) -> _Predicted | None:
    found = run.predictions(role)
    if found is None:
        return None
    predicted = found.probabilities.argmax(axis=1)
    return _Predicted(found.labels, predicted, found.groups, found.group_kind, found.unique)


def _split(row: Row, view: str, run: Run) -> SplitResult | None:
    splits = run.results.splits if run.results else {}
    if row.metric == "validation accuracy":
        view = "validation"
    if view == "test_all" and view not in splits:
        view = "test"
    return splits.get(view)


def _value(row: Row, view: str, run: Run) -> tuple[float, int] | None:
    """Percent, and the samples it is a share of."""
    results = run.results
    if results is None:
        return None
    if row.metric == "train accuracy":
        log = {entry.epoch: entry for entry in run.log()}
        chosen = log.get(results.selection.epoch) if results.selection else None
        return (100 * chosen.accuracy, 0) if chosen else None
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
