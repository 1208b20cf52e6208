"""Recall, precision or F1 of each class, the compared runs side by side."""

from typing import cast

import streamlit as st

from dashboard import formats
from dashboard.charts import class_charts
from dashboard.charts.class_charts import ClassMetric
from dashboard.charts.theme import swatch
from dashboard.components import column_formats, plot, url_widgets
from dashboard.components.compared_runs import Compared
from dashboard.tables.confusion_tables import CLASS_METRICS, class_metric_table


def class_metrics(view: Compared) -> None:
    """Draw the selection of the metric, its bars by class, and its table."""
    st.subheader("Per-class metrics", anchor="per-class")
    options = {str(key): title for key, title in CLASS_METRICS.items()}
    metric = cast(
        ClassMetric,
        url_widgets.segmented_control(
            "Metric",
            options,
            key="per",
            help="Recall: share of a true class that is predicted as it. Precision: share of "
            "the predictions of a class that are correct. F1: their harmonic mean.",
        ),
    )
    title = CLASS_METRICS[metric]
    if len(view.charted) == 1:
        plot.legend({run.id: view.labels[run.id] for run, _ in view.charted}, view.colors)
    plot.plot(
        class_charts.class_metric_bars(view.drawn, metric),
        "per-class",
        f"{title} by class" + (" with 95% intervals" if metric == "recall" else ""),
        file_name=f"{metric}-by-class-{view.file_stem}",
    )
    if metric == "recall":
        st.caption("Whiskers: 95 % CI (Wilson).")
    swatches = {run.id: swatch(view.colors[run.id]) for run, _ in view.evaluated}
    table = class_metric_table(view.evaluated, view.labels, swatches, metric)
    mean_help = {"recall": "UAR", "precision": "Macro precision", "f1": "Macro-F1"}[metric]
    columns = [name for name in table if name not in {"Color", "Run", "Mean"}]
    st.dataframe(
        table,
        hide_index=True,
        column_config=column_formats.metrics()
        | {name: st.column_config.NumberColumn(name, format="%.1f %%") for name in columns}
        | {"Mean": st.column_config.NumberColumn("Mean", format="%.1f %%", help=mean_help)},
        placeholder=formats.DASH,
        alt=f"{title} of each class by run",
    )
