"""Data: which datasets are here, what they look like, and what is wrong with them."""

import streamlit as st

from dashboard.app_pages.data import sections
from dashboard.components import url_widgets
from dashboard.state import dataset_cache

st.title("Data", anchor=False)
sections.installed()
ready = dataset_cache.installed_datasets()
name = url_widgets.selectbox("Dataset", {name: name for name in ready}, key="dataset", implied=True)
found = dataset_cache.images(name) if name else None
if found is None:
    st.error("This dataset cannot be read; add it again.", icon=":material/error:")
    st.stop()
sections.distribution(found.splits)
sections.faces(found.splits)
sections.flaws(found.splits)
sections.light(found.splits)
sections.embedding(found.splits)
