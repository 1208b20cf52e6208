"""The precision-recall and ROC curves of one run."""

import streamlit as st

from dashboard.charts import theme
from dashboard.charts.base import GREY
from dashboard.charts.ranking_charts import RankingLine
from dashboard.components import plot, ranking
from dashboard.state import comparison_cache
from fercore.runs.reader import Run


def section(run: Run, split: str) -> None:
    """Draw the curves of each class against all others, and their macro average.

    Args:
        run: any; nothing is drawn without stored probabilities.
        split: as in `fercore.runs.schema.Results.splits`.
    """
    samples = comparison_cache.sample_predictions(run, split)
    if samples is None or run.results is None or not run.gives_probabilities:
        return
    names = run.results.class_names
    colors = theme.class_colors(names, plot.theme_mode())
    lines = [
        RankingLine(name, colors[name], curves)
        for place, name in enumerate(names)
        if (curves := comparison_cache.ranking(samples, place))
    ]
    if mean := comparison_cache.macro_ranking(samples):
        lines.append(RankingLine(ranking.MACRO, GREY, mean, "dash"))
    if not lines:
        return
    st.subheader("Precision–recall and ROC curves", anchor=False, help=ranking.AREAS_HELP)
    ranking.ranking(lines, "Class", f"{run.id}-{split}")
