"""What several pages draw: badges, charts, legends, empty states, links between pages."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboard import cached, charts, facts, formats, linked, theme
from fercore.records import LogRow
from fercore.roots import runs_root
from fercore.runs import Run

RUNS_PAGE = "app_pages/runs.py"
COMPARE_PAGE = "app_pages/compare.py"
RUN_PAGE = "app_pages/run.py"
REFRESH_SECONDS = 2.0

_CHOSEN = "chosen_runs"


def mode() -> theme.Mode:
    """Whether the page is light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def chosen() -> list[str]:
    """The runs picked for comparison in this session, by id, in order."""
    return list(st.session_state.get(_CHOSEN, []))


def choose(run_ids: Sequence[str]) -> None:
    """Remember the runs picked for comparison."""
    st.session_state[_CHOSEN] = list(run_ids)


def plot(figure: go.Figure, key: str, alt: str) -> None:
    """Draw a figure at the width of its column; `alt` says what it shows."""
    st.plotly_chart(
        figure,
        width="stretch",
        theme="streamlit",
        key=key,
        alt=alt,
        config={"displayModeBar": False, "scrollZoom": False, "doubleClick": "reset"},
    )


def legend(labels: Mapping[str, str], colors: Mapping[str, str]) -> None:
    """Each run's label beside its colour."""
    st.html(formats.legend({label: colors[run_id] for run_id, label in labels.items()}))


def badges(run: Run) -> None:
    """A run's state and what sets it apart, in one wrapping row."""
    look = theme.STATES[run.state]
    with st.container(horizontal=True, gap="small"):
        st.badge(run.state, icon=look.icon, color=look.badge, help=look.meaning)
        if facts.is_synthetic(run):
            st.badge("synthetic faces", icon=":material/draw:", color="violet")
        if run.config and not facts.is_honest(run):
            st.badge(
                "tested images in training",
                icon=":material/warning:",
                color="orange",
                help="The published protocol, faults included: this figure measures memory too.",
            )
        if facts.dropped_classes(run):
            left_out = ", ".join(facts.dropped_classes(run))
            st.badge(f"without {left_out}", icon=":material/filter_alt:", color="orange")
        if run.config:
            for fact in (run.config.dataset, run.config.model, f"seed {run.config.seed}"):
                st.badge(formats.markdown(fact), color="gray")


def no_runs() -> None:
    """What to do when there is no run at all."""
    st.subheader("No runs yet")
    st.markdown(
        "A run appears here by itself as soon as its training starts. "
        "The first one takes a minute and needs no dataset:"
    )
    st.code("fercore train synthetic-quick", language="bash")
    st.markdown(
        "For real figures, add FER2013 once (CSV, ZIP, TAR or a folder of images), then train:"
    )
    st.code(
        "fercore data add fer2013 PATH\nfercore train katkar2021-model1-original", language="bash"
    )
    st.caption(f"Runs are read from `{runs_root()}`; set `FERCORE_RUNS` to read another folder.")


def curve_controls(
    default: Sequence[str] = ("accuracy", "loss"),
) -> tuple[list[str], charts.XAxis, float]:
    """What the training curves show: the metrics, the x axis, the smoothing."""
    with st.container(horizontal=True, gap="medium"):
        metrics = linked.choices("Curves", charts.METRICS, key="curves", default=default)
        x = linked.choice("Against", {"epoch": "Epoch", "time": "Time"}, key="x")
        smoothing = linked.choice(
            "Smoothing", {"0": "Off", "0.5": "Some", "0.8": "Strong"}, key="smooth"
        )
    return metrics, "time" if x == "time" else "epoch", float(smoothing)


def curve_of(run: Run, label: str, color: str) -> charts.Curve:
    """A run's log as a curve, with its checkpoint if it has one."""
    kept = run.results.selection.epoch if run.results and run.results.selection else None
    return charts.Curve(label, color, cached.log(run), kept)


def training_curves(
    curves: Sequence[charts.Curve], metrics: Sequence[Any], x: charts.XAxis, smoothing: float
) -> None:
    """The curves, as many side by side as fit."""
    if not any(curve.rows for curve in curves):
        st.info("No whole epoch has been logged yet.", icon=":material/hourglass_empty:")
        return
    if not metrics:
        st.info("Choose at least one curve above.", icon=":material/show_chart:")
        return
    with st.grid(min(len(metrics), 3), min_column_width=340, gap="medium"):
        for metric in metrics:
            figure = charts.training_curves(curves, metric, x, smoothing)
            plot(figure, f"curve-{metric}", f"{charts.METRICS[metric]} over {x}")
    st.caption(
        "Solid: validation. Dotted: training, as trained on (augmented, weighted, with dropout). "
        "Diamond: the epoch whose weights were kept."
    )


def eta(run: Run, log: Sequence[LogRow]) -> str:
    """`epoch 12 of 60, 3 min left`, for a run that is training."""
    status = run.status
    if status is None:
        return ""
    parts = [f"epoch {status.epoch} of {status.epochs}"]
    if status.steps and status.epoch < status.epochs:
        parts.append(f"step {status.step:,} of {status.steps:,}")
    left = facts.seconds_left(run, log)
    if left is not None:
        parts.append(f"about {formats.duration(left)} left")
    return f"{status.phase or run.state}: {', '.join(parts)}"
