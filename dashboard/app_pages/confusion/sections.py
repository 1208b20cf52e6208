"""The sections of the Confusion page."""

from collections.abc import Callable
from typing import get_args

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts import confusion_matrix
from dashboard.charts.theme import swatch
from dashboard.components import column_formats, face_grid, plot, reliability, url_widgets
from dashboard.components.compared_runs import Compared
from dashboard.components.face_grid import SampleCard
from dashboard.state import comparison_cache
from fercore.evaluation import paired_runs
from fercore.evaluation.paired_runs import Outcome, SamplePredictions
from fercore.runs.reader import Run

ANY = "any class"
_OUTCOMES: dict[str, str] = {"wrong": "Mistakes", "right": "Hits", "all": "All"}
_SPLITS: dict[str, str] = {
    "first": "Only the first is right",
    "second": "Only the second is right",
    "neither": "Neither is right",
}


def scale() -> confusion_matrix.Scale:
    """Whether cells are shares of the true class or counts, as the reader chooses."""
    cells = {"share": "% of true class", "counts": "Counts"}
    return (
        "counts"
        if url_widgets.segmented_control("Cells", cells, key="cells") == "counts"
        else "share"
    )


def matrices(view: Compared, shown: confusion_matrix.Scale) -> None:
    """One confusion matrix a run, all on one scale; a click on a cell opens its faces."""
    top = confusion_matrix.max_cell_value([result for _, result in view.evaluated], shown)
    whose, cell = _cell(view)
    with st.grid(min(4, max(2, len(view.evaluated))), min_column_width=300, gap="medium"):
        for run, result in view.evaluated:
            with st.container(gap="xsmall"):
                plot.legend({run.id: view.labels[run.id]}, view.colors)
                names = run.results.class_names if run.results else []
                framed = cell if run.id == whose else None
                figure = confusion_matrix.confusion(
                    result, names, plot.theme_mode(), shown, top, framed
                )
                plot.plot(
                    figure,
                    # Another key where another cell is framed: a click never finds it selected.
                    "-".join(("confusion", run.id, *(framed or ()))),
                    f"Confusion of {view.labels[run.id]}",
                    _opener(view, run.id),
                )
    with st.container(width=420, gap="xxsmall"):
        st.caption("Share of the true class" if shown == "share" else "Images")
        figure = confusion_matrix.color_scale(shown, top, plot.theme_mode())
        plot.plot(figure, "confusion-scale", "Colour scale")


def faces(view: Compared) -> None:
    """The faces of one cell, or of many, the most confident first."""
    st.subheader("The faces behind it", anchor="faces")
    judged_runs = {run.id: run for run, _ in view.evaluated}
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        whose = url_widgets.selectbox(
            "Run",
            {run_id: view.labels[run_id] for run_id in judged_runs},
            key="of",
            implied=True,
            width=280,
        )
        run = judged_runs[whose or next(iter(judged_runs))]
        names = run.results.class_names if run.results else []
        options = {"": ANY} | {name: name for name in names}
        true = url_widgets.selectbox("True class", options, key="true", implied=True, width=150)
        said = url_widgets.selectbox(
            "Predicted class", options, key="said", implied=True, width=150
        )
        outcome = url_widgets.segmented_control(
            "Show", _OUTCOMES, key="show", disabled=bool(true and said)
        )
    found = view.evaluations.samples.get(run.id)
    if found is None:
        st.caption("No predictions are stored for this evaluation, or they cannot be read.")
        return
    assert outcome in get_args(Outcome)
    places = paired_runs.select_samples(
        found,
        names.index(true) if true else None,
        names.index(said) if said else None,
        outcome,  # type: ignore[arg-type]
    )
    what = f"true {true or ANY}, predicted {said or ANY}"
    ranked = run.gives_probabilities
    order = "the most confident first" if ranked else "in the order of the dataset"
    kind = "" if true and said else f"{_OUTCOMES[outcome].lower()}, "
    st.caption(
        f"{formats.markdown(view.labels[run.id])}: {kind}{formats.markdown(what)}: "
        f"{len(places):,} of {len(found):,} images, {order}."
    )

    def face(number: int) -> SampleCard:
        place = places[number]
        predicted = (names[found.predicted[place]], float(found.confidence[place]))
        return SampleCard(
            str(found.ids[place]), names[found.labels[place]], {"predicted": predicted}
        )

    face_grid.show(run, len(places), face, key="faces")


