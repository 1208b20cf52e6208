"""The reliability diagram of one run, with its calibration error."""

import streamlit as st

from dashboard.analysis import run_properties
from dashboard.charts import calibration_charts, theme
from dashboard.components.plot import plot, theme_mode
from dashboard.state import comparison_cache
from fercore.evaluation.paired_runs import SamplePredictions
from fercore.runs.reader import Run


def reliability_section(
    run: Run, judged: SamplePredictions | None, color: str, scaled: bool
) -> None:
    """Accuracy against confidence on these samples; at the run's own temperature if `scaled`."""
    if not run.gives_probabilities:
        st.caption(f"No calibration: {run_properties.NO_PROBABILITIES}.")
        return
    if judged is None:
        st.caption("No predictions are stored for this evaluation, or they cannot be read.")
        return
    points = comparison_cache.reliability(
        judged, comparison_cache.temperature(run) if scaled else None
    )
    figure = calibration_charts.reliability_diagram(points, color, theme.MUTED[theme_mode()])
    plot(figure, f"reliability-{run.id}", "Accuracy against confidence")
    if run.experiment and run.experiment.loss == "l2_svm":
        st.caption(
            "Trained with the SVM's loss: what stands for probabilities here is the softmax of its "
            "scores, whose order is right and whose size means nothing."
        )
