"""The reliability diagram of one run."""

import streamlit as st

from dashboard.analysis import run_properties
from dashboard.charts import calibration_charts, theme
from dashboard.components.plot import plot, theme_mode
from dashboard.state import comparison_cache
from fercore.evaluation.paired_runs import SamplePredictions
from fercore.runs.reader import Run


def reliability_section(
    run: Run, samples: SamplePredictions | None, color: str, scaled: bool
) -> None:
    """Draw accuracy against confidence, or a caption on why that is not possible.

    Args:
        run: any.
        samples: its predictions, if they are stored.
        color: of the points.
        scaled: apply the run's fitted temperature.
    """
    if not run.gives_probabilities:
        st.caption(f"No calibration: {run_properties.NO_PROBABILITIES}.")
        return
    if samples is None:
        st.caption("The predictions of this evaluation are not stored, or cannot be read.")
        return
    points = comparison_cache.reliability(
        samples, comparison_cache.temperature(run) if scaled else None
    )
    figure = calibration_charts.reliability_diagram(points, color, theme.MUTED[theme_mode()])
    plot(
        figure,
        f"reliability-{run.id}",
        "Accuracy against confidence, with the number of images of each bin",
        file_name=f"reliability-{'scaled-' if scaled else ''}{run.id}",
    )
    if run.experiment and run.experiment.loss == "l2_svm":
        st.caption(
            "Trained with the SVM loss: the probabilities are the softmax of its scores. Their "
            "order is meaningful, their size is not."
        )
