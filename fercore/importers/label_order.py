"""Check the order of a classifier's labels against the true labels of some images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fercore.data.labels import FER2013, match_class

# By how much another order must be better before it is worth a warning.
_MARGIN = 0.05
# Standard deviations above chance that are no accident.
_DEVIATIONS = 5


def best_assignment(
    predicted: NDArray[np.integer], truth: NDArray[np.integer], outputs: int, classes: int
) -> tuple[float, list[int]]:
    """Assign outputs to classes so that the accuracy is highest (Hungarian algorithm).

    Args:
        predicted: `(n,)`, the output with the highest score.
        truth: `(n,)`, the true class.
        outputs: of the classifier.
        classes: of the dataset.

    Returns:
        The accuracy, and the class of each output; -1 for one without a class.
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
    """Return a warning if the outputs seem to be named in another order than they have.

    Args:
        predicted: `(n,)`, the output with the highest score.
        truth: `(n,)`, positions in `class_names`.
        names: of the outputs, as given.
        class_names: of the dataset.
        where: the images, in words.
    """
    given = _accuracy(predicted, truth, names, class_names)
    best, assigned = best_assignment(predicted, truth, len(names), len(class_names))
    if best - given <= _MARGIN:
        return None
    order = [class_names[place] if place >= 0 else names[i] for i, place in enumerate(assigned)]
    text = (
        f"warning: the labels may be in another order than the outputs: {100 * given:.2f} % of "
        f"{where} as given, {100 * best:.2f} % in the best order ({','.join(order)})"
    )
    for title, usual in (("alphabetical", sorted(names)), ("FER2013's", _fer2013_order(names))):
        if usual and list(usual) != list(names):
            accuracy = _accuracy(predicted, truth, usual, class_names)
            text += f", {100 * accuracy:.2f} % in {title} order"
    return text


def are_inverted(
    scores: NDArray[np.floating], truth: NDArray[np.integer], classes: NDArray[np.integer]
) -> bool:
    """Return whether the lowest score tells the class, as it does of distances and losses.

    Args:
        scores: `(n, k)` of a classifier.
        truth: `(n,)`, the true class.
        classes: `(k,)`, the class of each column.
    """
    if scores.shape[1] < 3:
        return False  # of two classes, that is the same as exchanged names
    lowest = float((classes[scores.argmin(axis=1)] == truth).mean())
    chance = 1 / scores.shape[1]
    best, _ = best_assignment(
        scores.argmax(axis=1), truth, scores.shape[1], int(max(truth.max(), classes.max())) + 1
    )
    deviation = float(np.sqrt(chance * (1 - chance) / len(truth)))
    return bool(lowest > max(best + _MARGIN, chance + _DEVIATIONS * deviation))


def _fer2013_order(names: Sequence[str]) -> list[str]:
    own = {match_class(name, FER2013): name for name in names}
    return [own[name] for name in FER2013] if set(own) == set(FER2013) else []


def _accuracy(
    predicted: NDArray[np.integer],
    truth: NDArray[np.integer],
    names: Sequence[str],
    class_names: Sequence[str],
) -> float:
    matched = [match_class(name, class_names) for name in names]
    places = np.array([class_names.index(name) if name else -1 for name in matched])
    return float((places[predicted] == truth).mean())
