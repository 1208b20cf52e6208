"""The sections of the Augmentation page: what training sees, drawn by the layers that train."""

import html
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts import augmentation_charts, theme
from dashboard.charts.data_urls import cached_png_address
from dashboard.components import plot, url_widgets
from dashboard.state import dataset_cache, network_cache, run_cache
from fercore.config.augmentation import AugmentationConfig
from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import load_config
from fercore.data.splits import UNSPLIT, Split, Splits
from fercore.data.splitting import fit_images
from fercore.runs.reader import Run
from fercore.runs.schema import grouping

FACES = 16
_SAMPLE = 256
_STEPS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Strength:
    """One operation's slider.

    Attributes:
        label: with its unit.
        high: the end of the scale, from 0.
        step: of the slider.
    """

    label: str
    high: float
    step: float


GROUPS: Mapping[str, Mapping[str, Strength]] = {
    "Places": {
        "rotation": Strength("Rotation, degrees", 60.0, 1.0),
        "shear": Strength("Shear, degrees", 45.0, 0.1),
        "width_shift": Strength("Shift across, share of the width", 0.5, 0.01),
        "height_shift": Strength("Shift down, share of the height", 0.5, 0.01),
        "zoom": Strength("Zoom, share", 0.5, 0.01),
        "crop": Strength("Crop, share of the side", 0.5, 0.01),
    },
    "Grey levels": {
        "brightness": Strength("Brightness, share of the range", 0.5, 0.01),
        "contrast": Strength("Contrast, share", 1.0, 0.01),
        "blur": Strength("Blur, pixels", 3.0, 0.1),
        "noise": Strength("Noise, share of the range", 0.3, 0.01),
    },
    "Parts and labels": {
        "erasing": Strength("Erasing, share of the images", 1.0, 0.05),
        "mixup": Strength("MixUp, beta's parameter", 2.0, 0.05),
        "cutmix": Strength("CutMix, beta's parameter", 2.0, 0.05),
    },
}
_ALL = {name: strength for group in GROUPS.values() for name, strength in group.items()}
_FILLS = {"nearest": "Last pixels", "reflect": "Mirror", "constant": "Black"}
# Whose augmentation stands for a paper's, and for our own recipe.
_PRESETS = {
    "Katkar 2021": "katkar2021-model1-generated",
    "Ranjan 2023": "ranjan2023-model2-fer2013",
    "Rath 2021": "rath2021-balanced",
    "Facet, ours": "facet-tiny",
}
_START = load_config(_PRESETS["Katkar 2021"]).augmentation


