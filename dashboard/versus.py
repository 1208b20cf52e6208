"""Runs against a baseline, on the images that the runs of the view share."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import cached, columns, facts, formats, linked
from dashboard.comparison import Compared
from dashboard.judged import Pair
from dashboard.theme import swatch
from fercore.metrics import holm
from fercore.records import UNGROUPED
from fercore.runs import Run


def section(view: Compared) -> Run | None:
    """Let the reader choose a baseline; how far the others are from it, and how surely."""
    judged = {run.id: view.labels[run.id] for run, _ in view.evaluated}
    if len(judged) < 2:
        return None
    st.subheader("Against a baseline", anchor=False)
    chosen = linked.pick("Baseline", judged, key="baseline", implied=True)
    runs = {run.id: run for run in view.runs}
    baseline = runs[chosen or next(iter(judged))]
    rows = table(view, baseline)
    st.dataframe(
        rows,
        hide_index=True,
        column_config=_columns(),
        placeholder=formats.DASH,
        alt="Differences from the baseline",
    )
    st.caption(explanation(view, int(rows["p"].notna().sum())))
    return baseline


def table(view: Compared, baseline: Run) -> pd.DataFrame:
    """One row for each run but the baseline; p-values are corrected for their number."""
    pairs = {
        run.id: cached.paired(view.runs, view.split, baseline.id, run.id)
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
        text += f". Without a test where the {facts.REPEATS_UNKNOWN}"
    return f"{text}."


def _row(pair: Pair | None, p: float, ungrouped: str | None) -> dict[str, object]:
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


def _columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "Color": config.ImageColumn("", width=36, pinned=True),
        "Run": config.TextColumn("Run", pinned=True),
        "Verdict": config.TextColumn("Verdict", help="By McNemar's test at 0.05, p corrected."),
        "Accuracy": config.NumberColumn("Accuracy", format="%+.2f", help="Points."),
        "Interval": config.TextColumn("95 % interval"),
        "p": config.NumberColumn(
            "p, corrected", format="%.3g", help="McNemar's test, corrected by Holm's method."
        ),
        "Only this": config.NumberColumn("Only this is right", format="localized"),
        "Only baseline": config.NumberColumn("Only the baseline is", format="localized"),
        "UAR": config.NumberColumn("UAR", format="%+.2f", help="Points."),
        "UAR interval": config.TextColumn("Its interval"),
        "n": config.NumberColumn("n", format="localized"),
        "Groups": columns.groups(),
    }
