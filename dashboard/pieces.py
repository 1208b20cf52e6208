"""What several pages draw: badges, charts, legends, empty states, links between pages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import cached, charts, curves, facts, formats, linked, theme
from dashboard.judged import Judged
from fercore.records import LogRow
from fercore.roots import runs_root
from fercore.runs import Run

RUNS_PAGE = "app_pages/runs.py"
COMPARE_PAGE = "app_pages/compare.py"
CONFUSION_PAGE = "app_pages/confusion.py"
RUN_PAGE = "app_pages/run.py"
PHOTO_PAGE = "app_pages/photo.py"
REFRESH_SECONDS = 1.0

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


def pick_runs(readable: Mapping[str, Run]) -> list[str]:
    """Let the reader pick up to eight runs; those ticked elsewhere, unless the address says."""
    picked = linked.picks(
        "Runs",
        cached.labels(list(readable.values())),
        key="runs",
        limit=theme.MAX_COMPARED,
        remembered=chosen(),
        placeholder="Choose up to eight runs",
    )
    # What this page cannot show, such as a run that still trains, stays picked for the others.
    elsewhere = {run.id for run in cached.known_runs()} - set(readable)
    choose([*picked, *(run_id for run_id in chosen() if run_id in elsewhere)])
    return picked


def plot(
    figure: go.Figure, key: str, alt: str, on_click: Callable[[list[Any]], None] | None = None
) -> None:
    """Draw a figure at the width of its column.

    Args:
        figure: from `dashboard.charts` or `dashboard.matrix`.
        key: of the element, and the name of the file that it is saved as.
        alt: what it shows, in words.
        on_click: called with the custom data of the point that was clicked.
    """

    def clicked() -> None:
        event = st.session_state.get(key)
        points = event["selection"]["points"] if event else []
        if on_click and points:
            on_click(points[0]["customdata"])

    st.plotly_chart(
        figure,
        width="stretch",
        theme="streamlit",
        key=key,
        alt=alt,
        on_select=clicked if on_click else "ignore",
        selection_mode="points",
        config={
            "displaylogo": False,
            "modeBarButtons": [["toImage"]],
            "toImageButtonOptions": {"format": image_format(), "filename": key, "scale": 2},
            "scrollZoom": False,
            "doubleClick": "reset",
        },
    )


def expander(label: str, key: str, icon: str, address: str = "") -> DeltaGenerator | None:
    """A section that is closed at first; `None` while it is, so that nothing in it is computed.

    Args:
        label: its title.
        key: of its state in the session.
        icon: beside the title.
        address: a key of the page's address; where that has a value, the section is open at first.
    """
    found = st.expander(
        label, bool(address and linked.said(address)), icon=icon, key=key, on_change="rerun"
    )
    return found if found.open else None


def image_format() -> str:
    """What the camera above a chart saves: `"svg"` or `"png"`."""
    return "png" if linked.said("image") == "png" else "svg"


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
        if run.origin == "combined":
            st.badge(
                "combined",
                icon=":material/join:",
                color="violet",
                help="The mean of several networks, or of several views of an image.",
            )
        if facts.of_unknown_origin(run):
            st.badge(
                "imported" if run.origin == "imported" else "of an imported network",
                icon=":material/input:",
                color="violet",
                help="Judged here; what it was trained on is not known.",
            )
        for tag in run.notes.tags:
            st.badge(formats.markdown(tag), icon=":material/sell:", color="blue")
        if facts.leaks(run):
            st.badge(
                "not independent",
                icon=":material/warning:",
                color="orange",
                help=f"{facts.LEAKS} This figure measures memory too.",
            )
        if facts.dropped_classes(run):
            left_out = ", ".join(facts.dropped_classes(run))
            st.badge(f"without {left_out}", icon=":material/filter_alt:", color="orange")
        if run.config:
            for fact in (run.config.dataset, run.config.model, f"seed {run.config.seed}"):
                st.badge(formats.markdown(fact), color="gray")


def no_runs(lacking: str = "") -> None:
    """What to do when there is no run at all.

    Args:
        lacking: what the page says where there are runs, but none that it can show.
    """
    if lacking and cached.list_runs():
        st.info(lacking, icon=":material/hourglass_empty:")
        return
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


@dataclass(frozen=True)
class CurveView:
    """What the training curves show."""

    metrics: list[str]
    x: curves.XAxis
    smoothing: float
    log_loss: bool


def curve_controls(default: Sequence[str] = ("accuracy", "loss")) -> CurveView:
    """Let the reader choose what the training curves show."""
    with st.container(horizontal=True, gap="medium"):
        metrics = linked.choices("Curves", curves.METRICS, key="curves", default=default)
        x = linked.choice("Against", {"epoch": "Epoch", "time": "Time"}, key="x")
        smoothing = linked.choice(
            "Smoothing", {"0": "Off", "0.5": "Some", "0.8": "Strong"}, key="smooth"
        )
        log_loss = linked.toggle("Logarithmic loss", key="log")
    return CurveView(metrics, "time" if x == "time" else "epoch", float(smoothing), log_loss)


def curve_of(run: Run, label: str, color: str) -> curves.Curve:
    """A run's log as a curve, with its checkpoint if it has one."""
    return curves.Curve(label, color, cached.log(run), facts.checkpoint(run))


