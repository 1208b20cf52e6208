"""Array type aliases and input validation.

Each check raises `ValueError` with what was received and what was expected.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer[Any]]
Probabilities = NDArray[np.floating[Any]]
Counts = NDArray[np.int64]
Vector = NDArray[np.float64]

# Seven probabilities rounded to half precision or bfloat16 sum to one within 0.4%.
SUM_TOLERANCE = 1e-2


def class_indices(values: Labels, num_classes: int | None, name: str) -> Counts:
    """Return `values` as int64; refuse anything but `(n,)` integers in [0, num_classes), n >= 1."""
    array = np.asarray(values)
    if array.ndim != 1 or not len(array) or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"received {name} of shape {array.shape} and dtype {array.dtype}, expected "
            "(n,) integers, n >= 1"
        )
    if array.min() < 0 or (num_classes is not None and array.max() >= num_classes):
        limit = "0 and above" if num_classes is None else f"0 to {num_classes - 1}"
        raise ValueError(f"received {name} from {array.min()} to {array.max()}, expected {limit}")
    return array.astype(np.int64)


def require_same_length(a: NDArray[Any], b: NDArray[Any], name_a: str, name_b: str) -> None:
    """Refuse two arrays of different length."""
    if len(a) != len(b):
        raise ValueError(f"received {len(a)} {name_a} and {len(b)} {name_b}, expected as many")


def counts_of(confusion: Counts) -> Counts:
    """Return a confusion matrix as int64; refuse anything but `(k, k)` counts with a sample."""
    counts = np.asarray(confusion)
    square = counts.ndim == 2 and counts.shape[0] == counts.shape[1]
    if not square or not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(
            f"received a confusion matrix of shape {counts.shape} and dtype {counts.dtype}, "
            "expected (k, k) integers"
        )
    if not counts.size or counts.min() < 0 or not counts.any():
        raise ValueError("received a confusion matrix with no sample or a negative count")
    return counts.astype(np.int64)


def probabilities_and_labels(probabilities: Probabilities, labels: Labels) -> tuple[Vector, Counts]:
    """Return `(n, k)` float64 rows and `(n,)` int64 labels; refuse rows that do not sum to 1."""
    p = np.asarray(probabilities)
    if p.ndim != 2 or p.shape[1] < 2 or not np.issubdtype(p.dtype, np.floating):
        raise ValueError(
            f"received probabilities of shape {p.shape} and dtype {p.dtype}, expected (n, k) "
            "floats, k >= 2"
        )
    true = class_indices(labels, p.shape[1], "labels")
    require_same_length(p, true, "rows of probabilities", "labels")
    rows: Vector = p.astype(np.float64)
    sums = rows.sum(axis=1)
    # Written so that NaN fails as well.
    if not (rows.min() >= 0 and np.abs(sums - 1).max() <= SUM_TOLERANCE):
        raise ValueError(
            f"received probabilities from {rows.min():.4g} to {rows.max():.4g} with row sums from "
            f"{sums.min():.4g} to {sums.max():.4g}, expected rows of values in [0, 1] that sum to "
            "1; apply a softmax to logits first"
        )
    return rows, true
