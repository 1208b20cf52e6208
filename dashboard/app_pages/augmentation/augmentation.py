"""Augmentation: previews of augmented training images."""

import streamlit as st

from dashboard.app_pages.augmentation import presets, sections
from dashboard.components import model_picker, url_widgets
from dashboard.state import dataset_cache, network_cache, run_cache

st.title("Augmentation", anchor=False)
installed = dataset_cache.installed_datasets()
name = url_widgets.selectbox(
    "Dataset", {name: name for name in installed}, key="dataset", implied=True, width=320
)
images = dataset_cache.images(name) if name else None
if images is None:
    st.error("This dataset cannot be read. Add it again.", icon=":material/error:")
    st.stop()
splits = images.splits
if len(installed) == 1:
    st.info(
        "Only synthetic faces are installed. Add a dataset with `fercore data add fer2013 PATH`.",
        icon=":material/draw:",
    )
policies = presets.presets(run_cache.list_runs())
presets.buttons(policies, list(sections.STRENGTHS))
left, right = st.columns([1, 2.4], gap="large")
with left:
    policy = sections.controls(next(iter(policies.values())))
    runs = network_cache.runs_on(splits)
    titles = {"": "None"} | run_cache.labels(list(runs.values()))
    model_picker.explain_missing("run")
    run_id = url_widgets.selectbox("Model predictions", titles, key="run", implied=True)
    run = runs.get(run_id or "")
with right:
    sections.preview_grid(splits, sections.select_faces(splits), policy, run)
    st.markdown("**TOML config**")
    st.code(sections.to_toml(policy), language="toml")
if run:
    sections.robustness(splits, policy, run)
sections.oversampling(splits)