def presets() -> None:
    """Buttons that set every strength to a recipe's."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for title, experiment in _PRESETS.items():
            policy = dataset_cache.experiments()[experiment].augmentation
            st.button(title, on_click=_set, args=(policy,), key=f"preset-{experiment}")
        st.button("Nothing", on_click=_set, args=(AugmentationConfig(),), key="preset-nothing")
        st.caption("The augmentation of a paper, of our own recipe, or of no one.")


def controls() -> AugmentationConfig:
    """Every operation with its strength; 0 switches one off."""
    fields: dict[str, Any] = {}
    for title, group in GROUPS.items():
        with st.expander(title, expanded=title == "Places"):
            for name, strength in group.items():
                fields[name] = url_widgets.slider(
                    strength.label,
                    name,
                    0.0,
                    strength.high,
                    strength.step,
                    float(min(getattr(_START, name), strength.high)),
                )
            if title == "Places":
                on = {"1": "On", "0": "Off"}
                flip = url_widgets.segmented_control("Horizontal flip", on, key="horizontal_flip")
                fields["horizontal_flip"] = flip == "1"
                fields["fill"] = url_widgets.segmented_control(
                    "Where the moved image ends", _FILLS, key="fill"
                )
    return AugmentationConfig(**fields)


def samples(splits: Splits) -> Split:
    """The images that a training on this dataset draws from."""
    return splits[UNSPLIT if UNSPLIT in splits.parts else "train"]


def chosen_faces(splits: Splits) -> NDArray[np.intp]:
    """Which faces are shown, as the reader chooses."""
    pool = samples(splits)
    options = {"": "any class"} | {name: name for name in splits.class_names}
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        wanted = url_widgets.selectbox("Class", options, key="class", implied=True, width=150)
        places = np.arange(len(pool))
        if wanted:
            places = np.flatnonzero(pool.labels == splits.class_names.index(wanted))
        pages = max(1, len(places) // FACES)
        # A fixed order that shows every class early.
        order = np.random.default_rng(0).permutation(places)
        number = url_widgets.page(pages, "sheet")
    return order[(number - 1) * FACES : number * FACES]


def sheet(
    splits: Splits, places: NDArray[np.intp], policy: AugmentationConfig, run: Run | None
) -> None:
    """Original, augmented and difference of every chosen face."""
    pool = samples(splits)
    seed = int(url_widgets.slider("Seed", "seed", 0.0, 99.0, 1.0, 0.0, width=260, format="%d"))
    images = pool.images[places]
    began = time.perf_counter()
    if dataset_cache.keras_is_loaded():
        found = dataset_cache.preview(images, policy, seed)
    else:
        with st.spinner("Loading Keras for the first time since the server started: ten seconds"):
            found = dataset_cache.preview(images, policy, seed)
    took = time.perf_counter() - began
    names = splits.class_names
    before, after = _judged(run, found.originals), _judged(run, found.changed)
    figures = []
    for number, place in enumerate(places):
        label = names[pool.labels[place]]
        partner = names[pool.labels[places[found.partner[number]]]]
        share = float(found.share[number])
        text = label if share >= 1 else f"{share:.0%} {label}, {1 - share:.0%} {partner}"
        said = None
        if before is not None and after is not None and run and run.results:
            outputs = run.results.class_names
            said = [
                f"{outputs[row.argmax()]} {row.max():.0%}"
                for row in (before[number], after[number])
            ]
        pictures = (found.originals[number], found.shown[number], found.difference[number])
        figures.append(_triple(pictures, text, said))
    st.html(
        '<div class="triples" style="display:grid;gap:.8rem 1.2rem;'
        'grid-template-columns:repeat(auto-fill,minmax(250px,1fr))">' + "".join(figures) + "</div>"
    )
    st.caption(
        f"Original, augmented, difference about mid-grey: what training with seed {seed} would "
        f"feed if these {len(places)} faces were the first batch of its first epoch. {took:.2f} s."
    )


def robustness(splits: Splits, policy: AugmentationConfig, run: Run) -> None:
    """How far a run's accuracy falls as one strength grows."""
    st.subheader("What one strength costs", anchor=False)
    titles = {name: strength.label.partition(",")[0] for name, strength in _ALL.items()}
    titles = {name: title for name, title in titles.items() if name not in {"mixup", "cutmix"}}
    name = (
        url_widgets.selectbox("Operation", titles, key="operation", implied=True, width=220)
        or "rotation"
    )
    strength = _ALL[name]
    found = unseen(splits, run)
    if found is None:
        st.caption("Which of these faces the run was tested on is not stored with it.")
        return
    part, whose = found
    some = np.sort(np.random.default_rng(0).permutation(len(part))[:_SAMPLE])
    images, labels = part.images[some], part.labels[some]
    if run.config:  # in the size that it was trained on
        images = fit_images(images, run.config.image)
    values, accuracies = [], []
    with st.spinner("Judging changed faces"):
        for step in _STEPS:
            value = step * strength.high
            alone = AugmentationConfig(**{name: value, "fill": policy.fill})
            right = network_cache.correct_under_augmentation(run, images, labels, alone)
            if right is None:
                st.caption("This network takes images of another size.")
                return
            values.append(value)
            accuracies.append(right)
    color = theme.RUN_COLORS[plot.theme_mode()][0]
    groups, kind = part.take(some).units() or (None, "")
    figure = augmentation_charts.strength_curve(values, accuracies, groups, strength.label, color)
    plot.plot(figure, f"strength-{name}", "Accuracy as one strength grows")
    grouped = "" if groups is None else f" ({grouping(len(np.unique(groups)), kind)})"
    st.caption(
        f"{formats.markdown(run_properties.title(run))} on {len(some)} faces of {whose}{grouped}, "
        "each changed once at every strength, with 95 % intervals."
    )