def quality(view: Compared) -> None:
    """Calibration before and after temperature scaling, and how often the second guess is right."""
    st.subheader("Confidence", anchor=False)
    rows = []
    for run, result in view.evaluated:
        found = view.evaluations.samples.get(run.id)
        temperature = comparison_cache.temperature(run)
        after = (
            comparison_cache.calibration_error(found, temperature)
            if found and temperature
            else None
        )
        rows.append(
            {
                "Color": swatch(view.colors[run.id]),
                "Run": view.labels[run.id],
                "Accuracy": 100 * result.accuracy,
                "Top-2": None if result.top2 is None else 100 * result.top2,
                "ECE": None if result.ece is None else 100 * result.ece,
                "ECE after": None if after is None else 100 * after,
                "Temperature": run.results.temperature if run.results else None,
                "NLL": result.nll,
            }
        )
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config=column_formats.figures()
        | {
            "ECE after": column_formats.percent("ECE, scaled", "After temperature scaling."),
            "Temperature": st.column_config.NumberColumn(
                "Temperature", format="%.2f", help="Fitted on the validation split."
            ),
        },
        placeholder=formats.DASH,
    )
    if view.split == "test_unique" and not view.evaluations.samples:
        st.caption(
            f"No diagrams and no scaled ECE of this split: {run_properties.REPEATS_UNKNOWN}."
        )
        return
    scaled = url_widgets.toggle("After temperature scaling", key="scaled")
    with st.grid(min(4, max(2, len(view.evaluated))), min_column_width=300, gap="medium"):
        for run, _ in view.evaluated:
            with st.container(gap="xsmall"):
                plot.legend({run.id: view.labels[run.id]}, view.colors)
                samples = view.evaluations.samples.get(run.id)
                reliability.reliability_section(run, samples, view.colors[run.id], scaled)


def pair(view: Compared, shown: confusion_matrix.Scale) -> None:
    """Two of the runs: where they differ, how surely, and on which faces."""
    runs = {run.id: run for run, _ in view.evaluated}
    if len(runs) < 2:
        return
    st.subheader("One against another", anchor="pair")
    labels = {run_id: view.labels[run_id] for run_id in runs}
    reordered = {run_id: labels[run_id] for run_id in [*list(runs)[1:], next(iter(runs))]}
    with st.container(horizontal=True, gap="medium"):
        a = url_widgets.selectbox("First", labels, key="a", implied=True, width=280) or ""
        b = url_widgets.selectbox("Second", reordered, key="b", implied=True, width=280) or ""
    if a == b:
        st.info("Choose two different runs.", icon=":material/compare_arrows:")
        return
    first, second = runs[a], runs[b]
    names = first.results.class_names if first.results else []
    results = [view.evaluations.results[run.id] for run in (first, second)]
    if not _same_classes(first, second):
        st.caption("They know different classes: nothing can be paired.")
        return
    difference_column, faces_column = st.columns([2, 3], gap="medium")
    with difference_column:
        st.markdown("**Second less first**")
        figure = confusion_matrix.difference(
            results[1], results[0], names, plot.theme_mode(), shown
        )
        plot.plot(figure, f"difference-{a}-{b}", "Difference of the two matrices", _opener(view, b))
        unit = "points of the true class" if shown == "share" else "images"
        st.caption(f"In {unit}. On the diagonal more is better, elsewhere worse.")
    with faces_column:
        _disagreement(view, first, second, names)


def _disagreement(view: Compared, first: Run, second: Run, names: list[str]) -> None:
    found = view.evaluations.pair(first.id, second.id)
    shared = paired_runs.pair_samples(*found) if found else None
    if found is None or shared is None:
        st.caption("They have no image in common that predictions are stored of.")
        return
    one, other = found
    test = shared.test()
    first_right, second_right = (said == shared.labels for said in (shared.first, shared.second))
    groups = {
        "first": first_right & ~second_right,
        "second": second_right & ~first_right,
        "neither": ~first_right & ~second_right,
    }
    told = "" if test.p < paired_runs.ALPHA else ", which does not tell them apart"
    if len(view.evaluated) > 2:
        told += " (one test; not corrected for the other pairs)"
    st.markdown(
        f"On {len(shared.labels):,} images: only the first is right on **{test.only_a:,}**, only "
        f"the second on **{test.only_b:,}**; McNemar's p = **{test.p:.3g}**{told}."
    )
    titles = {key: f"{title} ({groups[key].sum():,})" for key, title in _SPLITS.items()}
    group = url_widgets.segmented_control("Faces", titles, key="split_by")
    places = groups[group].nonzero()[0]
    by = one if group == "first" else other
    rows = (shared.places if group == "first" else shared.others)[places]
    ordered = places[(-by.confidence[rows]).argsort(kind="stable")]

    def face(number: int) -> SampleCard:
        place = ordered[number]
        first_place, second_place = int(shared.places[place]), int(shared.others[place])
        said = {
            "first": _said(one, first_place, names),
            "second": _said(other, second_place, names),
        }
        return SampleCard(str(one.ids[first_place]), names[shared.labels[place]], said)

    face_grid.show(first, len(ordered), face, key="pair_faces")


def _said(found: SamplePredictions, place: int, names: list[str]) -> tuple[str, float]:
    return names[found.predicted[place]], float(found.confidence[place])


def _cell(view: Compared) -> tuple[str, confusion_matrix.Cell | None]:
    """Whose cell is open, and which, as the address has it."""
    ids = [run.id for run, _ in view.evaluated]
    whose = url_widgets.query_value("of")
    cell = (url_widgets.query_value("true"), url_widgets.query_value("said"))
    return whose if whose in ids else (ids or [""])[0], cell if all(cell) else None


def _opener(view: Compared, run_id: str) -> Callable[[list[str]], None]:
    # The first run is what the address implies.
    whose = "" if run_id == view.evaluated[0][0].id else run_id

    def open_cell(cell: list[str]) -> None:
        url_widgets.set_values({"of": whose, "true": cell[0], "said": cell[1], "faces": ""})

    return open_cell


def _same_classes(first: Run, second: Run) -> bool:
    return bool(
        first.results and second.results and first.results.class_names == second.results.class_names
    )
