"""The leaderboard of the Overview page as a table, and the worst confusions of a network."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dashboard import formats
from dashboard.analysis.leaderboard import Difference, Entry
from fercore.runs.schema import SplitResult

RECOMMENDED = "★ recommended"
NOT_DISTINGUISHABLE = "not distinguishable"


def leaderboard_table(
    entries: Sequence[Entry],
    recommended: Entry | None,
    differences: Mapping[str, Difference | None],
) -> pd.DataFrame:
    """Return one row for each experiment, in the order given; shares in percent.

    Args:
        entries: of one board.
        recommended: of that board, which the others are compared with.
        differences: of each entry to the recommended one, by run id.
    """
    return pd.DataFrame(
        [_row(entry, recommended, differences.get(entry.run.id)) for entry in entries],
        index=[entry.run.id for entry in entries],
    )


def _row(entry: Entry, recommended: Entry | None, difference: Difference | None) -> dict[str, Any]:
    low, high = entry.interval
    worst = entry.worst_class
    return {
        "Model": entry.title,
        "Accuracy": 100 * entry.accuracy,
        "95% CI": formats.interval(low, high, 1),
        "Spread": None if entry.spread is None else 100 * entry.spread,
        "To recommended": RECOMMENDED if entry is recommended else _difference_text(difference),
        "Validation": None if entry.validation is None else 100 * entry.validation,
        "Macro-F1": 100 * entry.macro_f1,
        "Parameters": entry.parameters,
        "MACs": entry.macs,
        "Latency": entry.latency_ms,
        "Worst class": f"{worst.name} {worst.recall:.0%}"
        if worst and worst.recall is not None
        else None,
        "Published": None if entry.published is None else 100 * entry.published,
        "Seeds": entry.seeds,
    }


def _difference_text(difference: Difference | None) -> str | None:
    if difference is None:
        return None
    if not difference.is_significant:
        return NOT_DISTINGUISHABLE
    verdict = "better" if difference.accuracy > 0 else "worse"
    return f"{verdict} ({formats.points(difference.accuracy, 1).removesuffix('points').strip()})"


def confusions(result: SplitResult, count: int) -> list[tuple[str, str, int, float]]:
    """Return the most frequent errors by share of their true class.

    Args:
        result: with its confusion matrix.
        count: how many, at most.

    Returns:
        True class, predicted class, number of images, and their share of the true class.
    """
    errors = []
    for row, entry in zip(result.confusion, result.classes, strict=True):
        for number, other in zip(row, result.classes, strict=True):
            if other is not entry and number:
                errors.append((entry.name, other.name, number, number / sum(row)))
    # One line for each true class: the three worst classes say more than the worst one thrice.
    worst: dict[str, tuple[str, str, int, float]] = {}
    for error in sorted(errors, key=lambda error: error[3], reverse=True):
        worst.setdefault(error[0], error)
    return list(worst.values())[:count]