def balance(splits: Splits) -> None:
    """How the classes are distributed once an experiment has made its copies."""
    copying = {
        name: config
        for name, config in dataset_cache.experiments().items()
        if config.augmentation.mode != "online"
        and config.dataset == splits.name
        # Which part of an undivided dataset is copied, such a division says later.
        and (UNSPLIT not in splits.parts or config.protocol.copies == "before_split")
    }
    if not copying:
        return
    st.subheader("Copies", anchor=False)
    titles = {name: config.title for name, config in copying.items()}
    name = url_widgets.selectbox("Experiment", titles, key="copies", implied=True, width=360)
    config = copying[name or next(iter(copying))]
    before = np.bincount(samples(splits).labels, minlength=len(splits.class_names))
    after = [count * _times(config, c) for count, c in zip(before, splits.class_names, strict=True)]
    colors = theme.class_colors(splits.class_names, plot.theme_mode())
    figure = augmentation_charts.before_and_after(
        before.tolist(), after, splits.class_names, colors
    )
    plot.plot(figure, "classes-with-copies", "Images of each class before and after copying")
    st.caption(
        f"Images of each class before (pale) and after copies are made (full): "
        f"{int(before.sum()):,} become {int(sum(after)):,}."
    )


def toml(policy: AugmentationConfig) -> str:
    """The policy as a config has it, without what is switched off."""
    default = AugmentationConfig()
    lines = ["[augmentation]"]
    for name, value in policy.model_dump().items():
        if value != getattr(default, name):
            shown = str(value).lower() if isinstance(value, bool) else value
            lines.append(f"{name} = {f'{shown!r}' if isinstance(value, str) else shown}")
    return "\n".join(lines).replace("'", '"') + "\n"


def unseen(splits: Splits, run: Run) -> tuple[Split, str] | None:
    """Faces that a run was not trained on, and what they are called.

    Of a dataset that the protocol divides itself they are those that it was tested on.
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
    found = [part for part in parts if len(part)]
    if not found:
        return None
    whole = found[0]
    for part in found[1:]:
        whole = whole.concatenate(part)
    return whole, "the run's own test"


def _times(config: ExperimentConfig, name: str) -> int:
    if config.augmentation.mode == "doubled":
        return 0 if name in config.drop_classes else 2
    return config.augmentation.class_multipliers.get(name, 1)


def _judged(run: Run | None, images: NDArray[Any]) -> NDArray[np.float32] | None:
    return network_cache.shown_probabilities(run, images) if run else None


def _set(policy: AugmentationConfig) -> None:
    values = {name: f"{getattr(policy, name):g}" for name in _ALL}
    values["horizontal_flip"] = "1" if policy.horizontal_flip else "0"
    values["fill"] = policy.fill
    url_widgets.set_values(values)


def _triple(pictures: Sequence[NDArray[np.uint8]], text: str, said: Sequence[str] | None) -> str:
    titles = ("original", "augmented", "difference")
    images = "".join(
        f'<img src="{cached_png_address(picture)}" alt="{title}: {html.escape(text)}" '
        'style="width:32%;aspect-ratio:1;border-radius:.35rem">'
        for picture, title in zip(pictures, titles, strict=True)
    )
    below = html.escape(text)
    if said:
        below += f'<br><span style="opacity:.7">{html.escape(" → ".join(said))}</span>'
    return (
        f'<figure style="margin:0"><div style="display:flex;justify-content:space-between">{images}'
        f'</div><figcaption style="font-size:.8rem">{below}</figcaption></figure>'
    )
