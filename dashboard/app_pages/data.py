"""Data: which datasets are here, what they look like, and what is wrong with them."""

import streamlit as st

from dashboard import cached, datasets, linked

st.title("Data", anchor=False)
datasets.installed()
ready = cached.installed_datasets()
name = linked.pick("Dataset", {name: name for name in ready}, key="dataset", implied=True)
found = cached.images(name) if name else None
if found is None:
    st.error("This dataset cannot be read; add it again.", icon=":material/error:")
    st.stop()
datasets.distribution(found.splits)
datasets.faces(found.splits)
datasets.flaws(found.splits)
datasets.light(found.splits)
datasets.embedding(found.splits)
