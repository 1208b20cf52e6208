"""The comparison of runs with a baseline."""

from typing import Any

import streamlit as st

from dashboard import formats
from dashboard.components import baseline_comparison, column_formats, url_widgets
from dashboard.components.compared_runs import Compared
from fercore.runs.reader import Run


def section(view: Compared) -> Run | None:
    """Draw the selection of a baseline and the paired comparisons with it; return the baseline."""
    labels = {run.id: view.labels[run.id] for run, _ in view.evaluated}
    if len(labels) < 2:
        return None
    st.subheader("Comparison with baseline", anchor="significance")
    baseline_id = url_widgets.selectbox("Baseline", labels, key="baseline", implied=True)
    runs = {run.id: run for run in view.runs}
    baseline = runs[baseline_id or next(iter(labels))]
    with st.spinner(f"Computing {len(labels) - 1} paired tests"):
        rows = baseline_comparison.table(view, baseline)
    st.dataframe(
        rows,
        hide_index=True,
        column_config=_columns(),
        placeholder=formats.DASH,
        alt="Differences of the runs from the baseline, with paired tests",
    )
    st.caption(baseline_comparison.explanation(view, int(rows["p"].notna().sum())))
    return baseline


def _columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "Color": config.ImageColumn("", width=36, pinned=True),
        "Run": config.TextColumn("Run", pinned=True),
        "Verdict": config.TextColumn(
            "Verdict", help="McNemar's test at 0.05 with the p that Holm's method corrects."
        ),
        "Accuracy": config.NumberColumn(
            "Δ accuracy", format="%+.2f", help="Run minus baseline, in percentage points."
        ),
        "Interval": config.TextColumn(
            "Δ accuracy, 95 % CI", help="From 10,000 paired bootstrap resamples; not corrected."
        ),
        "p, one test": config.NumberColumn(
            "p", format="%.2g", help="McNemar's exact two-sided test, not corrected."
        ),
        "p": config.NumberColumn(
            "p (Holm)",
            format="%.2g",
            help="Corrected by Holm's method for the number of runs tested against the baseline.",
        ),
        "Only run correct": config.NumberColumn(
            "Only run correct", format="localized", help="Discordant pairs: images."
        ),
        "Only baseline correct": config.NumberColumn(
            "Only baseline correct", format="localized", help="Discordant pairs: images."
        ),
        "UAR": config.NumberColumn(
            "Δ UAR",
            format="%+.2f",
            help="Unweighted average recall, run minus baseline, in percentage points.",
        ),
        "UAR interval": config.TextColumn("Δ UAR, 95 % CI"),
        "n": config.NumberColumn("n", format="localized"),
        "Groups": column_formats.groups(),
    }
