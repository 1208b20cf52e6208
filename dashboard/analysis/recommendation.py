"""Choose the best run, and the network that is recommended for prediction."""

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from dashboard.analysis.run_properties import honest_result, result_of
from fercore.runs.reader import Run
from fercore.runs.schema import (
    SplitResult,
)

# Of a 95% interval.
_NORMAL_QUANTILE = 1.96


class Best(NamedTuple):
    """The run that was chosen on the validation split.

    Attributes:
        run: the run.
        test: its figure without the test images that also stand in training.
        validation: the figure that it was chosen by.
    """

    run: Run
    test: SplitResult
    validation: SplitResult


def best(runs: Sequence[Run]) -> Best | None:
    """Return the run with the highest validation accuracy, and its figures.

    The test split chooses nothing: the maximum of several test accuracies would be too high. The
    runs that are compared share one dataset and one division of it, see `_comparable`. Of equally
    accurate ones that with the lower cross-entropy is taken, then the newest.
    """
    validated = [
        Best(run, test, validation)
        for run, test in _comparable(runs)
        if (validation := result_of(run, "validation"))
    ]

    def rank(own: Best) -> tuple[float, float]:
        nll = own.validation.nll
        return own.validation.accuracy, -math.inf if nll is None else -nll

    return max(validated, key=rank, default=None)


def recommended_run(runs: Sequence[Run]) -> Run | None:
    """The run to use: the smallest network as good as the best, by what checkpoints are chosen on.

    As good is what lies within one standard error of the best of the runs that `best` compares
    (the rule by which trees are pruned: Breiman et al., Classification and Regression Trees,
    1984, section 3.4.3). Of equally small ones, the best.
    """
    compared = [run for run, _ in _comparable(runs)]
    judged = [(run, result) for run in compared if (result := result_of(run, "validation"))]
    if not judged:
        return next(iter(compared), None)
    top = max((result for _, result in judged), key=lambda result: result.accuracy)
    error = math.sqrt(top.accuracy * (1 - top.accuracy) / top.n)
    if top.groups is not None:
        error = (top.accuracy_high - top.accuracy_low) / (2 * _NORMAL_QUANTILE)
    enough = top.accuracy - error

    def size(run: Run) -> float:
        known = run.results.parameters if run.results else None
        return math.inf if known is None else known

    near = [(run, result) for run, result in judged if result.accuracy >= enough]
    return min(near, key=lambda entry: (size(entry[0]), -entry[1].accuracy))[0]


def _comparable(runs: Sequence[Run]) -> list[tuple[Run, SplitResult]]:
    """Runs with an honest figure, on one version of one dataset, divided in one way.

    Figures on different images are not to be ranked. The division that most experiments have
    counts; of two that as many have, the one that comes first in the list.
    """
    judged: dict[str, list[tuple[Run, SplitResult]]] = {}
    experiments: dict[str, set[str]] = {}
    for run in runs:
        result = honest_result(run)
        if result and run.config:
            division = run.config.protocol.model_dump(mode="json", exclude={"leave_out", "exclude"})
            images = json.dumps([run.original_dataset, division])
            judged.setdefault(images, []).append((run, result))
            experiments.setdefault(images, set()).add(run.config.name)
    main = max(judged, key=lambda images: len(experiments[images]), default="")
    return judged.get(main, [])
