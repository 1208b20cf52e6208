"""Badges of a run: its state, protocol and cautions."""

import streamlit as st

from dashboard import formats
from dashboard.analysis import run_properties
from dashboard.analysis.leaderboard import RECOMMENDED_HELP
from dashboard.charts import theme
from dashboard.state import comparison_cache, run_cache
from fercore.runs.reader import Run


def badges(run: Run) -> None:
    """Draw a run's state, tags, cautions and protocol in one wrapping row."""
    look = theme.STATES[run.state]
    with st.container(horizontal=True, gap="small"):
        st.badge(run.state, icon=look.icon, color=look.badge, help=look.meaning)
        if run is comparison_cache.recommended_run(run_cache.known_runs()):
            st.badge("recommended", icon=":material/star:", color="green", help=RECOMMENDED_HELP)
        if run_properties.is_synthetic(run):
            st.badge("synthetic faces", icon=":material/draw:", color="violet")
        if run.origin == "combined":
            st.badge(
                "combined",
                icon=":material/join:",
                color="violet",
                help="An ensemble of networks, or one network with test-time augmentation.",
            )
        if run_properties.has_unknown_training_data(run):
            st.badge(
                "imported" if run.origin == "imported" else "imported member",
                icon=":material/input:",
                color="violet",
                help="Evaluated here; its training data is unknown.",
            )
        for tag in run.notes.tags:
            st.badge(formats.markdown(tag), icon=":material/sell:", color="blue")
        if run_properties.leaks(run):
            st.badge(
                "not independent",
                icon=":material/warning:",
                color="orange",
                help=f"{run_properties.LEAKS} The accuracy is too high.",
            )
        if run_properties.dropped_classes(run):
            dropped = ", ".join(run_properties.dropped_classes(run))
            st.badge(f"without {dropped}", icon=":material/filter_alt:", color="orange")
        if run.config:
            for text in (run.config.dataset, run.config.model, f"seed {run.config.seed}"):
                st.badge(formats.markdown(text), color="gray")
