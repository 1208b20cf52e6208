"""Choose the best run, and the network that is recommended for prediction."""

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from dashboard.analysis.run_properties import honest_result, result_of
from fercore.runs.reader import Run
from fercore.runs.schema import SplitResult

# Of a 95% interval.
_NORMAL_QUANTILE = 1.96


class Best(NamedTuple):
    """The run that was selected on the validation split.

    Attributes:
        run: the run.
        test: its result without the test images that also occur in training.
        validation: the result that it was selected by.
    """

    run: Run
    test: SplitResult
    validation: SplitResult


def best(runs: Sequence[Run]) -> Best | None:
    """Return the run with the highest validation accuracy, and its results.

    The test split selects nothing: the maximum of several test accuracies is biased upwards. The
    compared runs share one dataset and one way of splitting it, see `_comparable`. Ties go to the
    lower cross-entropy, then to the newest run.
    """
    validated = [
        Best(run, test, validation)
        for run, test in _comparable(runs)
        if (validation := result_of(run, "validation"))
    ]

    def rank(candidate: Best) -> tuple[float, float]:
        nll = candidate.validation.nll
        return candidate.validation.accuracy, -math.inf if nll is None else -nll

    return max(validated, key=rank, default=None)


def recommended_run(runs: Sequence[Run]) -> Run | None:
    """Return the smallest network within one standard error of the best validation accuracy.

    The compared runs are those of `best`. Of equally small networks the most accurate is returned.

    Source: the one-standard-error rule, Breiman et al., Classification and Regression Trees, 1984,
    section 3.4.3.
    """
    compared = [run for run, _ in _comparable(runs)]
    evaluated = [(run, result) for run in compared if (result := result_of(run, "validation"))]
    if not evaluated:
        return next(iter(compared), None)
    top = max((result for _, result in evaluated), key=lambda result: result.accuracy)
    error = math.sqrt(top.accuracy * (1 - top.accuracy) / top.n)
    if top.groups is not None:
        error = (top.accuracy_high - top.accuracy_low) / (2 * _NORMAL_QUANTILE)
    threshold = top.accuracy - error

    def size(run: Run) -> float:
        parameters = run.results.parameters if run.results else None
        return math.inf if parameters is None else parameters

    candidates = [(run, result) for run, result in evaluated if result.accuracy >= threshold]
    return min(candidates, key=lambda entry: (size(entry[0]), -entry[1].accuracy))[0]


def _comparable(runs: Sequence[Run]) -> list[tuple[Run, SplitResult]]:
    """Return the runs with a leakage-free result on one version of one dataset, split in one way.

    Results on different images cannot be ranked. Of several datasets and ways of splitting them,
    the one with most experiments is used; of equally many, the first in the list.
    """
    by_images: dict[str, list[tuple[Run, SplitResult]]] = {}
    experiments: dict[str, set[str]] = {}
    for run in runs:
        result = honest_result(run)
        if result and run.config:
            division = run.config.protocol.model_dump(mode="json", exclude={"leave_out", "exclude"})
            images = json.dumps([run.original_dataset, division])
            by_images.setdefault(images, []).append((run, result))
            experiments.setdefault(images, set()).add(run.config.name)
    main = max(by_images, key=lambda images: len(experiments[images]), default="")
    return by_images.get(main, [])
