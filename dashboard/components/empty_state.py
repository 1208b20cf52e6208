"""What a page shows if there are no runs."""

import streamlit as st

from dashboard.state import run_cache
from fercore.paths import runs_root


def no_runs(no_suitable_run: str = "") -> None:
    """Draw the commands that make a first run.

    Args:
        no_suitable_run: shown instead if there are runs, but none that the page can show.
    """
    if no_suitable_run and run_cache.list_runs():
        st.info(no_suitable_run, icon=":material/hourglass_empty:")
        return
    st.subheader("No runs yet")
    st.markdown(
        "A run appears here as soon as its training starts. "
        "The first one takes a minute and needs no dataset:"
    )
    st.code("fercore train synthetic-quick", language="bash")
    st.markdown(
        "For real faces, add FER2013 once (CSV, ZIP, TAR or a folder of images), then train:"
    )
    st.code(
        "fercore data add fer2013 PATH\nfercore train katkar2021-model1-original", language="bash"
    )
    st.caption(f"Runs are read from `{runs_root()}`; set `FERCORE_RUNS` to read another folder.")
