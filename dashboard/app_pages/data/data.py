"""Datasets: the installed datasets, their samples and their quality."""

import streamlit as st

from dashboard.app_pages.data import quality_section, sections
from dashboard.components import url_widgets
from dashboard.state import dataset_cache

st.title("Datasets", anchor=False)
sections.show_added()
ready = dataset_cache.installed_datasets()
name = url_widgets.selectbox(
    "Dataset", {name: name for name in ready}, key="dataset", implied=True, width=320
)
images = dataset_cache.images(name) if name else None
if images is not None:
    sections.size_line(images.splits)
sections.installed(ready)
if images is None:
    st.error("This dataset cannot be read. Add it again.", icon=":material/error:")
    st.stop()
sections.class_counts(images.splits)
quality_section.quality(images.splits)
sections.samples(images.splits)
sections.brightness_and_sharpness(images.splits)
sections.embedding(images.splits)