def training_curves(
    runs: Sequence[Run],
    lines: Sequence[curves.Curve],
    view: CurveView,
    bands: Sequence[curves.Band] = (),
) -> None:
    """The curves, as many side by side as fit: of the runs, single ones as lines."""
    logs = [*(line.rows for line in lines), *(log for band in bands for log in band.seeds)]
    if not any(logs):
        st.info("No whole epoch has been logged yet.", icon=":material/hourglass_empty:")
        return
    if not view.metrics:
        st.info("Choose at least one curve above.", icon=":material/show_chart:")
        return
    with st.grid(min(len(view.metrics), 3), min_column_width=340, gap="medium"):
        for metric in view.metrics:
            figure = curves.training_curves(
                lines,
                metric,  # type: ignore[arg-type]
                view.x,
                view.smoothing,
                bands,
                log_loss=view.log_loss,
            )
            plot(figure, f"curve-{metric}", f"{curves.METRICS[metric]} over {view.x}")
    st.caption(
        "Solid: validation. Dotted: training, as trained on (augmented, weighted, with dropout). "
        "Diamond: the epoch whose weights were kept."
        + (
            " Band: from the lowest to the highest seed, around their mean, up to the last epoch "
            "that all of them have."
            if bands
            else ""
        )
        + (" With bands, everything is over epochs." if bands and view.x == "time" else "")
    )
    if "loss" in view.metrics and (added := facts.loss_adds(runs)):
        st.caption(
            f"The training loss is what was minimised, with {', '.join(added)}; the validation "
            "loss goes by the labels alone. The one does not compare with the other."
        )


def reliability(run: Run, judged: Judged | None, color: str, scaled: bool) -> None:
    """Accuracy against confidence on these samples; at the run's own temperature if `scaled`."""
    if not run.gives_probabilities:
        st.caption(f"No calibration: {facts.NO_PROBABILITIES}.")
        return
    if judged is None:
        st.caption("No predictions are stored for this evaluation, or they cannot be read.")
        return
    points = cached.reliability(judged, cached.temperature(run) if scaled else None)
    figure = charts.reliability_diagram(points, color, theme.MUTED[mode()])
    plot(figure, f"reliability-{run.id}", "Accuracy against confidence")
    if run.experiment and run.experiment.loss == "l2_svm":
        st.caption(
            "Trained with the SVM's loss: what stands for probabilities here is the softmax of its "
            "scores, whose order is right and whose size means nothing."
        )


def eta(run: Run, log: Sequence[LogRow]) -> str:
    """`epoch 12 of 60, 3 min left`, for a run that is training."""
    status = run.status
    if status is None:
        return ""
    parts = [f"epoch {status.epoch} of {status.epochs}"]
    if run.state == "starting":
        return f"starting: {parts[0]}"
    if status.steps and status.epoch < status.epochs:
        parts.append(f"step {status.step:,} of {status.steps:,}")
    left = facts.seconds_left(run, log)
    if left is not None:
        parts.append(f"about {formats.duration(left)} left")
    return f"{status.phase or run.state}: {', '.join(parts)}"
