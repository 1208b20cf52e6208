"""Augmentation: what training sees, operation by operation."""

import streamlit as st

from dashboard import asking, augmenting, cached, linked

st.title("Augmentation", anchor=False)
installed = cached.installed_datasets()
name = linked.pick("Dataset", {name: name for name in installed}, key="dataset", implied=True)
found = cached.images(name) if name else None
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
augmenting.presets()
left, right = st.columns([1, 2.4], gap="large")
with left:
    policy = augmenting.controls()
    judges = cached.runs_on(splits)
    titles = {"": "none"} | cached.labels(list(judges.values()))
    asking.explain_missing("run")
    chosen = linked.pick("What a run makes of them", titles, key="run", implied=True)
    run = judges.get(chosen or "")
with right:
    augmenting.sheet(splits, augmenting.chosen_faces(splits), policy, run)
    st.markdown("**For a config**")
    st.code(augmenting.toml(policy), language="toml")
if run:
    augmenting.robustness(splits, policy, run)
augmenting.balance(splits)
