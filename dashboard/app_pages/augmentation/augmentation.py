"""Augmentation: what training sees, operation by operation."""

import streamlit as st

from dashboard.app_pages.augmentation import sections
from dashboard.components import model_picker, url_widgets
from dashboard.state import dataset_cache, network_cache, run_cache

st.title("Augmentation", anchor=False)
installed = dataset_cache.installed_datasets()
name = url_widgets.selectbox(
    "Dataset", {name: name for name in installed}, key="dataset", implied=True
)
found = dataset_cache.images(name) if name else None
if found is None:
    st.error("This dataset cannot be read; add it again.", icon=":material/error:")
    st.stop()
splits = found.splits
if len(installed) == 1:
    st.info(
        "Faces drawn by code, for no other dataset is installed. Add one with "
        "`fercore data add fer2013 PATH`.",
        icon=":material/draw:",
    )
sections.presets()
left, right = st.columns([1, 2.4], gap="large")
with left:
    policy = sections.controls()
    judges = network_cache.runs_on(splits)
    titles = {"": "none"} | run_cache.labels(list(judges.values()))
    model_picker.explain_missing("run")
    chosen = url_widgets.selectbox("What a run makes of them", titles, key="run", implied=True)
    run = judges.get(chosen or "")
with right:
    sections.sheet(splits, sections.chosen_faces(splits), policy, run)
    st.markdown("**For a config**")
    st.code(sections.toml(policy), language="toml")
if run:
    sections.robustness(splits, policy, run)
sections.balance(splits)
