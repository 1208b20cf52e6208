"""The sections of the Datasets page."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.app_pages.data.upload_section import ADDED_KEY, upload_form
from dashboard.charts import dataset_charts, theme
from dashboard.components import face_grid, model_picker, plot, url_widgets
from dashboard.components.face_grid import SampleCard
from dashboard.state import dataset_cache, network_cache, run_cache
from fercore import metrics
from fercore.data.registry import dataset_status, list_custom_datasets, list_datasets
from fercore.data.splits import ROLES, UNSPLIT, Split, Splits
from fercore.paths import data_root
from fercore.runs.reader import Run

_MAX_POINTS = 1500  # of the scatter plot: each carries its image


def show_added() -> None:
    """Draw the messages of a dataset that was just added."""
    for text in st.session_state.pop(ADDED_KEY, []):
        st.success(formats.markdown(text), icon=":material/check:")


def size_line(splits: Splits) -> None:
    """Draw one line with the number of images and classes, and the size of the images."""
    total = sum(len(part) for part in splits.parts.values())
    height, width = next(iter(splits.parts.values())).images.shape[1:]
    parts = ", ".join(
        f"{formats.markdown(splits.title(role))} {len(part):,}"
        for role, part in _splits(splits).items()
    )
    if UNSPLIT in splits.parts:
        parts = "unsplit, each experiment splits them by its protocol"
    classes = f"{len(splits.class_names)} classes, {width} × {height} pixels"
    st.caption(f"{total:,} images of {classes}: {parts}.")


def installed(ready: Sequence[str]) -> None:
    """Draw the table of all datasets, and the form that adds one; open if none has real faces.

    Args:
        ready: names of the installed datasets.
    """
    only_synthetic = set(ready) <= {"synthetic"}
    if only_synthetic:
        st.info(
            "Only synthetic faces are installed. Add a dataset below, or with `fercore data add "
            "fer2013 PATH`.",
            icon=":material/draw:",
        )
    with st.expander("All datasets · Add a dataset", only_synthetic, icon=":material/add:"):
        _table()
        upload_form()


def _table() -> None:
    root = data_root()
    rows = []
    for name in (*list_datasets(), *list_custom_datasets(root)):
        status = dataset_status(name, root)
        counts = {role: sum(classes.values()) for role, classes in status.counts.items()}
        rows.append(
            {
                "Dataset": name,
                "State": ["ready"] if status.installed else ["not installed"],
                "Training": counts.get("train"),
                "Validation": counts.get("validation"),
                "Test": counts.get("test"),
                "Unsplit": counts.get(UNSPLIT),
                "Size": status.bytes or None,
                "Remark": status.remark or None,
                "Fingerprint": status.fingerprint or None,
            }
        )
    config = st.column_config
    counted = {
        name: config.NumberColumn(name, format="localized")
        for name in ("Training", "Validation", "Test")
    }
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config=counted
        | {
            "State": config.MultiselectColumn(
                "State", options=["ready", "not installed"], color=["#22804f", "#66717d"]
            ),
            "Unsplit": config.NumberColumn(
                "Unsplit (split by protocol)",
                format="localized",
                help="The dataset has no official splits: the protocol of each experiment splits "
                "it.",
            ),
            "Size": config.NumberColumn("Size", format="bytes"),
            "Fingerprint": config.TextColumn(
                "Fingerprint", help="Identifies the images and labels; a run stores it."
            ),
        },
        placeholder=formats.DASH,
        alt="All datasets with their state and their number of images",
    )


def class_counts(splits: Splits) -> None:
    """Draw the number of images by class and split, and the class weights of training."""
    st.subheader("Classes", anchor=False)
    names = splits.class_names
    counts = {
        splits.title(role): np.bincount(part.labels, minlength=len(names)).tolist()
        for role, part in _splits(splits).items()
    }
    left, right = st.columns([3, 2], gap="medium")
    with left:
        colors = dict(zip(counts, theme.RUN_COLORS[plot.theme_mode()], strict=False))
        plot.legend({title: title for title in counts}, colors)
        figure = dataset_charts.class_counts(counts, names, colors)
        plot.plot(figure, "class-counts", "Number of images by class and split")
    role = UNSPLIT if UNSPLIT in splits.parts else "train"
    labels = splits[role].labels.astype(np.int64)
    weights = metrics.balanced_class_weights(labels, len(names))
    table = pd.DataFrame({"Class": names} | counts)
    table["Weight"] = weights
    with right:
        st.dataframe(
            table,
            hide_index=True,
            column_config={
                "Weight": st.column_config.NumberColumn(
                    "Weight",
                    format="%.2f",
                    help="Weight in the loss if class_weights = true: n / (k n_c), of n images "
                    "in k classes, n_c of them of this class.",
                )
            },
            alt="Number of images and weight of each class",
        )


def samples(splits: Splits) -> None:
    """Draw the images of a split and class, and the mean image of each class."""
    st.subheader("Samples", anchor=False)
    role, label = _split_and_class(splits)
    part = splits[role]
    places = np.arange(len(part))
    if label:
        places = np.flatnonzero(part.labels == splits.class_names.index(label))
    of_split = "" if role == UNSPLIT else f" of {formats.markdown(splits.title(role))}"
    st.caption(f"{len(places):,} images{of_split}.")

    def card(number: int) -> SampleCard:
        place = places[number]
        return SampleCard(str(part.ids[place]), splits.class_names[part.labels[place]], {})

    face_grid.show_dataset(splits.name, len(places), card, "page")
    st.markdown("**Mean image per class**")
    means = dataset_cache.inspect(splits.name, "mean", role)
    present = set(part.labels.tolist())
    face_grid.image_row(
        [(means[k], name) for k, name in enumerate(splits.class_names) if k in present]
    )


def brightness_and_sharpness(splits: Splits) -> None:
    """Draw the distributions of brightness and sharpness of each class."""
    st.subheader("Brightness and sharpness", anchor=False)
    role = UNSPLIT if UNSPLIT in splits.parts else "train"
    names, labels = splits.class_names, splits[role].labels
    colors = theme.class_colors(names, plot.theme_mode())
    titles = {
        "brightness": "Mean grey level",
        "sharpness": "Standard deviation of the Laplacian",
    }
    with st.grid(2, min_column_width=340, gap="medium"):
        for kind, title in titles.items():
            values = dataset_cache.inspect(splits.name, kind, role)
            by_class = {name: values[labels == k] for k, name in enumerate(names)}
            figure = dataset_charts.class_boxes(by_class, colors, title)
            plot.plot(figure, kind, f"{title} of each class")
    st.caption(
        f"{formats.markdown(splits.title(role))}: boxes from the first to the third quartile, "
        "whiskers from the 5th to the 95th percentile."
    )


def embedding(splits: Splits) -> None:
    """Draw the features of a network for the test images, projected onto two dimensions."""
    st.subheader("Embeddings", anchor=False)
    model_picker.explain_missing("run")
    runs = network_cache.runs_on(splits)
    if not runs:
        st.caption("No run on this dataset has a network (`model.onnx`) here.")
        return
    role = UNSPLIT if UNSPLIT in splits.parts else "test"
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        labels = run_cache.labels(list(runs.values()))
        run_id = url_widgets.selectbox("Model", labels, key="run", implied=True, width=300)
        method = url_widgets.segmented_control(
            "Projection", {"off": "Off", "pca": "PCA", "tsne": "t-SNE"}, key="projection"
        )
        by = url_widgets.segmented_control(
            "Colour",
            {"label": "Label", "said": "Prediction", "error": "Correct / incorrect"},
            key="by",
        )
    if method == "off":
        st.caption("Select a projection: PCA takes about two seconds, t-SNE about ten.")
        return
    run = runs[run_id or next(iter(runs))]
    with st.spinner("Projecting"):
        points = network_cache.embed_split(
            run, splits.name, role, "tsne" if method == "tsne" else "pca"
        )
    if points is None:
        st.caption("This network needs images of another size, or has no dense layer.")
        return
    _scatter(splits, role, run, points, by)


def _scatter(splits: Splits, role: str, run: Run, points: np.ndarray, by: str) -> None:
    part, names = splits[role], splits.class_names
    probabilities = network_cache.predict_split(run, splits.name, role)
    assert probabilities is not None
    predicted = probabilities.argmax(axis=1)
    # The same sample in every run of the page, so that its thumbnails are cached.
    sample = np.sort(np.random.default_rng(0).permutation(len(part))[:_MAX_POINTS])
    correct = (predicted == part.labels)[sample].tolist()
    values = {
        "label": [names[k] for k in part.labels[sample].tolist()],
        "said": [names[k] for k in predicted[sample].tolist()],
        "error": ["correct" if each else "incorrect" for each in correct],
    }
    mode = plot.theme_mode()
    colors = theme.class_colors(names, mode)
    if by == "error":
        colors = {"correct": theme.MUTED[mode], "incorrect": theme.EMOTION_COLORS[mode]["angry"]}
    data = pd.DataFrame(
        {
            "x": points[sample, 0],
            "y": points[sample, 1],
            "colour": values[by],
            "true": values["label"],
            "predicted": values["said"],
            "confidence": [f"{p:.0%}" for p in probabilities[sample].max(axis=1).tolist()],
            # Vega shows a field of this name as an image.
            "image": dataset_cache.thumbnails(splits.name, role, sample),
        }
    )
    st.vega_lite_chart(
        data,
        dataset_charts.embedding_spec(colors),
        width="stretch",
        key="embedding",
        alt="Faces of the split, placed by the features of the model",
    )
    st.caption(
        f"{len(sample):,} of {len(part):,} faces of {formats.markdown(splits.title(role))}. "
        "Hover to see a face, scroll to zoom.",
        help="Placed by the input of the model's last layer.",
    )


def _split_and_class(splits: Splits) -> tuple[str, str]:
    roles = {role: splits.title(role) for role in _splits(splits)}
    classes = {"": "All classes"} | {name: name for name in splits.class_names}
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        role = (
            url_widgets.segmented_control("Split", roles, key="part")
            if len(roles) > 1
            else next(iter(roles))
        )
        label = url_widgets.selectbox("Class", classes, key="class", implied=True, width=160) or ""
    return role, label


def _splits(splits: Splits) -> dict[str, Split]:
    return {role: splits[role] for role in (*ROLES, UNSPLIT) if role in splits.parts}
