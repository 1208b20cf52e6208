"""Presets of the Augmentation page: the recipes of the recommended model, of papers, and ours."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.components import model_picker, url_widgets
from dashboard.state import dataset_cache, run_cache
from fercore.config.augmentation import AugmentationConfig
from fercore.config.experiment import ExperimentConfig
from fercore.config.run import CombinedConfig
from fercore.runs.reader import Run

# The experiments that represent a paper's augmentation, and ours.
_EXPERIMENTS = {
    "Katkar 2021": "katkar2021-model1-generated",
    "Ranjan 2023": "ranjan2023-model2-fer2013",
    "Rath 2021": "rath2021-balanced",
    "Facet (ours)": "facet-tiny",
}
_RECOMMENDED, _NONE = "Recommended model", "None"


def presets(runs: Sequence[Run]) -> Mapping[str, AugmentationConfig]:
    """Return the presets by title; the page opens on the first one.

    Args:
        runs: to take the recommended model from.
    """
    experiments = dataset_cache.experiments()
    recommended = recommended_policy(runs)
    found = {} if recommended is None else {_RECOMMENDED: recommended}
    found |= {title: experiments[name].augmentation for title, name in _EXPERIMENTS.items()}
    return found | {_NONE: AugmentationConfig()}


def recommended_policy(runs: Sequence[Run]) -> AugmentationConfig | None:
    """Return the augmentation that the recommended model was trained with.

    Of an ensemble, it is that of the first member.

    Returns:
        `None` if no run has a network, or the training of the recommended one is unknown.
    """
    run = next(iter(model_picker.networks(runs).values()), None)
    for _ in range(len(runs)):  # an ensemble's members may be ensembles
        config = run.config if run else None
        if isinstance(config, ExperimentConfig):
            return config.augmentation
        members = config.combined.members if isinstance(config, CombinedConfig) else ()
        run = run_cache.find_run(members[0]) if members else None
    return None


def buttons(policies: Mapping[str, AugmentationConfig], strengths: Sequence[str]) -> None:
    """Draw a button for each preset, which sets the strength of every operation.

    Args:
        policies: by title.
        strengths: names of the operations with a slider.
    """
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(
            "Presets",
            width="content",
            help="Augmentation of the recommended model's training, of published recipes, of ours, "
            "or none.",
        )
        for title, policy in policies.items():
            st.button(title, on_click=_set, args=(policy, strengths), key=f"preset-{title}")


def _set(policy: AugmentationConfig, strengths: Sequence[str]) -> None:
    values = {name: f"{getattr(policy, name):g}" for name in strengths}
    values["horizontal_flip"] = "1" if policy.horizontal_flip else "0"
    values["fill"] = policy.fill
    url_widgets.set_values(values)
