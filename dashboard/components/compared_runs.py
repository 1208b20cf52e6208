"""The runs of one view of Compare or Confusion, on the images that they share."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts import accuracy_charts, theme
from dashboard.components import plot, url_widgets
from dashboard.state import comparison_cache, run_cache
from fercore.evaluation.shared_images import Evaluations
from fercore.runs.reader import Run
from fercore.runs.schema import SplitResult


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
    titles = run_properties.split_titles(runs) or {"test": run_properties.SPLITS["test"]}
    split = url_widgets.segmented_control("Evaluated on", titles, key="split")
    ids = [run.id for run in runs]
    colors = theme.run_colors(ids, plot.theme_mode())
    evaluations = comparison_cache.evaluate_together(runs, split)
    return Compared(runs, run_cache.labels(runs), colors, split, titles[split], evaluations)


def caution_texts(view: Compared) -> list[str]:
    """What makes the figures of these runs not comparable, in plain words."""
    runs, found = view.runs, []
    if len({run_properties.is_synthetic(run) for run in runs}) > 1:
        found.append("Real and synthetic faces: these figures say nothing about each other.")
    configs = [run.config for run in runs if run.config]
    datasets = sorted({config.dataset for config in configs})
    if len(datasets) > 1:
        found.append(f"Different datasets ({', '.join(datasets)}): do not rank these figures.")
    elif not all(config.protocol.has_same_test_set(configs[0].protocol) for config in configs):
        text = "The same dataset, divided in different ways: these are not the same test images."
        if len(view.evaluations.image_sets) == 1:
            text += " The figures are on the images that all of the runs were evaluated on."
        found.append(text)
    elif len({run.environment.dataset_fingerprint for run in runs if run.environment}) > 1:
        found.append("The same dataset by name, but not the same images: the fingerprints differ.")
    dropped = {run_properties.dropped_classes(run) for run, _ in view.evaluated}
    if len(dropped) > 1 and len(datasets) == 1 and view.split != "test_all":
        names = ", ".join(dict.fromkeys(name for names in dropped for name in names))
        titles = run_properties.SPLITS | run_properties.split_titles(runs)
        found.append(
            "Not all of these runs have the same classes: the figures are on the images without "
            f"{names}. Choose “{titles['test_all']}” above to count every test image."
        )
    if faulty := [view.labels[run.id] for run in runs if run_properties.leaks(run)]:
        found.append(
            f"{', '.join(faulty)}: {run_properties.LEAKS[0].lower()}{run_properties.LEAKS[1:]}"
        )
    found += [f"{view.labels[run.id]}: {warning}." for run in runs for warning in run.warnings]
    return found


def cautions(view: Compared) -> None:
    """Say what makes the figures of these runs not comparable."""
    for text in caution_texts(view):
        st.warning(formats.markdown(text), icon=":material/warning:")
    runs = view.runs
    missing = [
        view.labels[run.id] for run in runs if run_properties.result_of(run, view.split) is None
    ]
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


def cost_points(
    view: Compared,
) -> tuple[list[accuracy_charts.CostPoint], list[accuracy_charts.CostPoint]]:
    """The runs by parameters, and by milliseconds a face, where these are known."""
    by_size, by_time = [], []
    for run, result in view.evaluated:
        label, color = view.labels[run.id], view.colors[run.id]
        if run.results and run.results.parameters:
            by_size.append(accuracy_charts.CostPoint(label, color, run.results.parameters, result))
        if run.latency:
            by_time.append(
                accuracy_charts.CostPoint(label, color, run_properties.latency(run).face_ms, result)
            )
    return by_size, by_time
