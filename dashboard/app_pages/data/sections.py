"""The sections of the Data page."""

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
from fercore.data.quality import DuplicateGroup, SampleRef
from fercore.data.registry import dataset_status, list_custom_datasets, list_datasets
from fercore.data.splits import ROLES, UNSPLIT, Split, Splits
from fercore.paths import data_root
from fercore.runs.reader import Run

_SHOWN = 1500
_FLAWS = {
    "conflicts": "Equal images, different labels",
    "across": "Equal images in two parts",
    "near": "Almost equal, in test and training",
    "repeats": "Equal images in one part",
    "constant": "Images of one grey level",
}


def installed() -> None:
    """Every dataset: what is there, and how to add what is not."""
    for text in st.session_state.pop(ADDED_KEY, []):
        st.success(formats.markdown(text), icon=":material/check:")
    root = data_root()
    rows = []
    for name in (*list_datasets(), *list_custom_datasets(root)):
        found = dataset_status(name, root)
        counts = {role: sum(classes.values()) for role, classes in found.counts.items()}
        rows.append(
            {
                "Dataset": name,
                "State": ["ready"] if found.installed else ["not installed"],
                "Training": counts.get("train"),
                "Validation": counts.get("validation"),
                "Test": counts.get("test"),
                "Undivided": counts.get(UNSPLIT),
                "Size": found.bytes or None,
                "Fingerprint": found.fingerprint or None,
                "Remark": found.remark or None,
            }
        )
    config = st.column_config
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "State": config.MultiselectColumn(
                "State", options=["ready", "not installed"], color=["#22804f", "#66717d"]
            ),
            "Size": config.NumberColumn("Size", format="bytes"),
            **{
                name: config.NumberColumn(name, format="localized")
                for name in ("Training", "Validation", "Test", "Undivided")
            },
        },
        placeholder=formats.DASH,
    )
    with st.expander("Add a dataset", icon=":material/add:"):
        upload_form()


def distribution(splits: Splits) -> None:
    """Images of each class and part, and the weights that training would use."""
    st.subheader("Classes", anchor=False)
    names = splits.class_names
    counts = {
        splits.title(role): np.bincount(part.labels, minlength=len(names)).tolist()
        for role, part in _parts(splits).items()
    }
    left, right = st.columns([3, 2], gap="medium")
    with left:
        colors = dict(zip(counts, theme.RUN_COLORS[plot.theme_mode()], strict=False))
        plot.legend({title: title for title in counts}, colors)
        figure = dataset_charts.class_counts(counts, names, colors)
        plot.plot(figure, "class-counts", "Images of each class and part")
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
                    "Weight", format="%.2f", help="With class_weights = true: n / (k n_c)."
                )
            },
        )


def faces(splits: Splits) -> None:
    """A gallery by class and part, and the mean face of each class."""
    st.subheader("Faces", anchor=False)
    role, label = _choice(splits)
    part = splits[role]
    places = np.arange(len(part))
    if label:
        places = np.flatnonzero(part.labels == splits.class_names.index(label))
    st.caption(f"{len(places):,} images of {formats.markdown(splits.title(role))}.")

    def face(number: int) -> SampleCard:
        place = places[number]
        return SampleCard(str(part.ids[place]), splits.class_names[part.labels[place]], {})

    face_grid.show_of(splits.name, len(places), face, "page")
    st.markdown("**The mean face of each class**")
    means = dataset_cache.inspected(splits.name, "mean", role)
    present = set(part.labels.tolist())
    face_grid.pictures(
        [(means[k], name) for k, name in enumerate(splits.class_names) if k in present]
    )


def light(splits: Splits) -> None:
    """How bright and how sharp the images are, class by class."""
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
            values = dataset_cache.inspected(splits.name, kind, role)
            by_class = {name: values[labels == k] for k, name in enumerate(names)}
            figure = dataset_charts.spread(by_class, colors, title)
            plot.plot(figure, kind, f"{title} of each class")
    st.caption(
        f"{formats.markdown(splits.title(role))}: boxes from the first to the third quarter, "
        "whiskers from the 5th to the 95th percentile."
    )


