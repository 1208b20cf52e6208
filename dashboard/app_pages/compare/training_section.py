"""The training curves of the compared runs."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties, training_progress
from dashboard.charts import curve_charts, theme
from dashboard.components import training_curves, url_widgets
from dashboard.components.compared_runs import Compared
from dashboard.components.training_curves import CurveView
from dashboard.state import run_cache
from fercore.runs.reader import Run


def section(view: Compared) -> None:
    """Draw the training curves in common charts, again and again while one of the runs trains."""
    runs = view.runs[: theme.MAX_DRAWN]
    st.subheader("Training curves", anchor="curves")
    if any(run.experiment for run in runs):
        _curves(view, runs)
    if missing := _missing_curves(view, runs):
        st.caption(f"No training curve: {formats.markdown(missing)}.")


def _curves(view: Compared, runs: Sequence[Run]) -> None:
    curves = training_curves.curve_controls()
    groups = run_properties.group_by_experiment(runs)
    grouped = any(len(group) > 1 for group in groups) and url_widgets.toggle(
        "Show seeds as a band",
        key="bands",
        help="Mean and range of the seeds of an experiment, up to the last epoch that all of them "
        "have.",
    )
    running = any(run.is_active for run in runs)
    states = [(run.id, run.state) for run in runs]

    @st.fragment(run_every=training_curves.REFRESH_SECONDS if running else None)
    def draw() -> None:
        now = {run.id: run_cache.find_run(run.id) or run for run in runs}
        if [(run_id, run.state) for run_id, run in now.items()] != states:
            st.rerun()
        _draw(view, curves, groups if grouped else [[run] for run in runs], now)

    draw()


def _draw(
    view: Compared, curves: CurveView, groups: Sequence[Sequence[Run]], now: Mapping[str, Run]
) -> None:
    lines, bands = [], []
    for group in groups:
        first = now[group[0].id]
        color = view.colors[first.id]
        if len(group) == 1:
            lines.append(training_curves.curve_of(first, view.labels[first.id], color))
            continue
        logs = [run_cache.log(now[run.id]) for run in group]
        title = f"{run_properties.title(first)} ({len(group)} seeds)"
        bands.append(curve_charts.Band(title, color, logs))
    training_curves.training_curves(list(now.values()), lines, curves, bands, view.file_stem)


def _missing_curves(view: Compared, runs: Sequence[Run]) -> str:
    reasons = {
        run.id: training_progress.missing_curve(
            run, len(run_cache.log(run)) if run.experiment else 0
        )
        for run in runs
    }
    return ", ".join(
        f"{view.labels[run_id]} ({reason})" for run_id, reason in reasons.items() if reason
    )
