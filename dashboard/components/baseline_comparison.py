"""The table of paired comparisons with a baseline: no Streamlit."""

import pandas as pd

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts.theme import swatch
from dashboard.components.compared_runs import Compared
from dashboard.state import comparison_cache
from dashboard.tables.cells import without_empty_groups
from fercore.evaluation.paired_runs import PairedComparison
from fercore.metrics import holm
from fercore.runs.reader import Run
from fercore.runs.schema import UNGROUPED


def table(view: Compared, baseline: Run) -> pd.DataFrame:
    """Return one row for each run except the baseline, with p-values corrected by Holm's method."""
    pairs = {
        run.id: comparison_cache.compare_pair(view.runs, view.split, baseline.id, run.id)
        for run, _ in view.evaluated
        if run.id != baseline.id
    }
    tested = {run_id: pair.test.p for run_id, pair in pairs.items() if pair}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    groups_unknown = {run.id for run in view.runs if run.groups_unknown}
    rows = []
    for run_id, pair in pairs.items():
        ungrouped = UNGROUPED if groups_unknown & {run_id, baseline.id} else None
        names = {"Color": swatch(view.colors[run_id]), "Run": view.labels[run_id]}
        rows.append(names | _row(pair, corrected.get(run_id, 1.0), ungrouped))
    return without_empty_groups(pd.DataFrame(rows))


def explanation(view: Compared, tests: int) -> str:
    """Explain the columns, for a caption.

    Args:
        view: the compared runs.
        tests: number of rows with a p-value.
    """
    text = (
        "Differences in percentage points, with 95 % intervals from 10,000 paired bootstrap "
        "resamples. p is from McNemar's exact two-sided test. Where images are grouped, for "
        "example by subject, whole groups are resampled, and p is from a sign test of their net "
        "differences"
    )
    if tests > 1:
        text += (
            f", corrected for {tests} tests against one baseline by Holm's method. The intervals "
            "are not corrected"
        )
    if view.split == "test_unique" and len(view.evaluations.samples) < len(view.evaluated):
        text += f". No test where the {run_properties.DUPLICATES_UNKNOWN}"
    return f"{text}."


def _row(pair: PairedComparison | None, p: float, ungrouped: str | None) -> dict[str, object]:
    if pair is None:
        return dict.fromkeys(
            (
                "Verdict",
                "Accuracy",
                "Interval",
                "p",
                "Only this",
                "Only baseline",
                "UAR",
                "n",
                "Groups",
            )
        ) | {"Verdict": "no shared test images"}
    return {
        "Verdict": pair.verdict(p),
        "Accuracy": 100 * pair.accuracy.difference,
        "Interval": formats.delta_interval(pair.accuracy),
        "p": p,
        "Only this": pair.test.only_b,
        "Only baseline": pair.test.only_a,
        "UAR": 100 * pair.uar.difference,
        "UAR interval": formats.delta_interval(pair.uar),
        "n": pair.n,
        "Groups": pair.grouping or ungrouped,
    }
