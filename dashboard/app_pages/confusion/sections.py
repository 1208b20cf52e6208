"""The sections of the Confusion matrix page."""

from collections.abc import Callable
from typing import cast, get_args

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
_OUTCOMES: dict[str, str] = {"wrong": "Errors", "right": "Correct", "all": "All"}
_AGREEMENT: dict[str, str] = {
    "first": "Only run A correct",
    "second": "Only run B correct",
    "neither": "Both wrong",
}


def matrices(view: Compared, scale: confusion_matrix.Scale) -> None:
    """Draw a confusion matrix for each run on one scale; a click on a cell selects its samples."""
    top = confusion_matrix.max_cell_value([result for _, result in view.charted], scale)
    run_with_cell, cell = _selected_cell(view)
    with st.grid(min(4, max(2, len(view.charted))), min_column_width=300, gap="medium"):
        for run, result in view.charted:
            with st.container(gap="xsmall"):
                plot.legend({run.id: view.labels[run.id]}, view.colors)
                names = run.results.class_names if run.results else []
                framed = cell if run.id == run_with_cell else None
                figure = confusion_matrix.confusion(
                    result, names, plot.theme_mode(), scale, top, framed
                )
                plot.plot(
                    figure,
                    # The key contains the framed cell, so that a second click on it has an effect.
                    "-".join(("confusion", run.id, *(framed or ()))),
                    f"Confusion matrix of {view.labels[run.id]}",
                    _cell_selector(view, run.id),
                    file_name=f"confusion-{scale}-{view.labels[run.id]}-{view.split}",
                )
    with st.container(width=420, gap="xxsmall"):
        st.caption(confusion_matrix.UNITS[scale])
        figure = confusion_matrix.color_scale(scale, top, plot.theme_mode())
        plot.plot(figure, "confusion-scale", "Colour scale of the matrices")


def samples(view: Compared) -> None:
    """Draw the faces of one or many cells of a run, the most confident first."""
    st.subheader("Samples", anchor="faces")
    run, true, predicted, outcome = _select_samples(view)
    names = run.results.class_names if run.results else []
    predictions = view.evaluations.samples.get(run.id)
    if predictions is None:
        st.caption("The predictions of this evaluation are not stored, or cannot be read.")
        return
    places = paired_runs.select_samples(
        predictions,
        names.index(true) if true else None,
        names.index(predicted) if predicted else None,
        outcome,
    )
    cell = f"true {true or ANY}, predicted {predicted or ANY}"
    order = "most confident first" if run.gives_probabilities else "in the order of the dataset"
    kind = "" if true and predicted else f"{_OUTCOMES[outcome].lower()}, "
    st.caption(
        f"{formats.markdown(view.labels[run.id])}: {kind}{formats.markdown(cell)}: "
        f"{len(places):,} of {len(predictions):,} images, {order}."
    )

    def card(number: int) -> SampleCard:
        place = places[number]
        return SampleCard(
            str(predictions.ids[place]),
            names[predictions.labels[place]],
            {"predicted": _prediction(predictions, place, names)},
        )

    face_grid.show(run, len(places), card, key="faces")


def _select_samples(view: Compared) -> tuple[Run, str, str, Outcome]:
    """Draw the selection of a run, a true and a predicted class (empty for any) and an outcome."""
    runs = {run.id: run for run, _ in view.evaluated}
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        run_id = url_widgets.selectbox(
            "Run",
            {run_id: view.labels[run_id] for run_id in runs},
            key="of",
            implied=True,
            width=280,
        )
        run = runs[run_id or next(iter(runs))]
        names = run.results.class_names if run.results else []
        options = {"": ANY} | {name: name for name in names}
        true = url_widgets.selectbox("True class", options, key="true", implied=True, width=150)
        predicted = url_widgets.selectbox(
            "Predicted class", options, key="said", implied=True, width=150
        )
        outcome = url_widgets.segmented_control(
            "Show", _OUTCOMES, key="show", disabled=bool(true and predicted)
        )
    assert outcome in get_args(Outcome)
    return run, true or "", predicted or "", cast(Outcome, outcome)


def calibration(view: Compared) -> None:
    """Draw top-2 accuracy, calibration error before and after scaling, reliability diagrams."""
    st.subheader("Calibration", anchor=False)
    rows = []
    for run, result in view.evaluated:
        predictions = view.evaluations.samples.get(run.id)
        temperature = comparison_cache.temperature(run)
        after = (
            comparison_cache.calibration_error(predictions, temperature)
            if predictions and temperature
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
        column_config=column_formats.metrics()
        | {
            "ECE after": column_formats.percent("ECE (scaled)", "After temperature scaling."),
            "Temperature": st.column_config.NumberColumn(
                "Temperature", format="%.2f", help="Fitted on the validation split."
            ),
        },
        placeholder=formats.DASH,
        alt="Calibration of the runs",
    )
    if view.split == "test_unique" and not view.evaluations.samples:
        st.caption(
            f"No diagrams and no scaled ECE on this split: {run_properties.DUPLICATES_UNKNOWN}."
        )
        return
    scaled = url_widgets.toggle("After temperature scaling", key="scaled")
    with st.grid(min(4, max(2, len(view.charted))), min_column_width=300, gap="medium"):
        for run, _ in view.charted:
            with st.container(gap="xsmall"):
                plot.legend({run.id: view.labels[run.id]}, view.colors)
                samples = view.evaluations.samples.get(run.id)
                reliability.reliability_section(run, samples, view.colors[run.id], scaled)


