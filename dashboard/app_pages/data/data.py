"""Datasets: the installed datasets, their samples and their quality."""

import streamlit as st

from dashboard.app_pages.data import sections
from dashboard.components import url_widgets
from dashboard.state import dataset_cache

st.title("Datasets", anchor=False)
sections.installed()
ready = dataset_cache.installed_datasets()
name = url_widgets.selectbox("Dataset", {name: name for name in ready}, key="dataset", implied=True)
images = dataset_cache.images(name) if name else None
if images is None:
    st.error("This dataset cannot be read. Add it again.", icon=":material/error:")
    st.stop()
sections.class_counts(images.splits)
sections.samples(images.splits)
sections.quality(images.splits)
sections.brightness_and_sharpness(images.splits)
sections.embedding(images.splits)
