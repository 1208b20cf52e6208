"""Runs against a baseline, on the samples that both have judged."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import cached, columns, formats, linked
from dashboard.comparison import Compared
from dashboard.judged import Pair
from dashboard.theme import swatch
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
    st.dataframe(
        table(view, baseline),
        hide_index=True,
        column_config=_columns(),
        placeholder=formats.DASH,
        alt="Differences from the baseline",
    )
    st.caption(explanation(view.split))
    return baseline


def table(view: Compared, baseline: Run) -> pd.DataFrame:
    """One row for each run but the baseline."""
    rows = []
    for run, _ in view.evaluated:
        if run.id != baseline.id:
            pair = cached.paired(baseline, run, view.split)
            names = {"Color": swatch(view.colors[run.id]), "Run": view.labels[run.id]}
            unknown = run.groups_unknown or baseline.groups_unknown
            rows.append(names | _row(pair, UNGROUPED if unknown else None))
    found = pd.DataFrame(rows)
    # Where each image stands for itself in every run, there is nothing to say.
    empty = "Groups" in found and found["Groups"].isna().all()
    return found.drop(columns="Groups") if empty else found


def explanation(split: str) -> str:
    """What the columns mean."""
    which = "" if split == "test_all" else ", without the classes that either leaves out"
    repeats = "Which images repeat is not stored with the predictions: they count here. "
    return (
        (repeats if split == "test_unique" else "")
        + f"On the samples that both have judged{which}. "
        "Differences in points with 95 % intervals from 10,000 paired bootstrap draws; p is "
        "McNemar's, exact and two-sided. Where images come in groups, such as those of one "
        "subject, whole groups are drawn, and the test is that of the signs of their net "
        "differences. With many runs, one in twenty such tests at 0.05 finds a "
        "difference where there is none."
    )


def _row(pair: Pair | None, ungrouped: str | None) -> dict[str, object]:
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
        ) | {"Verdict": "no samples in common"}
    return {
        "Verdict": pair.verdict,
        "Accuracy": 100 * pair.accuracy.difference,
        "Interval": formats.delta_interval(pair.accuracy),
        "p": pair.test.p,
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
        "Verdict": config.TextColumn("Verdict", help="By McNemar's test at 0.05."),
        "Accuracy": config.NumberColumn("Accuracy", format="%+.2f", help="Points."),
        "Interval": config.TextColumn("95 % interval"),
        "p": config.NumberColumn("p", format="%.3g", help="McNemar's test, exact."),
        "Only this": config.NumberColumn("Only this is right", format="localized"),
        "Only baseline": config.NumberColumn("Only the baseline is", format="localized"),
        "UAR": config.NumberColumn("UAR", format="%+.2f", help="Points."),
        "UAR interval": config.TextColumn("Its interval"),
        "n": config.NumberColumn("n", format="localized"),
        "Groups": columns.groups(),
    }