def pair(view: Compared, scale: confusion_matrix.Scale) -> None:
    """Draw the comparison of two runs: difference of matrices, paired test, discordant samples."""
    runs = {run.id: run for run, _ in view.evaluated}
    if len(runs) < 2:
        return
    st.subheader("Pairwise comparison", anchor="pair")
    labels = {run_id: view.labels[run_id] for run_id in runs}
    reordered = {run_id: labels[run_id] for run_id in [*list(runs)[1:], next(iter(runs))]}
    with st.container(horizontal=True, gap="medium"):
        a = url_widgets.selectbox("Run A", labels, key="a", implied=True, width=280) or ""
        b = url_widgets.selectbox("Run B", reordered, key="b", implied=True, width=280) or ""
    if a == b:
        st.info("Select two different runs.", icon=":material/compare_arrows:")
        return
    first, second = runs[a], runs[b]
    names = first.results.class_names if first.results else []
    results = [view.evaluations.results[run.id] for run in (first, second)]
    if not _same_classes(first, second):
        st.caption("The runs have different classes and cannot be compared.")
        return
    difference_column, faces_column = st.columns([2, 3], gap="medium")
    with difference_column:
        st.markdown("**Difference (B − A)**")
        figure = confusion_matrix.difference(
            results[1], results[0], names, plot.theme_mode(), scale
        )
        plot.plot(
            figure,
            f"difference-{a}-{b}",
            f"Confusion matrix of {labels[b]} minus that of {labels[a]}",
            _cell_selector(view, b),
            file_name=f"confusion-difference-{labels[b]}-minus-{labels[a]}-{view.split}",
        )
        unit = confusion_matrix.UNITS[scale].replace("Percent", "percentage points").lower()
        st.caption(f"In {unit}. Higher is better on the diagonal, lower is better elsewhere.")
    with faces_column:
        _disagreement(view, first, second, names)


def _disagreement(view: Compared, first: Run, second: Run, names: list[str]) -> None:
    samples = view.evaluations.pair(first.id, second.id)
    shared = paired_runs.pair_samples(*samples) if samples else None
    if samples is None or shared is None:
        st.caption("The runs have no shared test images with stored predictions.")
        return
    samples_a, samples_b = samples
    test = shared.test()
    a_correct, b_correct = (each == shared.labels for each in (shared.first, shared.second))
    groups = {
        "first": a_correct & ~b_correct,
        "second": b_correct & ~a_correct,
        "neither": ~a_correct & ~b_correct,
    }
    note = "" if test.p < paired_runs.ALPHA else ", not significant"
    if len(view.evaluated) > 2:
        note += " (one test, not corrected for the other pairs)"
    st.markdown(
        f"On {len(shared.labels):,} images: only run A is correct on **{test.only_a:,}**, only "
        f"run B on **{test.only_b:,}**; McNemar's p = **{test.p:.3g}**{note}."
    )
    titles = {key: f"{title} ({groups[key].sum():,})" for key, title in _AGREEMENT.items()}
    group = url_widgets.segmented_control("Samples", titles, key="split_by")
    places = groups[group].nonzero()[0]
    ranked_by = samples_a if group == "first" else samples_b
    rows = (shared.places if group == "first" else shared.others)[places]
    ordered = places[(-ranked_by.confidence[rows]).argsort(kind="stable")]

    def card(number: int) -> SampleCard:
        place = ordered[number]
        place_a, place_b = int(shared.places[place]), int(shared.others[place])
        predictions = {
            "A": _prediction(samples_a, place_a, names),
            "B": _prediction(samples_b, place_b, names),
        }
        return SampleCard(str(samples_a.ids[place_a]), names[shared.labels[place]], predictions)

    face_grid.show(first, len(ordered), card, key="pair_faces")


def _prediction(samples: SamplePredictions, place: int, names: list[str]) -> tuple[str, float]:
    return names[samples.predicted[place]], float(samples.confidence[place])


def _selected_cell(view: Compared) -> tuple[str, confusion_matrix.Cell | None]:
    """Return the run and the cell that the URL selects, if any."""
    ids = [run.id for run, _ in view.evaluated]
    run_id = url_widgets.query_value("of")
    cell = (url_widgets.query_value("true"), url_widgets.query_value("said"))
    return run_id if run_id in ids else (ids or [""])[0], cell if all(cell) else None


def _cell_selector(view: Compared, run_id: str) -> Callable[[list[str]], None]:
    # A URL without a run means the first one.
    value = "" if run_id == view.evaluated[0][0].id else run_id

    def select_cell(cell: list[str]) -> None:
        url_widgets.set_values({"of": value, "true": cell[0], "said": cell[1], "faces": ""})

    return select_cell


def _same_classes(first: Run, second: Run) -> bool:
    return bool(
        first.results and second.results and first.results.class_names == second.results.class_names
    )
