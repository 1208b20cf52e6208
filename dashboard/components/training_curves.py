"""Training curves with their controls, for one run or several."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties, training_progress
from dashboard.charts import curve_charts
from dashboard.components import url_widgets
from dashboard.components.plot import plot
from dashboard.state import run_cache
from fercore.runs.reader import Run
from fercore.runs.schema import EpochLog

REFRESH_SECONDS = 1.0


@dataclass(frozen=True)
class CurveView:
    """What the training curves show.

    Attributes:
        metrics: keys of `dashboard.charts.curve_charts.METRICS`.
        x: epochs or time.
        smoothing: weight of the moving average, in [0, 1).
        log_loss: whether the axis of the loss is logarithmic.
    """

    metrics: list[str]
    x: curve_charts.XAxis
    smoothing: float
    log_loss: bool


def curve_controls(default: Sequence[str] = ("accuracy", "loss")) -> CurveView:
    """Draw the controls of training curves."""
    with st.container(horizontal=True, gap="medium"):
        metrics = url_widgets.pills("Curves", curve_charts.METRICS, key="curves", default=default)
        x = url_widgets.segmented_control(
            "X axis",
            {"epoch": "Epoch", "time": "Wall time"},
            key="x",
            help="Wall time: since the start of the training. Bands of seeds are over epochs.",
        )
        # Links of earlier versions have 0, 0.5 or 0.8.
        smoothing = url_widgets.slider(
            "Smoothing",
            "smooth",
            0.0,
            0.99,
            0.01,
            0.0,
            width=220,
            help="Weight of the exponential moving average with bias correction, as in TensorBoard "
            "and W&B. The faint line is not smoothed.",
        )
        log_loss = url_widgets.toggle("Log scale (loss)", key="log")
    return CurveView(metrics, "time" if x == "time" else "epoch", smoothing, log_loss)


def curve_of(run: Run, label: str, color: str) -> curve_charts.Curve:
    """Return a run's log as a curve, with its checkpoint if it has one."""
    return curve_charts.Curve(label, color, run_cache.log(run), run_properties.checkpoint(run))


def training_curves(
    runs: Sequence[Run],
    lines: Sequence[curve_charts.Curve],
    view: CurveView,
    bands: Sequence[curve_charts.Band] = (),
    file_name: str = "",
) -> None:
    """Draw one chart for each selected metric.

    Args:
        runs: all of them; their configurations decide which notes are shown.
        lines: single runs.
        view: from `curve_controls`.
        bands: groups of seeds.
        file_name: of the saved figures, after the metric.
    """
    logs = [*(line.rows for line in lines), *(log for band in bands for log in band.seeds)]
    if not any(logs):
        st.info("No epoch has been completed yet.", icon=":material/hourglass_empty:")
        return
    if not view.metrics:
        st.info("Select at least one curve above.", icon=":material/show_chart:")
        return
    over = "wall time" if view.x == "time" else "epochs"
    with st.grid(min(len(view.metrics), 3), min_column_width=340, gap="medium"):
        for metric in view.metrics:
            figure = curve_charts.training_curves(
                lines,
                metric,  # type: ignore[arg-type]
                view.x,
                view.smoothing,
                bands,
                log_loss=view.log_loss,
                loss_title=training_progress.loss_title(runs),
            )
            plot(
                figure,
                f"curve-{metric}",
                f"{curve_charts.METRICS[metric]} over {over}",
                file_name=f"{metric}-over-{view.x}-{file_name}",
            )
    st.caption(_note(runs, view, any_bands=bool(bands)))


def _note(runs: Sequence[Run], view: CurveView, *, any_bands: bool) -> str:
    """Return one line on what the curves show."""
    text = "Training is measured with augmentation and dropout."
    added = run_properties.extra_loss_terms(runs)
    if "loss" in view.metrics and added:
        text = (
            f"Training loss includes {', '.join(added)}; not directly comparable with validation "
            "loss."
        )
    return f"{text} Band: range over the seeds." if any_bands else text


def time_left(run: Run, log: Sequence[EpochLog]) -> str:
    """Return the progress of a running training: `training: epoch 12 of 60, about 3 min left`."""
    status = run.status
    if status is None:
        return ""
    parts = [f"epoch {status.epoch} of {status.epochs}"]
    if run.state == "starting":
        return f"starting: {parts[0]}"
    if status.steps and status.epoch < status.epochs:
        parts.append(f"step {status.step:,} of {status.steps:,}")
    left = training_progress.seconds_left(run, log)
    if left is not None:
        parts.append(f"about {formats.duration(left)} left")
    return f"{status.phase or run.state}: {', '.join(parts)}"
