"""The sections of the Compare page."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import (
    cached,
    charts,
    columns,
    curves,
    facts,
    formats,
    linked,
    pieces,
    tables,
    theme,
)
from dashboard.shared_images import Evaluations
from fercore.records import Layer, SplitResult
from fercore.runs import Run


@dataclass(frozen=True)
class Compared:
    """The runs side by side, their labels and colours by run id, and the split in view.

    Every figure of the view is one of `evaluations`, so that all are on the same images.
    """

    runs: Sequence[Run]
    labels: dict[str, str]
    colors: dict[str, str]
    split: str
    split_title: str
    evaluations: Evaluations

    @property
    def evaluated(self) -> list[tuple[Run, SplitResult]]:
        """The runs that have figures on the images in view."""
        results = self.evaluations.results
        return [(run, results[run.id]) for run in self.runs if run.id in results]

    @property
    def images(self) -> str:
        """What the images in view are; by run where the runs do not share them."""
        sets = self.evaluations.image_sets
        if len(sets) == 1:
            return sets[0].text
        return "; ".join(
            f"{', '.join(self.labels[run_id] for run_id in own.run_ids)}: {own.text}"
            for own in sets
        )

    @property
    def drawn(self) -> list[tuple[str, str, SplitResult]]:
        """Label, colour and figures of the runs that have them."""
        return [(self.labels[run.id], self.colors[run.id], r) for run, r in self.evaluated]


def compared(runs: Sequence[Run]) -> Compared:
    """Label and colour the runs, and let the reader choose the split."""
    titles = facts.split_titles(runs) or {"test": facts.SPLITS["test"]}
    split = linked.choice("Evaluated on", titles, key="split")
    ids = [run.id for run in runs]
    colors = theme.run_colors(ids, pieces.mode())
    evaluations = cached.evaluate_together(runs, split)
    return Compared(runs, cached.labels(runs), colors, split, titles[split], evaluations)


def caution_texts(view: Compared) -> list[str]:
    """What makes the figures of these runs not comparable, in plain words."""
    runs, found = view.runs, []
    if len({facts.is_synthetic(run) for run in runs}) > 1:
        found.append("Real and synthetic faces: these figures say nothing about each other.")
    configs = [run.config for run in runs if run.config]
    datasets = sorted({config.dataset for config in configs})
    if len(datasets) > 1:
        found.append(f"Different datasets ({', '.join(datasets)}): do not rank these figures.")
    elif not all(config.protocol.tests_like(configs[0].protocol) for config in configs):
        text = "The same dataset, divided in different ways: these are not the same test images."
        if len(view.evaluations.image_sets) == 1:
            text += " The figures are on the images that all of the runs were evaluated on."
        found.append(text)
    elif len({run.environment.dataset_fingerprint for run in runs if run.environment}) > 1:
        found.append("The same dataset by name, but not the same images: the fingerprints differ.")
    dropped = {facts.dropped_classes(run) for run, _ in view.evaluated}
    if len(dropped) > 1 and len(datasets) == 1 and view.split != "test_all":
        names = ", ".join(dict.fromkeys(name for names in dropped for name in names))
        found.append(
            f"Not all of these runs have the same classes: the figures are on the images without "
            f"{names}. Choose “"
            f"{facts.split_titles(runs).get('test_all', facts.SPLITS['test_all'])}” above to count "
            "every test image."
        )
    if faulty := [view.labels[run.id] for run in runs if facts.leaks(run)]:
        found.append(f"{', '.join(faulty)}: {facts.LEAKS[0].lower()}{facts.LEAKS[1:]}")
    found += [f"{view.labels[run.id]}: {warning}." for run in runs for warning in run.warnings]
    return found


def cautions(view: Compared) -> None:
    """Say what makes the figures of these runs not comparable."""
    for text in caution_texts(view):
        st.warning(formats.markdown(text), icon=":material/warning:")
    runs = view.runs
    missing = [view.labels[run.id] for run in runs if facts.result_of(run, view.split) is None]
    if missing and len(missing) < len(runs):
        st.caption(
            f"Without figures on {view.split_title}: {formats.markdown(', '.join(missing))}."
        )
    if left_out := [view.labels[run_id] for run_id in view.evaluations.left_out]:
        st.caption(
            f"Left out, for their predictions on these images are not stored: "
            f"{formats.markdown(', '.join(left_out))}."
        )


def say_images(view: Compared) -> None:
    """Name the images that every figure of the view is on."""
    if view.evaluated:
        st.caption(f"All figures of this view are on {formats.markdown(view.images)}.")


def headline(view: Compared) -> None:
    """The figures with their intervals, as a table and as a chart."""
    st.subheader(f"Figures on {view.split_title}", anchor=False)
    say_images(view)
    st.dataframe(
        tables.headline_table(view.runs, view.labels, view.colors, view.evaluations.results),
        hide_index=True,
        column_config=columns.figures(),
        placeholder=formats.DASH,
        alt="Figures of the compared runs",
    )
    if view.drawn:
        st.caption(f"Accuracy on {view.split_title} with its 95 % interval")
        pieces.plot(charts.accuracy_forest(view.drawn), "forest", "Accuracy with 95% intervals")


def training(view: Compared) -> None:
    """Training curves over each other; they grow while one of the runs trains."""
    if not any(run.experiment for run in view.runs):
        return
    st.subheader("Training", anchor=False)
    shown = pieces.curve_controls()
    groups = facts.by_recipe(view.runs)
    grouped = any(len(group) > 1 for group in groups) and linked.toggle(
        "Seeds as a band", key="bands", help="Seeds of one experiment as their mean and range."
    )
    if grouped:
        leaders = {
            first.id: f"{facts.title(first)} ({len(others) + 1} runs)"
            if others
            else view.labels[first.id]
            for first, *others in groups
        }
        pieces.legend(leaders, view.colors)
    else:
        pieces.legend(view.labels, view.colors)
    running = any(run.is_active for run in view.runs)
    known = [(run.id, run.state) for run in view.runs]

    @st.fragment(run_every=pieces.REFRESH_SECONDS if running else None)
    def drawn() -> None:
        now = {run.id: cached.find_run(run.id) or run for run in view.runs}
        if [(run_id, run.state) for run_id, run in now.items()] != known:
            st.rerun()
        lines, bands = [], []
        for group in groups if grouped else [[run] for run in view.runs]:
            first = now[group[0].id]
            if len(group) == 1:
                line = pieces.curve_of(first, view.labels[first.id], view.colors[first.id])
                lines.append(line)
                continue
            logs = [cached.log(now[run.id]) for run in group]
            bands.append(curves.Band(facts.title(first), view.colors[first.id], logs))
        pieces.training_curves(view.runs, lines, shown, bands)

    drawn()


def costs(view: Compared) -> None:
    """Accuracy against what a network costs: its size, and its time on a machine."""
    by_size, by_time = cost_points(view)
    if len(by_size) < 2 and len(by_time) < 2:
        return
    st.subheader("Accuracy against cost", anchor=False)
    pieces.legend({run.id: view.labels[run.id] for run, _ in view.evaluated}, view.colors)
    with st.grid(2, min_column_width=340, gap="medium"):
        if by_size:
            figure = charts.cost_scatter(by_size, "Parameters")
            pieces.plot(figure, "parameters", "Accuracy against parameters")
        if by_time:
            figure = charts.cost_scatter(by_time, "Milliseconds a face")
            pieces.plot(figure, "latency", "Accuracy against latency")
    machines = sorted({facts.latency(run).device for run, _ in view.evaluated if run.latency})
    unmeasured = [run.id for run, _ in view.evaluated if not run.latency and run.onnx_path]
    st.caption(
        "The dotted line joins the runs that no other beats on both."
        + (f" Time of one face on one core of {' and '.join(machines)}." if machines else "")
    )
    if unmeasured:
        st.caption("Not timed on any machine yet:")
        st.code(f"fercore bench inference {' '.join(unmeasured)}", language="bash", wrap_lines=True)


def cost_points(view: Compared) -> tuple[list[charts.Cost], list[charts.Cost]]:
    """The runs by parameters, and by milliseconds a face, where these are known."""
    by_size, by_time = [], []
    for run, result in view.evaluated:
        label, color = view.labels[run.id], view.colors[run.id]
        if run.results and run.results.parameters:
            by_size.append(charts.Cost(label, color, run.results.parameters, result))
        if run.latency:
            by_time.append(charts.Cost(label, color, facts.latency(run).face_ms, result))
    return by_size, by_time


def recalls(view: Compared) -> None:
    """Recall of each class, the runs beside each other."""
    st.subheader("Recall of each class", anchor=False)
    pieces.legend({run.id: view.labels[run.id] for run, _ in view.evaluated}, view.colors)
    pieces.plot(charts.recall_bars(view.drawn), "recall", "Recall by class with 95% intervals")


def networks(view: Compared, baseline: Run | None) -> None:
    """Parameters and layer tables side by side, or against those of the baseline."""
    st.subheader("Networks", anchor=False)
    layers = {run.id: cached.layers(run) for run in view.runs}
    st.dataframe(
        tables.network_table(view.runs, view.labels, view.colors, layers),
        hide_index=True,
        column_config=columns.figures(),
        placeholder=formats.DASH,
    )
    if not any(layers.values()):
        return
    opened = pieces.expander("Layer by layer", "layers", ":material/layers:", "layer_diff")
    if opened is None:
        return
    with opened:
        against = linked.toggle("Only what differs from the baseline", key="layer_diff")
        first = baseline or view.runs[0]
        with st.grid(2, min_column_width=340, gap="medium"):
            for run in view.runs:
                if not against or run.id != first.id:
                    with st.container(gap="xsmall"):
                        pieces.legend({run.id: view.labels[run.id]}, view.colors)
                        _layers(layers[run.id], layers[first.id] if against else None)


def _layers(own: Sequence[Layer], baseline: Sequence[Layer] | None) -> None:
    if not own:
        st.caption("no layer table")
        return
    if baseline is None:
        st.dataframe(tables.layer_table(own), hide_index=True, column_config=columns.layers())
        return
    table = tables.layer_differences(baseline, own)
    if table.empty:
        st.caption("The same layers.")
    else:
        st.dataframe(table, hide_index=True, column_config=columns.layers())


def differences(view: Compared) -> None:
    """What the configurations and machines have not in common."""
    st.subheader("What differs", anchor=False)
    everything = linked.toggle("Show equal fields too", key="equal")
    table = tables.differences_table(view.runs, view.labels, equal=everything)
    if table.empty:
        st.caption("Nothing: the same configuration, machine and commit.")
    else:
        st.dataframe(table, hide_index=True)
