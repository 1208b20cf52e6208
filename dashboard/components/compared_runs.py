"""The compared runs of Compare and Confusion, evaluated on the images that they share."""

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

# The split selected last, for the pages that share the selection.
_SPLIT = "selected split"


@dataclass(frozen=True)
class Compared:
    """Compared runs, how to show them, and their results.

    Attributes:
        runs: in the order of the selection.
        labels: by run id.
        colors: by run id.
        split: as in `fercore.runs.schema.Results.splits`.
        split_title: for people.
        evaluations: the results. All results of a page come from here, so that they are on the same
            images.
    """

    runs: Sequence[Run]
    labels: dict[str, str]
    colors: dict[str, str]
    split: str
    split_title: str
    evaluations: Evaluations

    @property
    def evaluated(self) -> list[tuple[Run, SplitResult]]:
        """The runs that have results on the split, with these results."""
        results = self.evaluations.results
        return [(run, results[run.id]) for run in self.runs if run.id in results]

    @property
    def images(self) -> str:
        """A description of the images; by run where the runs do not share them."""
        sets = self.evaluations.image_sets
        if len(sets) == 1:
            return run_properties.display_title(sets[0].text)
        texts = (
            f"{', '.join(self.labels[run_id] for run_id in images.run_ids)}: {images.text}"
            for images in sets
        )
        return run_properties.display_title("; ".join(texts))

    @property
    def charted(self) -> list[tuple[Run, SplitResult]]:
        """The first evaluated runs, as many as charts have colours for."""
        drawn = {run.id for run in self.runs[: theme.MAX_DRAWN]}
        return [(run, result) for run, result in self.evaluated if run.id in drawn]

    @property
    def drawn(self) -> list[tuple[str, str, SplitResult]]:
        """Label, colour and result of each of these runs."""
        return [(self.labels[run.id], self.colors[run.id], r) for run, r in self.charted]

    @property
    def file_stem(self) -> str:
        """The runs and the split, for the names of files."""
        return f"{formats.names([self.labels[run.id] for run in self.runs])}-{self.split}"


def compare(runs: Sequence[Run]) -> Compared:
    """Draw the selection of the split, and evaluate the runs on it."""
    titles = run_properties.split_titles(runs) or {"test": run_properties.SPLITS["test"]}
    remembered = st.session_state.get(_SPLIT, "")
    split = url_widgets.segmented_control("Split", titles, key="split", remembered=remembered)
    st.session_state[_SPLIT] = split
    ids = [run.id for run in runs]
    colors = theme.compared_colors(ids, plot.theme_mode())
    evaluations = comparison_cache.evaluate_together(runs, split)
    return Compared(runs, run_cache.labels(runs), colors, split, titles[split], evaluations)


def caution_texts(view: Compared) -> list[str]:
    """Return sentences on why the results of these runs are not comparable."""
    runs, texts = view.runs, []
    if len({run_properties.is_synthetic(run) for run in runs}) > 1:
        texts.append("Real and synthetic faces: these results are not comparable.")
    configs = [run.config for run in runs if run.config]
    datasets = sorted({config.dataset for config in configs})
    if len(datasets) > 1:
        texts.append(
            f"Different datasets ({', '.join(datasets)}): these results are not comparable."
        )
    elif not all(config.protocol.has_same_test_set(configs[0].protocol) for config in configs):
        text = "The same dataset with different splits: these are not the same test images."
        if len(view.evaluations.image_sets) == 1:
            text += " The results are on the images that all of the runs were evaluated on."
        texts.append(text)
    elif len({run.environment.dataset_fingerprint for run in runs if run.environment}) > 1:
        texts.append("Different versions of the dataset: the fingerprints differ.")
    dropped = {run_properties.dropped_classes(run) for run, _ in view.evaluated}
    if len(dropped) > 1 and len(datasets) == 1 and view.split != "test_all":
        names = ", ".join(dict.fromkeys(name for names in dropped for name in names))
        titles = run_properties.SPLITS | run_properties.split_titles(runs)
        texts.append(
            "These runs have different classes: the results are on the images without "
            f"{names}. Select “{titles['test_all']}” above to count every test image."
        )
    if leaking := [view.labels[run.id] for run in runs if run_properties.leaks(run)]:
        texts.append(
            f"{', '.join(leaking)}: {run_properties.LEAKS[0].lower()}{run_properties.LEAKS[1:]}"
        )
    texts += [f"{view.labels[run.id]}: {warning}." for run in runs for warning in run.warnings]
    return texts


def cautions(view: Compared) -> None:
    """Draw warnings on why the results of these runs are not comparable."""
    for text in caution_texts(view):
        st.warning(formats.markdown(text), icon=":material/warning:")
    runs = view.runs
    if len(runs) > theme.MAX_DRAWN:
        st.caption(
            f"Tables show all {len(runs)} runs, charts the first {theme.MAX_DRAWN}; the runs after "
            "these are grey."
        )
    missing = [
        view.labels[run.id] for run in runs if run_properties.result_of(run, view.split) is None
    ]
    if missing and len(missing) < len(runs):
        st.caption(f"No results on {view.split_title}: {formats.markdown(', '.join(missing))}.")
    if left_out := [view.labels[run_id] for run_id in view.evaluations.left_out]:
        st.caption(
            f"Left out because their predictions on these images are not stored: "
            f"{formats.markdown(', '.join(left_out))}."
        )


def images_caption(view: Compared) -> None:
    """Draw a caption that describes the images behind all results of the page."""
    if view.evaluated:
        st.caption(f"All results on this page are on {formats.markdown(view.images)}.")


def cost_points(view: Compared) -> dict[str, list[accuracy_charts.CostPoint]]:
    """Return the runs by each cost of a prediction, where it is known: by the title of its axis."""
    points: dict[str, list[accuracy_charts.CostPoint]] = {}
    for run, result in view.charted:
        costs = {
            "Parameters": run.results.parameters if run.results else None,
            "Multiply-accumulate operations per image": run_cache.macs(run),
            "Latency (ms per image)": run_properties.latency(run).face_ms if run.latency else None,
        }
        for title, value in costs.items():
            if value:
                point = accuracy_charts.CostPoint(
                    view.labels[run.id], view.colors[run.id], value, result
                )
                points.setdefault(title, []).append(point)
    return points
