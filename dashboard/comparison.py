"""The sections of the Compare page."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import cached, charts, columns, facts, formats, linked, pieces, tables, theme
from fercore.records import SplitResult
from fercore.runs import Run


@dataclass(frozen=True)
class Compared:
    """The runs side by side, their labels and colours by run id, and the split in view."""

    runs: Sequence[Run]
    labels: dict[str, str]
    colors: dict[str, str]
    split: str
    split_title: str

    @property
    def evaluated(self) -> list[tuple[Run, SplitResult]]:
        """The runs that have figures on the split."""
        return [(run, r) for run in self.runs if (r := facts.result_of(run, self.split))]

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
    return Compared(runs, facts.labels(runs), colors, split, titles[split])


def cautions(view: Compared) -> None:
    """What makes the figures of these runs not comparable, in plain words."""
    runs = view.runs
    if len({facts.is_synthetic(run) for run in runs}) > 1:
        _caution("Real and synthetic faces: these figures say nothing about each other.")
    datasets = sorted({run.config.dataset for run in runs if run.config})
    if len(datasets) > 1:
        _caution(f"Different datasets ({', '.join(datasets)}): do not rank these figures.")
    elif len({str(run.config.protocol) for run in runs if run.config}) > 1:
        _caution("The same dataset, divided in different ways: these are not the same test images.")
    elif len({run.environment.dataset_fingerprint for run in runs if run.environment}) > 1:
        _caution("The same dataset by name, but not the same images: the fingerprints differ.")
    scored = {facts.scored_classes(run, view.split) for run, _ in view.evaluated}
    if len(scored) > 1 and len(datasets) == 1:
        sizes = " and ".join(str(size) for size in sorted({len(names) for names in scored}))
        _caution(
            f"These runs are scored on different numbers of classes here ({sizes}): choose "
            f"“{facts.split_titles(runs).get('test_all', facts.SPLITS['test_all'])}” above, "
            "which counts every test image."
        )
    faulty = [view.labels[run.id] for run in runs if run.config and not facts.is_honest(run)]
    if faulty:
        _caution(
            f"Under a published protocol that lets tested images into the training: "
            f"{formats.markdown(', '.join(faulty))}."
        )
    missing = [view.labels[run.id] for run in runs if facts.result_of(run, view.split) is None]
    if missing and len(missing) < len(runs):
        st.caption(
            f"Without figures on {view.split_title}: {formats.markdown(', '.join(missing))}."
        )


def headline(view: Compared) -> None:
    """The figures with their intervals, as a table and as a chart."""
    st.subheader(f"Figures on {view.split_title}", anchor=False)
    st.dataframe(
        tables.headline_table(view.runs, view.labels, view.colors, view.split),
        hide_index=True,
        column_config=columns.figures(),
        placeholder=formats.DASH,
        alt="Figures of the compared runs",
    )
    if view.drawn:
        st.caption(f"Accuracy on {view.split_title} with its 95 % interval")
        pieces.plot(charts.accuracy_forest(view.drawn), "forest", "Accuracy with 95% intervals")


def curves(view: Compared) -> None:
    """Training curves over each other; they grow while one of the runs trains."""
    st.subheader("Training", anchor=False)
    metrics, x, smoothing = pieces.curve_controls()
    pieces.legend(view.labels, view.colors)
    running = any(run.state == "running" for run in view.runs)
    known = [(run.id, run.state) for run in view.runs]

    @st.fragment(run_every=pieces.REFRESH_SECONDS if running else None)
    def drawn() -> None:
        now = [cached.find_run(run.id) or run for run in view.runs]
        if [(run.id, run.state) for run in now] != known:
            st.rerun()
        lines = [pieces.curve_of(run, view.labels[run.id], view.colors[run.id]) for run in now]
        pieces.training_curves(lines, metrics, x, smoothing)

    drawn()


def confusions(view: Compared) -> None:
    """One confusion matrix a run, all on one scale."""
    st.subheader("Confusion", anchor=False)
    scale: charts.Scale = (
        "counts"
        if linked.choice("Cells", {"share": "% of true class", "counts": "Counts"}, key="cells")
        == "counts"
        else "share"
    )
    top = charts.confusion_top([result for _, result in view.evaluated], scale)
    with st.grid(min(4, max(2, len(view.evaluated))), min_column_width=260, gap="medium"):
        for run, result in view.evaluated:
            with st.container(gap="xsmall"):
                pieces.legend({run.id: view.labels[run.id]}, view.colors)
                names = run.results.class_names if run.results else []
                figure = charts.confusion(result, names, pieces.mode(), scale, top)
                pieces.plot(figure, f"confusion-{run.id}", f"Confusion of {view.labels[run.id]}")
    with st.container(width=420, gap="xxsmall"):
        st.caption("Share of the true class" if scale == "share" else "Images")
        pieces.plot(
            charts.color_scale(scale, top, pieces.mode()), "confusion-scale", "Colour scale"
        )


def recalls(view: Compared) -> None:
    """Recall of each class, the runs beside each other."""
    st.subheader("Recall of each class", anchor=False)
    pieces.legend({run.id: view.labels[run.id] for run, _ in view.evaluated}, view.colors)
    pieces.plot(charts.recall_bars(view.drawn), "recall", "Recall by class with 95% intervals")


def networks(view: Compared) -> None:
    """Parameters and layer tables side by side."""
    st.subheader("Networks", anchor=False)
    layers = {run.id: cached.layers(run) for run in view.runs}
    st.dataframe(
        tables.network_table(view.runs, view.labels, view.colors, layers),
        hide_index=True,
        column_config=columns.figures(),
        placeholder=formats.DASH,
    )
    with (
        st.expander("Layer tables", icon=":material/layers:"),
        st.grid(2, min_column_width=340, gap="medium"),
    ):
        for run in view.runs:
            with st.container(gap="xsmall"):
                pieces.legend({run.id: view.labels[run.id]}, view.colors)
                if layers[run.id]:
                    table = tables.layer_table(layers[run.id])
                    st.dataframe(table, hide_index=True, column_config=columns.layers())
                else:
                    st.caption("no layer table")


def differences(view: Compared) -> None:
    """What the configurations and machines have not in common."""
    st.subheader("What differs", anchor=False)
    everything = linked.toggle("Show equal fields too", key="equal")
    table = tables.differences_table(view.runs, view.labels, equal=everything)
    if table.empty:
        st.caption("Nothing: the same configuration, machine and commit.")
    else:
        st.dataframe(table, hide_index=True)


def _caution(text: str) -> None:
    st.warning(text, icon=":material/warning:")
