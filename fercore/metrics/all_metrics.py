"""Compute every figure of a results file."""

from dataclasses import dataclass

import numpy as np

from fercore.metrics.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
    top_k_accuracy,
)
from fercore.metrics.clustered import (
    Groups,
    clustered_interval,
    clustered_recall_interval,
    group_codes,
)
from fercore.metrics.counts import (
    PerClass,
    accuracy_interval,
    confusion_matrix,
    macro_f1,
    per_class,
    recall_interval,
    uar,
)
from fercore.metrics.validation import (
    Counts,
    Labels,
    Probabilities,
    Vector,
    probabilities_and_labels,
)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that a results file stores about one network on one split.

    Attributes:
        n: samples.
        accuracy: fraction of samples that are predicted correctly, in [0, 1].
        accuracy_low: lower end of the 95% interval of `accuracy`: Wilson's, or `clustered_interval`
            where the samples come in groups.
        accuracy_high: upper end of it.
        macro_f1: mean F1 over the classes with samples.
        uar: unweighted average recall over the classes with samples.
        nll: mean negative log-likelihood, in nats.
        ece: expected calibration error over `ECE_BINS` bins, in [0, 1].
        top2: share of samples whose class is among the two most probable.
        per_class: precision, recall, F1 and support of each class.
        recalls: `(k, 2)` float64, ends of the 95% interval of each class's recall, likewise.
        confusion: `(k, k)` int64, rows true, columns predicted.
        groups: number of groups of dependent samples; `None` where each is independent.
        class_groups: `(k,)` int64, number of groups with samples of each class; likewise `None`.
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
    recalls: Vector
    confusion: Counts
    groups: int | None = None
    class_groups: Counts | None = None


def summarise(
    probabilities: Probabilities, labels: Labels, groups: Groups | None = None
) -> Evaluation:
    """Compute every figure of a results file.

    Args:
        probabilities: `(n, k)`, `k` at least 2, as in `negative_log_likelihood`.
        labels: `(n,)` integers in [0, k).
        groups: `(n,)` names or numbers; samples of one group are not independent.

    Raises:
        ValueError: as `negative_log_likelihood` does.
    """
    p, true = probabilities_and_labels(probabilities, labels)
    predicted, k = p.argmax(axis=1), p.shape[1]
    confusion = confusion_matrix(true, predicted, k)
    correct = int(np.trace(confusion))
    count, class_groups = None, None
    if groups is None:
        low, high = accuracy_interval(correct, len(true))
        recalls = recall_interval(confusion)
    else:
        low, high = clustered_interval(predicted == true, groups)
        recalls = clustered_recall_interval(true, predicted, groups, k)
        codes = group_codes(groups)
        count = int(codes.max()) + 1
        class_groups = np.bincount(np.unique(codes * k + true) % k, minlength=k)
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
        recalls=recalls,
        confusion=confusion,
        groups=count,
        class_groups=class_groups,
    )
