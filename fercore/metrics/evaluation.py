"""Every figure of a results file at once."""

from dataclasses import dataclass

import numpy as np

from fercore.metrics.checks import Counts, Labels, Probabilities, probabilities_and_labels
from fercore.metrics.counts import (
    PerClass,
    accuracy_interval,
    confusion_matrix,
    macro_f1,
    per_class,
    uar,
)
from fercore.metrics.probabilistic import (
    expected_calibration_error,
    negative_log_likelihood,
    top_k_accuracy,
)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that a results file stores about one network on one split.

    Attributes:
        n: samples.
        accuracy: share of samples that are right, in [0, 1].
        accuracy_low: lower end of the 95% Wilson interval of `accuracy`.
        accuracy_high: upper end of it.
        macro_f1: mean F1 over the classes with samples.
        uar: unweighted average recall over the classes with samples.
        nll: mean negative log-likelihood, in nats.
        ece: expected calibration error over `ECE_BINS` bins, in [0, 1].
        top2: share of samples whose class is among the two most probable.
        per_class: precision, recall, F1 and support of each class.
        confusion: `(k, k)` int64, rows true, columns predicted.
    """

    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    uar: float
    nll: float
    ece: float
    top2: float
    per_class: PerClass
    confusion: Counts


def summarise(probabilities: Probabilities, labels: Labels) -> Evaluation:
    """Every figure of a results file at once.

    Args:
        probabilities: `(n, k)`, `k` at least 2, as in `negative_log_likelihood`.
        labels: `(n,)` integers in [0, k).

    Raises:
        ValueError: as `negative_log_likelihood` does.
    """
    p, true = probabilities_and_labels(probabilities, labels)
    confusion = confusion_matrix(true, p.argmax(axis=1), p.shape[1])
    correct = int(np.trace(confusion))
    low, high = accuracy_interval(correct, len(true))
    return Evaluation(
        n=len(true),
        accuracy=correct / len(true),
        accuracy_low=low,
        accuracy_high=high,
        macro_f1=macro_f1(confusion),
        uar=uar(confusion),
        nll=negative_log_likelihood(p, true),
        ece=expected_calibration_error(p, true),
        top2=top_k_accuracy(p, true, k=2),
        per_class=per_class(confusion),
        confusion=confusion,
    )
