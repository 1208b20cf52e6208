"""Rank experiments that were evaluated on the same images, and recommend one of them."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from dashboard.analysis import run_properties
from fercore import metrics
from fercore.config.run import CombinedConfig
from fercore.evaluation.paired_runs import (
    ALPHA,
    SamplePredictions,
    join_samples,
    pair_samples,
)
from fercore.runs.reader import Run
from fercore.runs.schema import ClassResult, SplitResult, grouping

Kind = Literal["paper", "own", "ensemble", "imported", "ablation"]

KINDS: dict[Kind, str] = {
    "paper": "Published systems",
    "own": "Our models",
    "ensemble": "Ensembles and TTA",
    "imported": "Imported",
    "ablation": "Ablations",
}
RECOMMENDED_HELP = (
    "The smallest model whose accuracy on the validation split is within one standard error of "
    "the best one. One forward pass per face: no ensembles, no test-time augmentation. The test "
    "split does not influence the choice."
)
BEST_HELP = (
    "The highest accuracy on the validation split, ensembles and test-time augmentation included. "
    "The test split does not influence the choice."
)
# Returns the predictions of a run on a split.
Load = Callable[[Run, str], SamplePredictions | None]
# Half the width of a 95% interval, in standard errors.
_NORMAL_QUANTILE = 1.96


@dataclass(frozen=True, eq=False)
class Entry:
    """One experiment: the newest completed run of each seed and fold.

    Attributes:
        runs: of the experiment, in order of seed and fold.
        split: of `Results.splits`, on which the board ranks.
        kind: what sort of experiment it is.
        macs: multiply-accumulate operations of one prediction; `None` where not known.
    """

    runs: tuple[Run, ...]
    split: str
    kind: Kind
    macs: int | None

    @cached_property
    def results(self) -> tuple[SplitResult, ...]:
        """The evaluations that are averaged."""
        results = (run_properties.result_of(run, self.split) for run in self.runs)
        return tuple(result for result in results if result)

    @cached_property
    def run(self) -> Run:
        """The run that stands for the experiment: the best one on the validation split."""

        def rank(run: Run) -> float:
            result = run_properties.result_of(run, "validation")
            return result.accuracy if result else -1.0

        return max(self.runs, key=rank)

    @property
    def title(self) -> str:
        """The title of the experiment."""
        return run_properties.title(self.run)

    @property
    def accuracy(self) -> float:
        """Mean over the runs, from 0 to 1."""
        return statistics.fmean(result.accuracy for result in self.results)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the runs; `None` for a single one."""
        values = [result.accuracy for result in self.results]
        return statistics.stdev(values) if len(values) > 1 else None

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the mean accuracy, for other images, not for other seeds."""
        return _interval(self)

    @property
    def n(self) -> int:
        """Tested images, all folds together; further seeds are not counted again."""
        return sum(result.n for result in self.results) // self.seeds

    @property
    def seeds(self) -> int:
        """How many seeds were trained."""
        return len({run.config.seed for run in self.runs if run.config})

    @property
    def repeats(self) -> str:
        """The runs that are averaged, in words: `3 seeds`, `10 folds`, `3 seeds of 5 folds`."""
        folds = len(self.runs) // self.seeds
        seeds = f"{self.seeds} seed{'s' if self.seeds > 1 else ''}"
        if folds == 1:
            return seeds
        return f"{folds} folds" if self.seeds == 1 else f"{seeds} of {folds} folds"

    @property
    def validation(self) -> float | None:
        """Mean accuracy on the validation split, by which experiments are ranked."""
        return _mean(self.runs, lambda run: _of(run_properties.result_of(run, "validation")))

    @property
    def macro_f1(self) -> float:
        """Mean over the runs, from 0 to 1."""
        return statistics.fmean(result.macro_f1 for result in self.results)

    @property
    def uar(self) -> float:
        """Mean unweighted average recall over the runs, from 0 to 1."""
        return statistics.fmean(result.uar for result in self.results)

    @property
    def worst_class(self) -> ClassResult | None:
        """The class with the lowest recall of the run that stands for the experiment."""
        return run_properties.worst_class(run_properties.result_of(self.run, self.split))

    @property
    def parameters(self) -> int | None:
        """Parameters of the network."""
        return self.run.results.parameters if self.run.results else None

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds for one face, by the latest measurement of any of the runs."""
        measured = [run for run in self.runs if run.latency]
        return run_properties.latency(measured[-1]).face_ms if measured else None

    @property
    def published(self) -> float | None:
        """The accuracy that the paper prints, from 0 to 1, under the paper's own protocol."""
        figure = self.run.config.published if self.run.config else None
        return figure.test_accuracy / 100 if figure else None

    @property
    def is_single_network(self) -> bool:
        """Whether one forward pass of one network gives the prediction."""
        return not isinstance(self.run.config, CombinedConfig)


@dataclass(frozen=True)
class Difference:
    """An experiment's accuracy less that of another one.

    Attributes:
        accuracy: as a fraction, of the means over seeds.
        p: of McNemar's exact test, or of its kind for groups, corrected by Holm's method.
    """

    accuracy: float
    p: float

    @property
    def is_significant(self) -> bool:
        """Whether the test tells the two apart."""
        return self.p < ALPHA


