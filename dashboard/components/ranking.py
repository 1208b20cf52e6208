"""Precision-recall and ROC curves side by side, with the table of their areas."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import formats
from dashboard.charts import ranking_charts
from dashboard.charts.ranking_charts import RankingLine
from dashboard.components.plot import plot
from dashboard.tables.ranking_tables import ranking_table

MACRO = "macro average"
AREAS_HELP = (
    "One class against all others. AP: average precision, the area under the precision-recall "
    "curve as a step function; that of a random ranking is the prevalence. AUC: area under the ROC "
    "curve, 0.5 for a random ranking."
)


def ranking(lines: Sequence[RankingLine], title: str, file_name: str) -> None:
    """Draw both charts and the table.

    Args:
        lines: classes of one run, or runs.
        title: of the table's first column.
        file_name: of the saved figures, after the kind of curve.
    """
    with st.grid(2, min_column_width=340, gap="medium"):
        figure = ranking_charts.precision_recall(lines)
        alt = f"Precision against recall, by {title.lower()}"
        plot(figure, "precision-recall", alt, file_name=f"precision-recall-{file_name}")
        figure = ranking_charts.roc(lines)
        alt = f"True positive rate against false positive rate, by {title.lower()}"
        plot(figure, "roc", alt, file_name=f"roc-{file_name}")
    st.dataframe(
        ranking_table({line.label: line.curves for line in lines}, title),
        hide_index=True,
        column_config=_columns(),
        placeholder=formats.DASH,
        alt=f"Average precision and area under the ROC curve, by {title.lower()}",
    )


def _columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "n": config.NumberColumn("n", format="localized", help="Images of the class."),
        "Prevalence": config.NumberColumn(
            "Prevalence", format="%.1f %%", help="AP of a random ranking."
        ),
        "AP": config.NumberColumn("AP", format="%.3f", help="Average precision."),
        "AUC": config.NumberColumn("AUC", format="%.3f", help="Area under the ROC curve."),
    }
