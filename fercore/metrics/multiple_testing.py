"""Correct p-values for several tests of one family."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method, in the order given.

    Rejecting where an adjusted value lies below 0.05 keeps the chance of one false rejection or
    more among all tests below 0.05, whatever their dependence.

    Args:
        p_values: of the tests, each in [0, 1].

    Raises:
        ValueError: if a value lies outside [0, 1].

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6 (1979).
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"received p-values {list(p_values)}, expected values from 0 to 1")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted
