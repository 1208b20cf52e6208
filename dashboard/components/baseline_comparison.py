"""The table of paired comparisons with a baseline: no Streamlit."""

import pandas as pd

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts.theme import swatch
from dashboard.components.compared_runs import Compared
from dashboard.state import comparison_cache
from dashboard.tables.cells import without_empty_groups
from fercore.evaluation.comparison import BaselineComparison, compare_with_baseline, explain_tests
from fercore.evaluation.paired_runs import PairedComparison
from fercore.runs.reader import Run


def table(view: Compared, baseline: Run) -> pd.DataFrame:
    """Return one row for each run except the baseline, with p-values corrected by Holm's method."""

    def compare(run_id: str) -> PairedComparison | None:
        return comparison_cache.compare_pair(view.runs, view.split, baseline.id, run_id)

    runs = [run for run, _ in view.evaluated]
    rows = pd.DataFrame(
        {"Color": swatch(view.colors[one.run.id]), "Run": view.labels[one.run.id]} | _row(one)
        for one in compare_with_baseline(view.evaluations, runs, baseline, compare)
    )
    return without_empty_groups(rows)


def explanation(view: Compared, tests: int) -> str:
    """Explain the columns, for a caption.

    Args:
        view: the compared runs.
        tests: number of rows with a p-value.
    """
    text = explain_tests(tests)
    if view.split == "test_unique" and len(view.evaluations.samples) < len(view.evaluated):
        text += f". No test where the {run_properties.DUPLICATES_UNKNOWN}"
    return f"{text}."


def _row(comparison: BaselineComparison) -> dict[str, object]:
    pair = comparison.pair
    if pair is None:
        columns = (
            "Verdict",
            "Accuracy",
            "Interval",
            "p, one test",
            "p",
            "Only run correct",
            "Only baseline correct",
            "UAR",
            "n",
            "Groups",
        )
        return dict.fromkeys(columns) | {"Verdict": comparison.verdict}
    return {
        "Verdict": comparison.verdict,
        "Accuracy": 100 * pair.accuracy.difference,
        "Interval": formats.delta_interval(pair.accuracy),
        "p, one test": pair.test.p,
        "p": comparison.p,
        "Only run correct": pair.test.only_b,
        "Only baseline correct": pair.test.only_a,
        "UAR": 100 * pair.uar.difference,
        "UAR interval": formats.delta_interval(pair.uar),
        "n": pair.n,
        "Groups": comparison.grouping or None,
    }
