"""The sections of the Data page: what there is to learn from, and what is wrong with it."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard import asking, cached, charts, formats, gallery, linked, pieces, theme
from dashboard.gallery import Face
from fercore import metrics
from fercore.data import add, has_previous, list_datasets, list_own, status, undo
from fercore.data.inspection import Group, Sample
from fercore.data.splits import POOL, ROLES, Split, Splits
from fercore.errors import UserError
from fercore.roots import data_root
from fercore.runs import Run

_UPLOAD_MB = 512
_MAX_NAME = 60  # characters of an uploaded file's name, at 4 bytes each
_SHOWN = 1500
_ADDED, _ASKED = "added dataset", "asked to replace"
_FLAWS = {
    "conflicts": "Equal images, different labels",
    "across": "Equal images in two parts",
    "near": "Almost equal, in test and training",
    "repeats": "Equal images in one part",
    "constant": "Images of one grey level",
}


def installed() -> None:
    """Every dataset: what is there, and how to add what is not."""
    for text in st.session_state.pop(_ADDED, []):
        st.success(formats.markdown(text), icon=":material/check:")
    root = data_root()
    rows = []
    for name in (*list_datasets(), *list_own(root)):
        found = status(name, root)
        counts = {role: sum(classes.values()) for role, classes in found.counts.items()}
        rows.append(
            {
                "Dataset": name,
                "State": ["ready"] if found.installed else ["not installed"],
                "Training": counts.get("train"),
                "Validation": counts.get("validation"),
                "Test": counts.get("test"),
                "Undivided": counts.get(POOL),
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
        _adding()


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
        colors = dict(zip(counts, theme.RUN_COLORS[pieces.mode()], strict=False))
        pieces.legend({title: title for title in counts}, colors)
        figure = charts.class_counts(counts, names, colors)
        pieces.plot(figure, "class-counts", "Images of each class and part")
    role = POOL if POOL in splits.parts else "train"
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

    def face(number: int) -> Face:
        place = places[number]
        return Face(str(part.ids[place]), splits.class_names[part.labels[place]], {})

    gallery.show_of(splits.name, len(places), face, "page")
    st.markdown("**The mean face of each class**")
    means = cached.inspected(splits.name, "mean", role)
    present = set(part.labels.tolist())
    gallery.pictures(
        [(means[k], name) for k, name in enumerate(splits.class_names) if k in present]
    )


def light(splits: Splits) -> None:
    """How bright and how sharp the images are, class by class."""
    st.subheader("Brightness and sharpness", anchor=False)
    role = POOL if POOL in splits.parts else "train"
    names, labels = splits.class_names, splits[role].labels
    colors = theme.class_colors(names, pieces.mode())
    titles = {
        "brightness": "Mean grey level",
        "sharpness": "Standard deviation of the Laplacian",
    }
    with st.grid(2, min_column_width=340, gap="medium"):
        for kind, title in titles.items():
            values = cached.inspected(splits.name, kind, role)
            by_class = {name: values[labels == k] for k, name in enumerate(names)}
            figure = charts.spread(by_class, colors, title)
            pieces.plot(figure, kind, f"{title} of each class")
    st.caption(
        f"{formats.markdown(splits.title(role))}: boxes from the first to the third quarter, "
        "whiskers from the 5th to the 95th percentile."
    )


def flaws(splits: Splits) -> None:
    """Repeated, conflicting, almost equal and empty images, shown."""
    st.subheader("What is wrong with it", anchor=False)
    groups: list[Group] = cached.inspected(splits.name, "groups")
    near = cached.inspected(splits.name, "near") if {"train", "test"} <= set(splits) else []
    found: dict[str, list[tuple[Sequence[Sample], str]]] = {
        "conflicts": [(g.samples, "") for g in groups if g.conflicting],
        "across": [(g.samples, "") for g in groups if g.across],
        "near": [((n.sample, n.like), f"r = {n.correlation:.4f}") for n in near],
        "repeats": [(g.samples, "") for g in groups if not g.across],
        "constant": [((sample,), "") for sample in cached.inspected(splits.name, "constant")],
    }
    titles = {key: f"{title} ({len(found[key]):,})" for key, title in _FLAWS.items() if found[key]}
    if not titles:
        st.caption("Nothing of what is looked for: repeated, conflicting or empty images.")
        return
    kind = linked.choice("Flaw", titles, key="flaw")
    sets = found[kind]
    per_page = 12
    pages = -(-len(sets) // per_page)
    number = linked.page(pages, "flaws") if pages > 1 else 1
    for samples, note in sets[(number - 1) * per_page : number * per_page]:
        entries = []
        for sample in samples[:8]:
            part = splits[sample.role]
            name = splits.class_names[part.labels[sample.place]]
            text = f"{name}, {splits.title(sample.role)}"
            entries.append((part.images[sample.place], text))
        more = f" and {len(samples) - 8} more" if len(samples) > 8 else ""
        gallery.pictures(entries, " ".join(filter(None, (note, more.strip()))))


def embedding(splits: Splits) -> None:
    """Faces of the test, or of a dataset without splits, where a run's last features put them."""
    st.subheader("As a network sees them", anchor=False)
    asking.explain_missing("run")
    runs = cached.runs_on(splits)
    if not runs:
        st.caption("No run on this dataset has a network here.")
        return
    role = POOL if POOL in splits.parts else "test"
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        labels = cached.labels(list(runs.values()))
        chosen = linked.pick("Network", labels, key="run", implied=True, width=300)
        method = linked.choice(
            "Projection", {"off": "Off", "pca": "PCA", "tsne": "t-SNE"}, key="projection"
        )
        by = linked.choice(
            "Colour", {"label": "Label", "said": "Prediction", "error": "Right or wrong"}, key="by"
        )
    if method == "off":
        st.caption("Choose a projection: principal components take two seconds, t-SNE about ten.")
        return
    run = runs[chosen or next(iter(runs))]
    with st.spinner("Projecting"):
        placed = cached.embedded(run, splits.name, role, "tsne" if method == "tsne" else "pca")
    if placed is None:
        st.caption("This network takes images of another size, or has no dense layer.")
        return
    _scatter(splits, role, run, placed, by)


