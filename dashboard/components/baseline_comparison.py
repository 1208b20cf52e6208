"""The comparison of runs with a baseline, as a table: no Streamlit."""

import pandas as pd

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts.theme import swatch
from dashboard.components.compared_runs import Compared
from dashboard.state import comparison_cache
from fercore.evaluation.paired_runs import PairedComparison
from fercore.metrics import holm
from fercore.runs.reader import Run
from fercore.runs.schema import UNGROUPED


def table(view: Compared, baseline: Run) -> pd.DataFrame:
    """One row for each run but the baseline; p-values are corrected for their number."""
    pairs = {
        run.id: comparison_cache.paired(view.runs, view.split, baseline.id, run.id)
        for run, _ in view.evaluated
        if run.id != baseline.id
    }
    tested = {run_id: pair.test.p for run_id, pair in pairs.items() if pair}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    unknown = {run.id for run in view.runs if run.groups_unknown}
    rows = []
    for run_id, pair in pairs.items():
        ungrouped = UNGROUPED if unknown & {run_id, baseline.id} else None
        names = {"Color": swatch(view.colors[run_id]), "Run": view.labels[run_id]}
        rows.append(names | _row(pair, corrected.get(run_id, 1.0), ungrouped))
    found = pd.DataFrame(rows)
    # Where each image stands for itself in every run, there is nothing to say.
    empty = "Groups" in found and found["Groups"].isna().all()
    return found.drop(columns="Groups") if empty else found


def explanation(view: Compared, tests: int) -> str:
    """What the columns mean; `tests` is the number of rows with a p-value."""
    text = (
        "Differences in points, with 95 % intervals from 10,000 paired bootstrap draws. p is that "
        "of McNemar's test, exact and two-sided; where images come in groups, such as those of one "
        "subject, whole groups are drawn, and p is of the signs of their net differences"
    )
    if tests > 1:
        text += (
            f", corrected for {tests} tests against one baseline by Holm's method; the intervals "
            "are not corrected"
        )
    if view.split == "test_unique" and len(view.evaluations.samples) < len(view.evaluated):
        text += f". Without a test where the {run_properties.REPEATS_UNKNOWN}"
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
        ) | {"Verdict": "no images in common"}
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
