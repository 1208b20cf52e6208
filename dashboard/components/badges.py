"""Badges of a run: its state, protocol and cautions."""

import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.charts import theme
from fercore.runs.reader import Run


def badges(run: Run) -> None:
    """A run's state and what sets it apart, in one wrapping row."""
    look = theme.STATES[run.state]
    with st.container(horizontal=True, gap="small"):
        st.badge(run.state, icon=look.icon, color=look.badge, help=look.meaning)
        if run_properties.is_synthetic(run):
            st.badge("synthetic faces", icon=":material/draw:", color="violet")
        if run.origin == "combined":
            st.badge(
                "combined",
                icon=":material/join:",
                color="violet",
                help="The mean of several networks, or of several views of an image.",
            )
        if run_properties.has_unknown_training_data(run):
            st.badge(
                "imported" if run.origin == "imported" else "of an imported network",
                icon=":material/input:",
                color="violet",
                help="Judged here; what it was trained on is not known.",
            )
        for tag in run.notes.tags:
            st.badge(formats.markdown(tag), icon=":material/sell:", color="blue")
        if run_properties.leaks(run):
            st.badge(
                "not independent",
                icon=":material/warning:",
                color="orange",
                help=f"{run_properties.LEAKS} This figure measures memory too.",
            )
        if run_properties.dropped_classes(run):
            left_out = ", ".join(run_properties.dropped_classes(run))
            st.badge(f"without {left_out}", icon=":material/filter_alt:", color="orange")
        if run.config:
            for fact in (run.config.dataset, run.config.model, f"seed {run.config.seed}"):
                st.badge(formats.markdown(fact), color="gray")