def flaws(splits: Splits) -> None:
    """Repeated, conflicting, almost equal and empty images, shown."""
    st.subheader("What is wrong with it", anchor=False)
    groups: list[DuplicateGroup] = dataset_cache.inspected(splits.name, "groups")
    near = dataset_cache.inspected(splits.name, "near") if {"train", "test"} <= set(splits) else []
    found: dict[str, list[tuple[Sequence[SampleRef], str]]] = {
        "conflicts": [(g.samples, "") for g in groups if g.has_conflicting_labels],
        "across": [(g.samples, "") for g in groups if g.is_across_splits],
        "near": [((n.sample, n.match), f"r = {n.correlation:.4f}") for n in near],
        "repeats": [(g.samples, "") for g in groups if not g.is_across_splits],
        "constant": [
            ((sample,), "") for sample in dataset_cache.inspected(splits.name, "constant")
        ],
    }
    titles = {key: f"{title} ({len(found[key]):,})" for key, title in _FLAWS.items() if found[key]}
    if not titles:
        st.caption("Nothing of what is looked for: repeated, conflicting or empty images.")
        return
    kind = url_widgets.segmented_control("Flaw", titles, key="flaw")
    sets = found[kind]
    per_page = 12
    pages = -(-len(sets) // per_page)
    number = url_widgets.page(pages, "flaws") if pages > 1 else 1
    for samples, note in sets[(number - 1) * per_page : number * per_page]:
        entries = []
        for sample in samples[:8]:
            part = splits[sample.role]
            name = splits.class_names[part.labels[sample.index]]
            text = f"{name}, {splits.title(sample.role)}"
            entries.append((part.images[sample.index], text))
        more = f" and {len(samples) - 8} more" if len(samples) > 8 else ""
        face_grid.pictures(entries, " ".join(filter(None, (note, more.strip()))))


def embedding(splits: Splits) -> None:
    """Faces of the test, or of a dataset without splits, where a run's last features put them."""
    st.subheader("As a network sees them", anchor=False)
    model_picker.explain_missing("run")
    runs = network_cache.runs_on(splits)
    if not runs:
        st.caption("No run on this dataset has a network here.")
        return
    role = UNSPLIT if UNSPLIT in splits.parts else "test"
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        labels = run_cache.labels(list(runs.values()))
        chosen = url_widgets.selectbox("Network", labels, key="run", implied=True, width=300)
        method = url_widgets.segmented_control(
            "Projection", {"off": "Off", "pca": "PCA", "tsne": "t-SNE"}, key="projection"
        )
        by = url_widgets.segmented_control(
            "Colour", {"label": "Label", "said": "Prediction", "error": "Right or wrong"}, key="by"
        )
    if method == "off":
        st.caption("Choose a projection: principal components take two seconds, t-SNE about ten.")
        return
    run = runs[chosen or next(iter(runs))]
    with st.spinner("Projecting"):
        placed = network_cache.embedded(
            run, splits.name, role, "tsne" if method == "tsne" else "pca"
        )
    if placed is None:
        st.caption("This network takes images of another size, or has no dense layer.")
        return
    _scatter(splits, role, run, placed, by)


def _scatter(splits: Splits, role: str, run: Run, placed: np.ndarray, by: str) -> None:
    part, names = splits[role], splits.class_names
    probabilities = network_cache.predict_split(run, splits.name, role)
    assert probabilities is not None
    said = probabilities.argmax(axis=1)
    # A fixed sample: each point carries its face.
    some = np.sort(np.random.default_rng(0).permutation(len(part))[:_SHOWN])
    values = {
        "label": [names[k] for k in part.labels[some].tolist()],
        "said": [names[k] for k in said[some].tolist()],
        "error": ["right" if ok else "wrong" for ok in (said == part.labels)[some].tolist()],
    }
    mode = plot.theme_mode()
    colors = theme.class_colors(names, mode)
    if by == "error":
        colors = {"right": theme.MUTED[mode], "wrong": theme.EMOTION_COLORS[mode]["angry"]}
    data = pd.DataFrame(
        {
            "x": placed[some, 0],
            "y": placed[some, 1],
            "colour": values[by],
            "true": values["label"],
            "predicted": values["said"],
            "confidence": [f"{share:.0%}" for share in probabilities[some].max(axis=1).tolist()],
            # Vega shows a field of this name as a picture.
            "image": dataset_cache.thumbnails(splits.name, role, some),
        }
    )
    st.vega_lite_chart(
        data, dataset_charts.embedding_spec(colors), width="stretch", key="embedding"
    )
    st.caption(
        f"{len(some):,} of {len(part):,} faces of {formats.markdown(splits.title(role))}, by what "
        "enters the network's last layer; hover to see the face, scroll to come closer."
    )


def _choice(splits: Splits) -> tuple[str, str]:
    roles = {role: splits.title(role) for role in _parts(splits)}
    classes = {"": "any class"} | {name: name for name in splits.class_names}
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        role = (
            url_widgets.segmented_control("Part", roles, key="part")
            if len(roles) > 1
            else next(iter(roles))
        )
        label = url_widgets.selectbox("Class", classes, key="class", implied=True, width=160) or ""
    return role, label


def _parts(splits: Splits) -> dict[str, Split]:
    return {role: splits[role] for role in (*ROLES, UNSPLIT) if role in splits.parts}
