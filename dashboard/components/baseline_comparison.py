"""The comparison of runs with a baseline, as a table: no Streamlit."""

import pandas as pd

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts.theme import swatch
from dashboard.components.compared_runs import Compared
from dashboard.state import comparison_cache
from fercore.evaluation.comparison import BaselineComparison, compare_with_baseline, explain_tests
from fercore.evaluation.paired_runs import PairedComparison
from fercore.runs.reader import Run


def table(view: Compared, baseline: Run) -> pd.DataFrame:
    """Return one row for each run but the baseline; p-values are corrected for their number."""

    def compare(run_id: str) -> PairedComparison | None:
        return comparison_cache.paired(view.runs, view.split, baseline.id, run_id)

    runs = [run for run, _ in view.evaluated]
    rows = pd.DataFrame(
        {"Color": swatch(view.colors[one.run.id]), "Run": view.labels[one.run.id]} | _row(one)
        for one in compare_with_baseline(view.evaluations, runs, baseline, compare)
    )
    # Where each image is independent in every run, the column would be empty.
    empty = "Groups" in rows and rows["Groups"].isna().all()
    return rows.drop(columns="Groups") if empty else rows


def explanation(view: Compared, tests: int) -> str:
    """What the columns mean; `tests` is the number of rows with a p-value."""
    text = explain_tests(tests)
    if view.split == "test_unique" and len(view.evaluations.samples) < len(view.evaluated):
        text += f". Without a test where the {run_properties.REPEATS_UNKNOWN}"
    return f"{text}."


def _row(comparison: BaselineComparison) -> dict[str, object]:
    pair = comparison.pair
    if pair is None:
        columns = (
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
        return dict.fromkeys(columns) | {"Verdict": comparison.verdict}
    return {
        "Verdict": comparison.verdict,
        "Accuracy": 100 * pair.accuracy.difference,
        "Interval": formats.delta_interval(pair.accuracy),
        "p": comparison.p,
        "Only this": pair.test.only_b,
        "Only baseline": pair.test.only_a,
        "UAR": 100 * pair.uar.difference,
        "UAR interval": formats.delta_interval(pair.uar),
        "n": pair.n,
        "Groups": comparison.grouping or None,
    }
