"""A tile with one number."""

import streamlit as st


def tile(label: str, value: str, caption: str) -> None:
    """Draw a number with a label above it and a caption below it."""
    with st.container(border=True, height="stretch", gap="xxsmall"):
        st.metric(label, value)
        st.caption(caption)
