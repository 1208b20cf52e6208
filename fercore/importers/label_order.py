"""Check the order of a classifier's labels against true labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fercore.data.labels import FER2013, match_class

# Difference in accuracy above which another order causes a warning.
_MIN_GAIN = 0.05
# Standard deviations above chance that count as significant.
_MIN_DEVIATIONS = 5


def best_assignment(
    predicted: NDArray[np.integer], truth: NDArray[np.integer], outputs: int, classes: int
) -> tuple[float, list[int]]:
    """Assign outputs to classes so that the accuracy is highest (Hungarian algorithm).

    Args:
        predicted: `(n,)`, the output with the highest score.
        truth: `(n,)`, the true class.
        outputs: number of outputs of the classifier.
        classes: number of classes of the dataset.

    Returns:
        The accuracy, and the class of each output; -1 for an output without a class.
    """
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((outputs, classes), np.int64)
    np.add.at(counts, (predicted, truth), 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    assigned = [-1] * outputs
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        assigned[row] = column
    return float(counts[rows, columns].sum() / len(truth)), assigned


def order_warning(
    predicted: NDArray[np.integer],
    truth: NDArray[np.integer],
    names: Sequence[str],
    class_names: Sequence[str],
    where: str,
) -> str | None:
    """Return a warning if another order of the names gives a much higher accuracy.

    Args:
        predicted: `(n,)`, the output with the highest score.
        truth: `(n,)`, positions in `class_names`.
        names: of the outputs, in the given order.
        class_names: of the dataset.
        where: the images, for the message.

    Returns:
        The warning; `None` if the given order is at most 5 points worse than the best one.
    """
    accuracy = _accuracy(predicted, truth, names, class_names)
    best, assigned = best_assignment(predicted, truth, len(names), len(class_names))
    if best - accuracy <= _MIN_GAIN:
        return None
    order = [class_names[label] if label >= 0 else names[i] for i, label in enumerate(assigned)]
    text = (
        "warning: the labels may be in another order than the outputs: the accuracy on "
        f"{where} is {100 * accuracy:.2f} % in the given order, {100 * best:.2f} % in the best "
        f"order ({','.join(order)})"
    )
    for title, other in (("alphabetical", sorted(names)), ("FER2013's", _fer2013_order(names))):
        if other and list(other) != list(names):
            accuracy = _accuracy(predicted, truth, other, class_names)
            text += f", {100 * accuracy:.2f} % in {title} order"
    return text


def are_inverted(
    scores: NDArray[np.floating], truth: NDArray[np.integer], classes: NDArray[np.integer]
) -> bool:
    """Return whether the lowest score predicts the class, as with distances and losses.

    Args:
        scores: `(n, k)` of a classifier.
        truth: `(n,)`, the true class.
        classes: `(k,)`, the class of each column.
    """
    if scores.shape[1] < 3:
        return False  # with two classes, inverted scores cannot be told from exchanged names
    lowest = float((classes[scores.argmin(axis=1)] == truth).mean())
    chance = 1 / scores.shape[1]
    best, _ = best_assignment(
        scores.argmax(axis=1), truth, scores.shape[1], int(max(truth.max(), classes.max())) + 1
    )
    deviation = float(np.sqrt(chance * (1 - chance) / len(truth)))
    return bool(lowest > max(best + _MIN_GAIN, chance + _MIN_DEVIATIONS * deviation))


def _fer2013_order(names: Sequence[str]) -> list[str]:
    """Return the names in the order of FER2013's classes; empty if they are other classes."""
    by_class = {match_class(name, FER2013): name for name in names}
    return [by_class[name] for name in FER2013] if set(by_class) == set(FER2013) else []


def _accuracy(
    predicted: NDArray[np.integer],
    truth: NDArray[np.integer],
    names: Sequence[str],
    class_names: Sequence[str],
) -> float:
    matched = [match_class(name, class_names) for name in names]
    labels = np.array([class_names.index(name) if name else -1 for name in matched])
    return float((labels[predicted] == truth).mean())
