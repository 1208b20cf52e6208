"""The sections of the Augmentation page; the layers of training draw its previews."""

import html
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts import augmentation_charts, theme
from dashboard.charts.data_urls import cached_png_data_url
from dashboard.components import plot, url_widgets
from dashboard.state import dataset_cache, network_cache, run_cache
from fercore.config.augmentation import AugmentationConfig
from fercore.config.experiment import ExperimentConfig
from fercore.data.splits import UNSPLIT, Split, Splits
from fercore.data.splitting import fit_images
from fercore.runs.reader import Run
from fercore.runs.schema import grouping

FACES = 18
MAX_SEED = 99.0
_TITLES = ("Original", "Augmented", "Difference")
# The grid has three columns of triples, or one where the window is narrow; each has a header.
_COLUMNS = 3
_GRID_STYLE = (
    "<style>.triples {display: grid; gap: .8rem 1.4rem; grid-template-columns: repeat(3, 1fr);}"
    ".triples .head {display: flex; justify-content: space-between; font-size: .8rem;"
    "font-weight: 600;}"
    "@media (max-width: 900px) {.triples {grid-template-columns: 1fr;}"
    ".triples .head ~ .head {display: none;}}</style>"
)
_HEAD_HTML = (
    '<div class="head">'
    + "".join(f'<span style="width:32%">{title}</span>' for title in _TITLES)
    + "</div>"
)
_SAMPLE = 256  # faces that measure robustness
_STEPS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Strength:
    """The slider of one operation.

    Attributes:
        label: with the unit.
        high: the maximum; the minimum is 0.
        step: of the slider.
    """

    label: str
    high: float
    step: float


GROUPS: Mapping[str, Mapping[str, Strength]] = {
    "Geometric": {
        "rotation": Strength("Rotation (degrees)", 60.0, 1.0),
        "shear": Strength("Shear (degrees)", 45.0, 0.1),
        "width_shift": Strength("Translate x (fraction of the width)", 0.5, 0.01),
        "height_shift": Strength("Translate y (fraction of the height)", 0.5, 0.01),
        "zoom": Strength("Zoom (fraction)", 0.5, 0.01),
        "crop": Strength("Crop (fraction of the side)", 0.5, 0.01),
    },
    "Photometric": {
        "brightness": Strength("Brightness (fraction of the range)", 0.5, 0.01),
        "contrast": Strength("Contrast (fraction)", 1.0, 0.01),
        "blur": Strength("Blur (pixels)", 3.0, 0.1),
        "noise": Strength("Noise (fraction of the range)", 0.3, 0.01),
    },
    "Erasing and mixing": {
        "erasing": Strength("Erasing (fraction of the images)", 1.0, 0.05),
        "mixup": Strength("MixUp (alpha of the beta distribution)", 2.0, 0.05),
        "cutmix": Strength("CutMix (alpha of the beta distribution)", 2.0, 0.05),
    },
}
STRENGTHS = {name: strength for group in GROUPS.values() for name, strength in group.items()}
_FILLS = {"nearest": "Nearest", "reflect": "Reflect", "constant": "Constant (black)"}


def controls(start: AugmentationConfig) -> AugmentationConfig:
    """Draw the sliders of all operations, and return the policy; 0 switches an operation off.

    Args:
        start: the policy that the page opens on.
    """
    fields: dict[str, Any] = {}
    for title, group in GROUPS.items():
        with st.expander(title, expanded=title == "Geometric"):
            for name, strength in group.items():
                fields[name] = url_widgets.slider(
                    strength.label,
                    name,
                    0.0,
                    strength.high,
                    strength.step,
                    float(min(getattr(start, name), strength.high)),
                )
            if title == "Geometric":
                on = _first({"1": "On", "0": "Off"}, "1" if start.horizontal_flip else "0")
                flip = url_widgets.segmented_control("Horizontal flip", on, key="horizontal_flip")
                fields["horizontal_flip"] = flip == "1"
                fields["fill"] = url_widgets.segmented_control(
                    "Fill mode",
                    _first(_FILLS, start.fill),
                    key="fill",
                    help="What is outside the moved image: its last pixels, their mirror image, or "
                    "black.",
                )
    return AugmentationConfig(**fields)


def training_images(splits: Splits) -> Split:
    """Return the images that a training on this dataset uses."""
    return splits[UNSPLIT if UNSPLIT in splits.parts else "train"]


