"""Compare runs with a baseline on the images that they share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fercore.errors import UserError
from fercore.evaluation.paired_runs import PairedComparison, compare_pair
from fercore.evaluation.shared_images import Evaluations, evaluate_together
from fercore.metrics import holm
from fercore.runs.api import read_run
from fercore.runs.reader import Run
from fercore.runs.schema import UNGROUPED
from fercore.runs.split_results import parse_split, result_of

NO_COMMON_IMAGES = "no images in common"


@dataclass(frozen=True)
class BaselineComparison:
    """One run against the baseline.

    Attributes:
        run: the other run.
        pair: the paired comparison; `None` if the two share no image.
        p: p-value, corrected by Holm's method for the number of runs; `None` without a pair.
        grouping: groups of dependent images in words, or that they are unknown; empty where each
            image is independent.
    """

    run: Run
    pair: PairedComparison | None
    p: float | None
    grouping: str

    @property
    def verdict(self) -> str:
        """Return "better", "worse", "not distinguishable" or "no images in common"."""
        if self.pair is None or self.p is None:
            return NO_COMMON_IMAGES
        return self.pair.verdict(self.p)


@dataclass(frozen=True)
class RunComparison:
    """Two runs on the images that they share.

    Attributes:
        first: id of the first run.
        second: id of the second run.
        images: description of the shared images, such as "3,589 images of PrivateTest".
        n: number of these images.
        groups: groups of dependent images, such as subjects; `None` where each is independent.
        grouping: the groups in words, or that they are unknown; empty where each is independent.
        first_accuracy: of the first run, a fraction.
        second_accuracy: of the second run.
        difference: accuracy of the second run less that of the first, in [-1, 1].
        low: lower end of the paired bootstrap 95% interval of the difference.
        high: upper end.
        p: two-sided p-value of McNemar's exact test; with groups, of the exact sign-flip test on
            their net differences.
        only_first: images that only the first run classifies correctly.
        only_second: images that only the second run does.
    """

    first: str
    second: str
    images: str
    n: int
    groups: int | None
    grouping: str
    first_accuracy: float
    second_accuracy: float
    difference: float
    low: float
    high: float
    p: float
    only_first: int
    only_second: int


def compare_runs(
    first: str | Path | Run,
    second: str | Path | Run,
    split: str = "test",
    *,
    runs_root: str | Path | None = None,
) -> RunComparison:
    """Compare the accuracy of two runs on the images that they share, by stored predictions.

    Classes that one of the runs leaves out are left out for both, except on `"test_all"`.

    Args:
        first: the baseline: a run's name, the path of its folder, or a run that was read.
        second: the run to compare with it.
        split: `"test"`, `"test_unique"` (without images that also occur in training), `"test_all"`
            (with the samples of dropped classes) or `"validation"`.
        runs_root: folder of the runs; `$FERCORE_RUNS` or `./runs` if absent.

    Returns:
        The accuracies, their difference with its 95% interval, and the p-value of the exact test.

    Raises:
        UserError: if there is no such run or split, a run has no predictions on it, or the runs
            share no image.

    Example:
        >>> comparison = fercore.compare_runs(
        ...     "le2019-deep-s0-20261121T052505", "le2019-shallow-s0-20261121T083245"
        ... )
        >>> comparison.n, comparison.images
        (3589, '3,589 images of PrivateTest')
        >>> comparison.second_accuracy > comparison.first_accuracy
        False
    """
    split = parse_split(split)
    runs = [read_run(run, runs_root) for run in (first, second)]
    require_predictions(runs, split)
    evaluations = evaluate_together(runs, split)
    (comparison,) = compare_with_baseline(evaluations, runs[1:], runs[0])
    pair = comparison.pair
    if pair is None:
        raise UserError(_no_common_images(evaluations))
    results = [evaluations.results[run.id] for run in runs]
    return RunComparison(
        first=runs[0].id,
        second=runs[1].id,
        images=evaluations.image_sets[0].text,
        n=pair.n,
        groups=pair.test.groups,
        grouping=comparison.grouping,
        first_accuracy=results[0].accuracy,
        second_accuracy=results[1].accuracy,
        difference=pair.accuracy.difference,
        low=pair.accuracy.low,
        high=pair.accuracy.high,
        p=pair.test.p,
        only_first=pair.test.only_a,
        only_second=pair.test.only_b,
    )


def compare_with_baseline(
    evaluations: Evaluations,
    runs: Sequence[Run],
    baseline: Run,
    compare: Callable[[str], PairedComparison | None] | None = None,
) -> list[BaselineComparison]:
    """Compare runs with a baseline; p-values are corrected for their number by Holm's method.

    Args:
        evaluations: of all of these runs.
        runs: the other runs; the baseline is passed over.
        baseline: the run to compare with.
        compare: returns the paired comparison of the baseline with a run, by its id; computed from
            the evaluations if absent.
    """
    others = [run for run in runs if run.id != baseline.id]
    if compare is None:
        pairs = {run.id: _compare(evaluations, baseline.id, run.id) for run in others}
    else:
        pairs = {run.id: compare(run.id) for run in others}
    tested = {run_id: pair.test.p for run_id, pair in pairs.items() if pair}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    comparisons = []
    for run in others:
        pair = pairs[run.id]
        unknown = UNGROUPED if run.groups_unknown or baseline.groups_unknown else ""
        grouping = (pair.grouping or unknown) if pair else ""
        comparisons.append(BaselineComparison(run, pair, corrected.get(run.id), grouping))
    return comparisons


def explain_tests(tests: int) -> str:
    """Return how the differences, intervals and p-values are computed, as text without a period.

    Args:
        tests: number of tests against one baseline.
    """
    text = (
        "Differences in percentage points, with 95 % intervals from 10,000 paired bootstrap "
        "resamples. p is from McNemar's exact two-sided test. Where images are grouped, for "
        "example by subject, whole groups are resampled, and p is from an exact sign-flip test of "
        "their net differences"
    )
    if tests > 1:
        text += (
            f", corrected for {tests} tests against one baseline by Holm's method. The intervals "
            "are not corrected"
        )
    return text


def require_predictions(runs: Sequence[Run], split: str) -> None:
    """Check that runs are two or more, different, and have figures and predictions on a split.

    Args:
        runs: to compare.
        split: as in `fercore.runs.schema.Results.splits`.

    Raises:
        UserError: if they cannot be compared; the message names the first run that is unsuitable.
    """
    if len(runs) < 2:
        raise UserError(f"received {len(runs)} run, expected two or more to compare")
    ids = [run.id for run in runs]
    for run in runs:
        if ids.count(run.id) > 1:
            raise UserError(f"received {run.id} more than once, expected different runs")
        if run.config is None:
            raise UserError(f"{run.id} cannot be read: {run.problem}")
        if run.results is None:
            raise UserError(
                f"{run.id} has no results, its state is {run.state}; expected finished runs"
            )
        if result_of(run, split) is None:
            raise UserError(
                f"{run.id} has no figures on {split}; it has: {', '.join(run.results.splits)}"
            )
        predictions = run.predictions("validation" if split == "validation" else "test")
        if predictions is None:
            raise UserError(
                f"{run.id} has no readable predictions; expected them in its predictions.npz"
            )
        if split == "test_unique" and predictions.unique is None:
            raise UserError(
                f"{run.id} does not store which test images also occur in training; add that by "
                f"`fercore runs migrate {run.id}`"
            )


def require_common_images(
    evaluations: Evaluations, comparisons: Sequence[BaselineComparison]
) -> None:
    """Check that at least one run shares images with the baseline.

    Raises:
        UserError: if none does.
    """
    if all(comparison.pair is None for comparison in comparisons):
        raise UserError(_no_common_images(evaluations))


def _compare(evaluations: Evaluations, baseline: str, other: str) -> PairedComparison | None:
    samples = evaluations.pair(baseline, other)
    return compare_pair(*samples) if samples else None


def _no_common_images(evaluations: Evaluations) -> str:
    sets = "; ".join(f"{', '.join(own.run_ids)}: {own.text}" for own in evaluations.image_sets)
    return (
        "the runs share no images with equal labels, so they cannot be compared; expected runs on "
        f"the same version of one dataset, received {sets}"
    )
