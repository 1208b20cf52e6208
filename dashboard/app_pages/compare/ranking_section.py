"""The precision-recall and ROC curves of the compared runs."""

import streamlit as st

from dashboard import formats
from dashboard.charts.ranking_charts import RankingLine
from dashboard.components import ranking, url_widgets
from dashboard.components.compared_runs import Compared
from dashboard.state import comparison_cache
from fercore.metrics import Curves
from fercore.runs.reader import Run

_MACRO = ""


def section(view: Compared) -> bool:
    """Draw the selection of a class, and the runs' curves of this class against all others.

    Returns:
        Whether any run stores probabilities; nothing is drawn otherwise.
    """
    runs = [run for run, _ in view.charted]
    usable = [run for run in runs if run.gives_probabilities and run.id in view.evaluations.samples]
    if not usable:
        return False
    st.subheader("Precision–recall and ROC curves", anchor="ranking", help=ranking.AREAS_HELP)
    names = dict.fromkeys(name for run in usable for name in _class_names(run))
    name = url_widgets.selectbox(
        "Class",
        {_MACRO: "Macro average of all classes"} | {name: name for name in names},
        key="class",
        implied=True,
        width=280,
    )
    curves = {run.id: _curves(view, run, name or _MACRO) for run in usable}
    lines = [
        RankingLine(view.labels[run_id], view.colors[run_id], curve)
        for run_id, curve in curves.items()
        if curve
    ]
    if not lines:
        st.caption("None of these runs has images of this class on this split.")
        return True
    ranking.ranking(lines, "Run", f"{name or 'macro'}-{view.file_stem}")
    if missing := [view.labels[run.id] for run in runs if not curves.get(run.id)]:
        st.caption(
            f"No curve: {formats.markdown(', '.join(missing))} (no stored probabilities, or no "
            "image of the class)."
        )
    return True


def _curves(view: Compared, run: Run, name: str) -> Curves | None:
    samples = view.evaluations.samples[run.id]
    if name == _MACRO:
        return comparison_cache.macro_ranking(samples)
    names = _class_names(run)
    return comparison_cache.ranking(samples, names.index(name)) if name in names else None


def _class_names(run: Run) -> list[str]:
    return run.results.class_names if run.results else []
