"""Runs against a baseline, on the samples that both have judged."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import cached, facts, formats, linked
from dashboard.comparison import Compared
from dashboard.theme import swatch
from fercore import metrics
from fercore.labels import index_of
from fercore.metrics import McNemar, PairedDifference
from fercore.runs import Predictions, Run

SURE = 0.05


@dataclass(frozen=True)
class Pair:
    """Two runs on the samples they share.

    Attributes:
        n: samples.
        accuracy: of the other run less that of the baseline, as fractions.
        uar: the same of the unweighted average recall.
        test: on the errors, the baseline first.
    """

    n: int
    accuracy: PairedDifference
    uar: PairedDifference
    test: McNemar

    @property
    def verdict(self) -> str:
        """Which of the two the test prefers, if it does."""
        if self.test.p >= SURE:
            return "not told apart"
        return "better" if self.accuracy.difference > 0 else "worse"


def section(view: Compared) -> None:
    """Choose a baseline; how far the others are from it, and how surely."""
    judged = {run.id: view.labels[run.id] for run, _ in view.evaluated}
    if len(judged) < 2:
        return
    st.subheader("Against a baseline", anchor=False)
    chosen = linked.pick("Baseline", judged, key="baseline", implied=True)
    runs = {run.id: run for run in view.runs}
    baseline = runs[chosen or next(iter(judged))]
    rows = []
    for run_id, label in judged.items():
        if run_id != baseline.id:
            pair = paired(baseline, runs[run_id], view.split)
            rows.append({"Color": swatch(view.colors[run_id]), "Run": label} | _row(pair))
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config=_columns(),
        placeholder=formats.DASH,
        alt="Differences from the baseline",
    )
    if view.split == "test_unique":
        st.caption("Which images repeat is not stored with the predictions: they count here.")
    which = "" if view.split == "test_all" else ", without the classes that either leaves out"
    st.caption(
        f"On the samples that both have judged{which}. "
        "Differences in points with 95 % intervals from 10,000 paired bootstrap draws; p is "
        "McNemar's, exact and two-sided. With many runs, one in twenty such tests at 0.05 finds a "
        "difference where there is none."
    )


def paired(baseline: Run, other: Run, split: str) -> Pair | None:
    """How another run differs from the baseline; `None` if they have judged nothing in common."""
    role = "validation" if split == "validation" else "test"
    first, second = cached.predictions(baseline, role), cached.predictions(other, role)
    names = [run.results.class_names if run.results else [] for run in (baseline, other)]
    if first is None or second is None or names[0] != names[1]:
        return None
    dropped_by = () if split == "test_all" else (baseline, other)
    left_out = {name for run in dropped_by for name in facts.dropped_classes(run)}
    dropped = [index_of(name, names[0]) for name in left_out]
    return compare(first, second, dropped)


def compare(first: Predictions, second: Predictions, dropped: list[int]) -> Pair | None:
    """The same from predictions; classes that either run dropped are left out."""
    _, a_rows, b_rows = np.intersect1d(first.ids, second.ids, return_indices=True)
    labels = first.labels[a_rows]
    if not np.array_equal(labels, second.labels[b_rows]):
        return None  # the same names for other samples
    keep = ~np.isin(labels, dropped)
    if not keep.any():
        return None
    true = labels[keep].astype(np.int64)
    a = first.probabilities[a_rows][keep].argmax(axis=1)
    b = second.probabilities[b_rows][keep].argmax(axis=1)
    k = first.probabilities.shape[1]
    return Pair(
        n=len(true),
        accuracy=metrics.paired_bootstrap(true, a, b, k, "accuracy"),
        uar=metrics.paired_bootstrap(true, a, b, k, "uar"),
        test=metrics.mcnemar(true, a, b),
    )


def _row(pair: Pair | None) -> dict[str, object]:
    if pair is None:
        return dict.fromkeys(
            ("Verdict", "Accuracy", "Interval", "p", "Only this", "Only baseline", "UAR", "n")
        ) | {"Verdict": "no samples in common"}
    return {
        "Verdict": pair.verdict,
        "Accuracy": 100 * pair.accuracy.difference,
        "Interval": _interval(pair.accuracy),
        "p": pair.test.p,
        "Only this": pair.test.only_b,
        "Only baseline": pair.test.only_a,
        "UAR": 100 * pair.uar.difference,
        "UAR interval": _interval(pair.uar),
        "n": pair.n,
    }


def _interval(found: PairedDifference) -> str:
    ends = (formats.points(end).removesuffix(" points") for end in (found.low, found.high))
    return " to ".join(ends)


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
    }