def _scatter(splits: Splits, role: str, run: Run, placed: np.ndarray, by: str) -> None:
    part, names = splits[role], splits.class_names
    probabilities = cached.answers(run, splits.name, role)
    assert probabilities is not None
    said = probabilities.argmax(axis=1)
    # A fixed sample: each point carries its face.
    some = np.sort(np.random.default_rng(0).permutation(len(part))[:_SHOWN])
    right = said == part.labels
    values = {
        "label": [names[part.labels[p]] for p in some],
        "said": [names[said[p]] for p in some],
        "error": ["right" if right[p] else "wrong" for p in some],
    }
    mode = pieces.mode()
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
            "confidence": [f"{probabilities[p].max():.0%}" for p in some],
            # Vega shows a field of this name as a picture.
            "image": cached.thumbnails(splits.name, role, some),
        }
    )
    axis = alt.Axis(labels=False, ticks=False, grid=False, title=None, domain=False)
    chart = (
        alt.Chart(data)
        .mark_circle(size=34, opacity=0.75)
        .encode(
            x=alt.X("x:Q", axis=axis),
            y=alt.Y("y:Q", axis=axis),
            color=alt.Color(
                "colour:N",
                scale=alt.Scale(domain=list(colors), range=list(colors.values())),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=["image", "true", "predicted", "confidence"],
        )
        .properties(height=560)
        .interactive()
    )
    st.altair_chart(chart, width="stretch", key="embedding")
    st.caption(
        f"{len(some):,} of {len(part):,} faces of {formats.markdown(splits.title(role))}, by what "
        "enters the network's last layer; hover to see the face, scroll to come closer."
    )


def _choice(splits: Splits) -> tuple[str, str]:
    roles = {role: splits.title(role) for role in _parts(splits)}
    classes = {"": "any class"} | {name: name for name in splits.class_names}
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        role = linked.choice("Part", roles, key="part") if len(roles) > 1 else next(iter(roles))
        label = linked.pick("Class", classes, key="class", implied=True, width=160) or ""
    return role, label


def _parts(splits: Splits) -> dict[str, Split]:
    return {role: splits[role] for role in (*ROLES, POOL) if role in splits.parts}


def _adding() -> None:
    names = [name for name in list_datasets() if name != "synthetic"]
    name = st.selectbox("Which dataset", names, key="add-name")
    files = st.file_uploader(
        "Its files: CSV, ZIP or TAR",
        accept_multiple_files=True,
        max_upload_size=_UPLOAD_MB,
        key="add-files",
        help="They are converted into one file under the data root, and nothing else is kept.",
    )
    skip_bad = st.checkbox("Leave out files that cannot be used", key="add-skip-bad")
    st.caption("The same from the command line, for files of any size:")
    st.code(f"fercore data add {name} PATH", language="bash")
    asked = (name, *(file.file_id for file in files or []))
    if files and st.button("Add", type="primary", icon=":material/add:"):
        if not status(name, data_root()).counts:
            _add(name, files, skip_bad)
        else:
            st.session_state[_ASKED] = asked
    if files and st.session_state.get(_ASKED) == asked:
        _confirm_replacing(name, files, skip_bad)
    _undoing()


def _confirm_replacing(name: str, files: Sequence[UploadedFile], skip_bad: bool) -> None:
    """Ask before an installed dataset is replaced, and add the files if the reader agrees."""
    text = (
        f"{formats.markdown(name)} is installed: {_total(name):,} images. The parts that these "
        "files hold are replaced for everyone who uses this data root. The current version is "
        "kept, and can be restored here."
    )
    if has_previous(name, data_root()):
        text += " The version before the current one is deleted."
    st.warning(text, icon=":material/sync:")
    with st.container(horizontal=True):
        if st.button("Replace", type="primary", key="add-replace"):
            st.session_state.pop(_ASKED, None)
            _add(name, files, skip_bad)
        if st.button("Cancel", key="add-cancel"):
            st.session_state.pop(_ASKED, None)
            st.rerun()


def _undoing() -> None:
    """A button for each dataset whose last replacement can be undone."""
    root = data_root()
    names = [n for n in (*list_datasets(), *list_own(root)) if has_previous(n, root)]
    if not names:
        return
    st.caption("Restore the version that the last change replaced:")
    with st.container(horizontal=True):
        for name in names:
            st.button(
                f"Undo: {name}",
                icon=":material/undo:",
                key=f"undo-{name}",
                on_click=_undo,
                args=(name,),
            )


def _undo(name: str) -> None:
    try:
        undo(name, data_root())
    except UserError as error:
        st.toast(formats.markdown(str(error)), icon=":material/error:")
        return
    st.session_state[_ADDED] = [f"{name} is the previous version again: {_total(name):,} images."]


def _total(name: str) -> int:
    return sum(sum(classes.values()) for classes in status(name, data_root()).counts.values())


def _add(name: str, files: Sequence[UploadedFile], skip_bad: bool) -> None:
    bar = st.progress(0.0, text="Reading")

    def on_progress(done: int, total: int | None) -> None:
        bar.progress(min(1.0, done / (total or 36_000)), text=f"Reading: {done:,} images")

    try:
        with tempfile.TemporaryDirectory(prefix="fercore-") as folder:
            paths = store_uploads(files, Path(folder))
            report = add(name, paths, data_root(), on_progress, skip_bad=skip_bad)
    except (UserError, OSError) as error:
        bar.empty()
        st.error(formats.markdown(str(error)), icon=":material/error:")
        return
    st.session_state[_ADDED] = [f"{_total(name):,} images of {name} are ready.", *report.notes]
    linked.assign({"dataset": name})
    st.rerun()


def store_uploads(files: Sequence[UploadedFile], folder: Path) -> list[Path]:
    """Write uploaded files, each into a folder of its own: two may have one name.

    Names are shortened, and characters that file systems refuse are replaced.
    """
    paths = []
    for number, file in enumerate(files):
        path = folder / str(number) / _file_name(file.name)
        path.parent.mkdir()
        path.write_bytes(file.getbuffer())
        paths.append(path)
    return paths


def _file_name(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2]
    safe = re.sub(r"[^\w.()+ -]", "_", last).lstrip(".")
    stem, dot, endings = safe.partition(".")
    if len(safe) <= _MAX_NAME:
        return safe or "upload"
    # The ending tells the kind of file.
    ending = (dot + endings)[-12:] if dot else ""
    return f"{stem[: _MAX_NAME - len(ending)]}{ending}"