@dataclass(frozen=True)
class Board:
    """Experiments on one version of a dataset, under one protocol and on the same classes.

    Attributes:
        key: what they share, as text.
        title: the protocol in words.
        split: on which they are ranked.
        entries: the most accurate on the validation split first.
    """

    key: str
    title: str
    split: str
    entries: tuple[Entry, ...]

    @cached_property
    def best(self) -> Entry | None:
        """The experiment with the highest validation accuracy."""
        return _best(self.entries)

    @cached_property
    def recommended(self) -> Entry | None:
        """The smallest single network within one standard error of the best single network.

        Accuracies are those on the validation split, and so is the error: the rule by which trees
        are pruned (Breiman et al., Classification and Regression Trees, 1984, section 3.4.3).
        """
        single = [entry for entry in self.entries if entry.is_single_network]
        top = _best(single)
        if top is None:
            return single[0] if single else None
        enough = _of(_validation(top)) - _standard_error(_validation(top))
        near = [entry for entry in single if (entry.validation or 0.0) >= enough]
        near = near or [top]
        return min(near, key=lambda entry: (entry.parameters or math.inf, -(entry.validation or 0)))

    def best_under(self, parameters: int) -> Entry | None:
        """Return the most accurate experiment with fewer parameters, selected on validation."""
        small = [entry for entry in self.entries if (entry.parameters or math.inf) < parameters]
        return _best(small)


def differences(
    baseline: Entry, entries: Sequence[Entry], load: Load
) -> dict[str, Difference | None]:
    """Compare experiments with one of them, by the predictions of the runs that stand for them.

    Args:
        baseline: one experiment.
        entries: others, of the same board.
        load: returns the predictions of a run on the split of the board.

    Returns:
        By run id; `None` for an experiment that shares no image with the baseline.
    """
    own = _samples(baseline, load)
    p_values: dict[str, float] = {}
    for entry in entries:
        samples = _samples(entry, load) if entry is not baseline else None
        pair = pair_samples(own, samples) if own and samples else None
        if pair is not None:
            p_values[entry.run.id] = pair.test().p
    corrected = dict(zip(p_values, metrics.holm(list(p_values.values())), strict=True))
    return {
        entry.run.id: Difference(entry.accuracy - baseline.accuracy, corrected[entry.run.id])
        if entry.run.id in corrected
        else None
        for entry in entries
        if entry is not baseline
    }


def describe_lead(
    best: Entry, entries: Sequence[Entry], differences: Mapping[str, Difference | None]
) -> str:
    """Return in words whether the lead of the best experiment over the others is significant.

    Args:
        best: one experiment.
        entries: of its board.
        differences: of the others to the best one, by run id.

    Returns:
        A sentence; empty where there is no other experiment.
    """
    others = [entry for entry in entries if entry is not best]
    compared = {entry.run.id: differences.get(entry.run.id) for entry in others}
    ties = [
        entry for entry in others if not (diff := compared[entry.run.id]) or not diff.is_significant
    ]
    if not others:
        return ""
    if not ties:
        return f"Significantly better than all {len(others)} others."
    if len(ties) == 1:
        return f"Not significantly better than {ties[0].title}."
    return f"Not significantly better than {len(ties)} of {len(others)} others."


def _samples(entry: Entry, load: Load) -> SamplePredictions | None:
    """Return the predictions of the representative run, or of all folds of one seed together."""
    seed = entry.run.config.seed if entry.run.config else None
    by_folds = entry.run.config is not None and entry.run.config.protocol.by_folds
    runs = [run for run in entry.runs if run.config and run.config.seed == seed]
    loaded = [load(run, entry.split) for run in (runs if by_folds else [entry.run])]
    samples = [part for part in loaded if part is not None]
    return join_samples(samples) if len(samples) == len(loaded) else None


def _interval(entry: Entry) -> tuple[float, float]:
    if len(entry.results) == 1:
        return entry.results[0].accuracy_low, entry.results[0].accuracy_high
    correct, groups = [], []
    for run in entry.runs:
        predictions = run.predictions("test")
        if predictions is None or predictions.groups is None:
            break
        keep = np.ones(len(predictions.labels), bool)
        if entry.split == "test_unique" and predictions.unique is not None:
            keep = predictions.unique
        right = predictions.probabilities.argmax(axis=1) == predictions.labels
        correct.append(right[keep])
        groups.append(predictions.groups[keep])
    else:
        return metrics.clustered_mean_interval(correct, groups, entry.n)
    return metrics.accuracy_interval(round(entry.accuracy * entry.n), entry.n)


def groups_of(entry: Entry) -> str:
    """Return the groups of dependent images in words, all folds together; empty without any."""
    kinds = {result.group_kind for result in entry.results if result.groups}
    if not kinds:
        return ""
    total = sum(result.groups or 0 for result in entry.results) // entry.seeds
    return grouping(total, kinds.pop() or "")


def _best(entries: Sequence[Entry]) -> Entry | None:
    validated = [entry for entry in entries if entry.validation is not None]
    return max(validated, key=lambda entry: entry.validation or 0.0, default=None)


def _validation(entry: Entry) -> SplitResult | None:
    return run_properties.result_of(entry.run, "validation")


def _standard_error(result: SplitResult | None) -> float:
    if result is None:
        return 0.0
    if result.groups is not None:
        return (result.accuracy_high - result.accuracy_low) / (2 * _NORMAL_QUANTILE)
    return math.sqrt(result.accuracy * (1 - result.accuracy) / result.n)


def _of(result: SplitResult | None) -> float:
    return result.accuracy if result else 0.0


def _mean(runs: Sequence[Run], value: Callable[[Run], float]) -> float | None:
    if any(run_properties.result_of(run, "validation") is None for run in runs):
        return None
    return statistics.fmean(value(run) for run in runs)
