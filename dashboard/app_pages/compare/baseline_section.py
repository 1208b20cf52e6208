"""Runs against a baseline, on the images that the runs of the view share."""

from typing import Any

import streamlit as st

from dashboard import formats
from dashboard.components import baseline_comparison, column_formats, url_widgets
from dashboard.components.compared_runs import Compared
from fercore.runs.reader import Run


def section(view: Compared) -> Run | None:
    """Let the reader choose a baseline; how far the others are from it, and how surely."""
    judged = {run.id: view.labels[run.id] for run, _ in view.evaluated}
    if len(judged) < 2:
        return None
    st.subheader("Against a baseline", anchor=False)
    chosen = url_widgets.selectbox("Baseline", judged, key="baseline", implied=True)
    runs = {run.id: run for run in view.runs}
    baseline = runs[chosen or next(iter(judged))]
    rows = baseline_comparison.table(view, baseline)
    st.dataframe(
        rows,
        hide_index=True,
        column_config=_columns(),
        placeholder=formats.DASH,
        alt="Differences from the baseline",
    )
    st.caption(baseline_comparison.explanation(view, int(rows["p"].notna().sum())))
    return baseline


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
        "Groups": column_formats.groups(),
    }
