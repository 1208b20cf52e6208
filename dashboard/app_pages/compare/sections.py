"""The sections of the Compare page."""

from collections.abc import Sequence

import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts import accuracy_charts, class_charts, curve_charts
from dashboard.components import (
    column_formats,
    compared_runs,
    expander,
    plot,
    training_curves,
    url_widgets,
)
from dashboard.components.compared_runs import Compared, say_images
from dashboard.state import run_cache
from dashboard.tables import compare_tables, run_tables
from fercore.runs.reader import Run
from fercore.runs.schema import LayerSummary


def headline(view: Compared) -> None:
    """The figures with their intervals, as a table and as a chart."""
    st.subheader(f"Figures on {view.split_title}", anchor=False)
    say_images(view)
    st.dataframe(
        compare_tables.headline_table(
            view.runs, view.labels, view.colors, view.evaluations.results
        ),
        hide_index=True,
        column_config=column_formats.figures(),
        placeholder=formats.DASH,
        alt="Figures of the compared runs",
    )
    if view.drawn:
        st.caption(f"Accuracy on {view.split_title} with its 95 % interval")
        plot.plot(
            accuracy_charts.accuracy_forest(view.drawn), "forest", "Accuracy with 95% intervals"
        )


def training(view: Compared) -> None:
    """Training curves over each other; they grow while one of the runs trains."""
    if not any(run.experiment for run in view.runs):
        return
    st.subheader("Training", anchor=False)
    shown = training_curves.curve_controls()
    groups = run_properties.group_by_experiment(view.runs)
    grouped = any(len(group) > 1 for group in groups) and url_widgets.toggle(
        "Seeds as a band", key="bands", help="Seeds of one experiment as their mean and range."
    )
    if grouped:
        leaders = {
            first.id: f"{run_properties.title(first)} ({len(others) + 1} runs)"
            if others
            else view.labels[first.id]
            for first, *others in groups
        }
        plot.legend(leaders, view.colors)
    else:
        plot.legend(view.labels, view.colors)
    running = any(run.is_active for run in view.runs)
    known = [(run.id, run.state) for run in view.runs]

    @st.fragment(run_every=training_curves.REFRESH_SECONDS if running else None)
    def drawn() -> None:
        now = {run.id: run_cache.find_run(run.id) or run for run in view.runs}
        if [(run_id, run.state) for run_id, run in now.items()] != known:
            st.rerun()
        lines, bands = [], []
        for group in groups if grouped else [[run] for run in view.runs]:
            first = now[group[0].id]
            if len(group) == 1:
                line = training_curves.curve_of(first, view.labels[first.id], view.colors[first.id])
                lines.append(line)
                continue
            logs = [run_cache.log(now[run.id]) for run in group]
            bands.append(
                curve_charts.Band(run_properties.title(first), view.colors[first.id], logs)
            )
        training_curves.training_curves(view.runs, lines, shown, bands)

    drawn()


def costs(view: Compared) -> None:
    """Accuracy against what a network costs: its size, and its time on a machine."""
    by_size, by_time = compared_runs.cost_points(view)
    if len(by_size) < 2 and len(by_time) < 2:
        return
    st.subheader("Accuracy against cost", anchor=False)
    plot.legend({run.id: view.labels[run.id] for run, _ in view.evaluated}, view.colors)
    with st.grid(2, min_column_width=340, gap="medium"):
        if by_size:
            figure = accuracy_charts.cost_scatter(by_size, "Parameters")
            plot.plot(figure, "parameters", "Accuracy against parameters")
        if by_time:
            figure = accuracy_charts.cost_scatter(by_time, "Milliseconds a face")
            plot.plot(figure, "latency", "Accuracy against latency")
    machines = sorted(
        {run_properties.latency(run).device for run, _ in view.evaluated if run.latency}
    )
    unmeasured = [run.id for run, _ in view.evaluated if not run.latency and run.onnx_path]
    st.caption(
        "The dotted line joins the runs that no other beats on both."
        + (f" Time of one face on one core of {' and '.join(machines)}." if machines else "")
    )
    if unmeasured:
        st.caption("Not timed on any machine yet:")
        st.code(f"fercore bench inference {' '.join(unmeasured)}", language="bash", wrap_lines=True)


def recalls(view: Compared) -> None:
    """Recall of each class, the runs beside each other."""
    st.subheader("Recall of each class", anchor=False)
    plot.legend({run.id: view.labels[run.id] for run, _ in view.evaluated}, view.colors)
    plot.plot(class_charts.recall_bars(view.drawn), "recall", "Recall by class with 95% intervals")


def networks(view: Compared, baseline: Run | None) -> None:
    """Parameters and layer tables side by side, or against those of the baseline."""
    st.subheader("Networks", anchor=False)
    layers = {run.id: run_cache.layers(run) for run in view.runs}
    st.dataframe(
        compare_tables.network_table(view.runs, view.labels, view.colors, layers),
        hide_index=True,
        column_config=column_formats.figures(),
        placeholder=formats.DASH,
    )
    if not any(layers.values()):
        return
    opened = expander.expander("Layer by layer", "layers", ":material/layers:", "layer_diff")
    if opened is None:
        return
    with opened:
        against = url_widgets.toggle("Only what differs from the baseline", key="layer_diff")
        first = baseline or view.runs[0]
        with st.grid(2, min_column_width=340, gap="medium"):
            for run in view.runs:
                if not against or run.id != first.id:
                    with st.container(gap="xsmall"):
                        plot.legend({run.id: view.labels[run.id]}, view.colors)
                        _layers(layers[run.id], layers[first.id] if against else None)


def _layers(own: Sequence[LayerSummary], baseline: Sequence[LayerSummary] | None) -> None:
    if not own:
        st.caption("no layer table")
        return
    if baseline is None:
        st.dataframe(
            run_tables.layer_table(own), hide_index=True, column_config=column_formats.layers()
        )
        return
    table = compare_tables.layer_differences(baseline, own)
    if table.empty:
        st.caption("The same layers.")
    else:
        st.dataframe(table, hide_index=True, column_config=column_formats.layers())


def differences(view: Compared) -> None:
    """What the configurations and machines have not in common."""
    st.subheader("What differs", anchor=False)
    everything = url_widgets.toggle("Show equal fields too", key="equal")
    table = compare_tables.differences_table(view.runs, view.labels, equal=everything)
    if table.empty:
        st.caption("Nothing: the same configuration, machine and commit.")
    else:
        st.dataframe(table, hide_index=True)
