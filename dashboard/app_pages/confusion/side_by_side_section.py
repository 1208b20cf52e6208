"""The predictions of the runs side by side, with filters."""

from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import formats
from dashboard.analysis import side_by_side
from dashboard.analysis.side_by_side import Agreement, SharedPredictions
from dashboard.charts import theme
from dashboard.charts.data_urls import cached_png_data_url
from dashboard.components import face_grid, url_widgets
from dashboard.components.compared_runs import Compared
from dashboard.state import comparison_cache, dataset_cache
from dashboard.tables import side_by_side_table

PER_PAGE = 15
_AGREEMENT = {"any": "Any", "same": "All agree", "differ": "Some disagree"}


def section(view: Compared) -> None:
    """Draw the table of predictions: one row for each image, with the filters of its rows."""
    shared = comparison_cache.shared_predictions(view.evaluations)
    runs = {run.id: run for run, _ in view.evaluated}
    if shared is None:
        return
    st.subheader("Predictions side by side", anchor="predictions")
    first = runs[shared.run_ids[0]]
    names = first.results.class_names if first.results else []
    places = _select_images(shared, view.labels, names)
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        known = not np.isnan(shared.confidence).all()
        order = "highest mean confidence first" if known else "in the order of the dataset"
        st.caption(f"{len(places):,} of {len(shared.labels):,} images, {order}.")
        download: Any = partial(
            side_by_side_table.predictions_csv, shared, places, names, view.labels
        )
        st.download_button(
            "Predictions as CSV",
            download,
            f"{formats.file_name('predictions', view.file_stem)}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="predictions-csv",
        )
    if missing := [view.labels[run_id] for run_id in runs if run_id not in shared.run_ids]:
        st.caption(
            f"Not shown, because of other images or no stored predictions: "
            f"{formats.markdown(', '.join(missing))}."
        )
    if not len(places):
        st.info("No image passes these filters.", icon=":material/filter_alt:")
        return
    pages = -(-len(places) // PER_PAGE)
    page = url_widgets.page(pages, "rows") if pages > 1 else 1
    shown = places[(page - 1) * PER_PAGE : page * PER_PAGE]
    table = side_by_side_table.predictions_table(shared, shown, names, view.labels)
    dataset = first.config.dataset if first.config else ""
    _draw(table, dataset_cache.images(dataset) if dataset else None)


def _select_images(
    shared: SharedPredictions, labels: dict[str, str], names: list[str]
) -> NDArray[np.intp]:
    """Draw the filters, and return the positions of the images that pass them."""
    options = {run_id: labels[run_id] for run_id in shared.run_ids}
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        true = url_widgets.selectbox(
            "Ground truth",
            {"": "any class"} | {name: name for name in names},
            key="row_true",
            implied=True,
            width=150,
        )
        correct, wrong = (
            url_widgets.multiselect(
                title, options, key=key, limit=theme.MAX_COMPARED, placeholder="any", width=280
            )
            for title, key in (("Correct in", "right"), ("Wrong in", "wrong"))
        )
        agreement = "any"
        if len(options) > 1:
            agreement = url_widgets.segmented_control("Agreement", _AGREEMENT, key="agree")
        confidence = url_widgets.slider(
            "Minimum confidence",
            "sure",
            0.0,
            1.0,
            0.05,
            0.0,
            width=180,
            help="Of every run: the probability of the class that it predicts.",
        )
    return side_by_side.select_images(
        shared,
        names.index(true) if true else None,
        correct,
        wrong,
        cast(Agreement, agreement),
        confidence,
    )


def _draw(table: pd.DataFrame, images: dataset_cache.Images | None) -> None:
    config = st.column_config
    columns: dict[str, Any] = {
        "Image": config.TextColumn("Image", help="Id in the dataset."),
        "True": config.TextColumn("True class", width=90),
    }
    if images is not None:
        faces = [face_grid.find_image(images, sample) for sample in table["Image"]]
        urls = [None if face is None else cached_png_data_url(face) for face in faces]
        table.insert(0, "Face", urls)
        columns["Face"] = config.ImageColumn("", width=64, pinned=True)
    st.dataframe(
        table,
        hide_index=True,
        column_config=columns,
        row_height=48 if images is not None else None,
        height="content",
        alt="Predictions of the runs, one row for each image",
    )