def select_faces(splits: Splits) -> NDArray[np.intp]:
    """Draw the selection of the shown faces, and return their positions."""
    pool = training_images(splits)
    options = {"": "All classes"} | {name: name for name in splits.class_names}
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        label = url_widgets.selectbox("Class", options, key="class", implied=True, width=150)
        places = np.arange(len(pool))
        if label:
            places = np.flatnonzero(pool.labels == splits.class_names.index(label))
        pages = max(1, len(places) // FACES)
        # A fixed random order: every class appears early.
        order = np.random.default_rng(0).permutation(places)
        number = url_widgets.page(pages, "sheet")
    return order[(number - 1) * FACES : number * FACES]


def preview_grid(
    splits: Splits, places: NDArray[np.intp], policy: AugmentationConfig, run: Run | None
) -> None:
    """Draw the selected faces: original, augmented and difference, with a run's predictions."""
    pool = training_images(splits)
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.button(
            "Resample",
            icon=":material/casino:",
            on_click=_resample,
            help="Augment the same faces with another random seed.",
        )
        seed = int(
            url_widgets.slider("Seed", "seed", 0.0, MAX_SEED, 1.0, 0.0, width=260, format="%d")
        )
    images = pool.images[places]
    if dataset_cache.preview_is_ready():
        preview = dataset_cache.preview(images, policy, seed)
    else:
        with st.spinner("Loading TensorFlow (first time only)", show_time=True):
            preview = dataset_cache.preview(images, policy, seed)
    names = splits.class_names
    before, after = _predict(run, preview.originals), _predict(run, preview.changed)
    figures = []
    for number, place in enumerate(places):
        label = names[pool.labels[place]]
        partner = names[pool.labels[places[preview.partner[number]]]]
        share = float(preview.share[number])
        text = label if share >= 1 else f"{share:.0%} {label}, {1 - share:.0%} {partner}"
        predictions = None
        if before is not None and after is not None and run and run.results:
            outputs = run.results.class_names
            predictions = [
                f"{outputs[row.argmax()]} {row.max():.0%}"
                for row in (before[number], after[number])
            ]
        pictures = (preview.originals[number], preview.shown[number], preview.difference[number])
        figures.append(_triple_html(pictures, text, predictions))
    st.html(_GRID_STYLE)
    heads = "".join(_HEAD_HTML for _ in range(_COLUMNS))
    st.html(f'<div class="triples">{heads}{"".join(figures)}</div>')
    st.caption(
        f"As in the first batch of a training with seed {seed}.",
        help="The layers of training draw this preview. The difference is mid-grey where nothing "
        "changed, and brighter where the augmented image is brighter.",
    )


def _resample() -> None:
    """Set the seed to another random one."""
    current = url_widgets.query_value("seed") or "0"
    others = [seed for seed in range(int(MAX_SEED) + 1) if f"{seed}" != current.removesuffix(".0")]
    url_widgets.set_values({"seed": f"{random.choice(others)}"})


def robustness(splits: Splits, policy: AugmentationConfig, run: Run) -> None:
    """Draw the accuracy of a run against the strength of one operation."""
    st.subheader("Robustness", anchor=False)
    titles = {name: strength.label.partition(" (")[0] for name, strength in STRENGTHS.items()}
    titles = {name: title for name, title in titles.items() if name not in {"mixup", "cutmix"}}
    name = (
        url_widgets.selectbox("Operation", titles, key="operation", implied=True, width=220)
        or "rotation"
    )
    strength = STRENGTHS[name]
    evaluated = unseen_faces(splits, run)
    if evaluated is None:
        st.caption("The run does not store which of these faces it was tested on.")
        return
    part, title = evaluated
    sample = np.sort(np.random.default_rng(0).permutation(len(part))[:_SAMPLE])
    images, labels = part.images[sample], part.labels[sample]
    if run.config:  # in the size of the run's training
        images = fit_images(images, run.config.image)
    values, correct = [], []
    with st.spinner("Predicting augmented faces"):
        for step in _STEPS:
            value = step * strength.high
            single = AugmentationConfig(**{name: value, "fill": policy.fill})
            hits = network_cache.correct_under_augmentation(run, images, labels, single)
            if hits is None:
                st.caption("This network needs images of another size.")
                return
            values.append(value)
            correct.append(hits)
    color = theme.RUN_COLORS[plot.theme_mode()][0]
    groups, kind = part.take(sample).units() or (None, "")
    figure = augmentation_charts.strength_curve(values, correct, groups, strength.label, color)
    plot.plot(figure, f"strength-{name}", "Accuracy against the strength of one operation")
    grouped = "" if groups is None else f" ({grouping(len(np.unique(groups)), kind)})"
    st.caption(
        f"{formats.markdown(run_properties.title(run))} on {len(sample)} faces of {title}{grouped},"
        " each augmented once at every strength, with 95 % CI."
    )


def oversampling(splits: Splits) -> None:
    """Draw the class counts before and after an experiment oversamples by augmented copies."""
    copying = {
        name: config
        for name, config in dataset_cache.experiments().items()
        if config.augmentation.mode != "online"
        and config.dataset == splits.name
        # Otherwise the split of an unsplit dataset decides which images are copied.
        and (UNSPLIT not in splits.parts or config.protocol.copies == "before_split")
    }
    if not copying:
        return
    st.subheader("Oversampling", anchor=False)
    titles = {name: config.title for name, config in copying.items()}
    name = url_widgets.selectbox("Experiment", titles, key="copies", implied=True, width=360)
    config = copying[name or next(iter(copying))]
    before = np.bincount(training_images(splits).labels, minlength=len(splits.class_names))
    after = [
        count * _copies(config, label)
        for count, label in zip(before, splits.class_names, strict=True)
    ]
    colors = theme.class_colors(splits.class_names, plot.theme_mode())
    figure = augmentation_charts.before_and_after(
        before.tolist(), after, splits.class_names, colors
    )
    plot.plot(figure, "classes-with-copies", "Images of each class before and after copying")
    st.caption(
        f"Images of each class before (pale) and after copies are added (full): "
        f"{int(before.sum()):,} become {int(sum(after)):,}."
    )


def to_toml(policy: AugmentationConfig) -> str:
    """Return the policy as a table of a config, without operations that are off."""
    default = AugmentationConfig()
    lines = ["[augmentation]"]
    for name, value in policy.model_dump().items():
        if value != getattr(default, name):
            shown = str(value).lower() if isinstance(value, bool) else value
            lines.append(f"{name} = {f'{shown!r}' if isinstance(value, str) else shown}")
    return "\n".join(lines).replace("'", '"') + "\n"


def unseen_faces(splits: Splits, run: Run) -> tuple[Split, str] | None:
    """Return faces that a run was not trained on, and their name.

    These are the validation split of a dataset with official splits, else the faces that the run
    was tested on; `None` if these are not stored.
    """
    protocol = run.config.protocol if run.config else None
    if UNSPLIT not in splits.parts and protocol is not None and protocol.split == "official":
        return splits["validation"], splits.title("validation")
    tested = run_cache.predictions(run, "test")
    parts = (
        [part.take(np.isin(part.ids, tested.ids)) for part in splits.parts.values()]
        if tested
        else []
    )
    nonempty = [part for part in parts if len(part)]
    if not nonempty:
        return None
    joined = nonempty[0]
    for part in nonempty[1:]:
        joined = joined.concatenate(part)
    return joined, "the run's test set"


def _copies(config: ExperimentConfig, name: str) -> int:
    if config.augmentation.mode == "doubled":
        return 0 if name in config.drop_classes else 2
    return config.augmentation.class_multipliers.get(name, 1)


def _first(options: Mapping[str, str], value: str) -> dict[str, str]:
    """Return options in the order that makes a value the default."""
    return {value: options[value]} | dict(options)


def _predict(run: Run | None, images: NDArray[Any]) -> NDArray[np.float32] | None:
    return network_cache.shown_probabilities(run, images) if run else None


def _triple_html(
    pictures: Sequence[NDArray[np.uint8]], text: str, predictions: Sequence[str] | None
) -> str:
    images = "".join(
        f'<img src="{cached_png_data_url(picture)}" alt="{title}: {html.escape(text)}" '
        'style="width:32%;aspect-ratio:1;border-radius:.35rem">'
        for picture, title in zip(pictures, _TITLES, strict=True)
    )
    below = html.escape(text)
    if predictions:
        below += f'<br><span style="opacity:.75">{html.escape(" → ".join(predictions))}</span>'
    return (
        f'<figure style="margin:0"><div style="display:flex;justify-content:space-between">{images}'
        f'</div><figcaption style="font-size:.8rem">{below}</figcaption></figure>'
    )
