"""What a page shows while there are no runs."""

import streamlit as st

from dashboard.state import run_cache
from fercore.paths import runs_root


def no_runs(lacking: str = "") -> None:
    """What to do when there is no run at all.

    Args:
        lacking: what the page says where there are runs, but none that it can show.
    """
    if lacking and run_cache.list_runs():
        st.info(lacking, icon=":material/hourglass_empty:")
        return
    st.subheader("No runs yet")
    st.markdown(
        "A run appears here by itself as soon as its training starts. "
        "The first one takes a minute and needs no dataset:"
    )
    st.code("fercore train synthetic-quick", language="bash")
    st.markdown(
        "For real figures, add FER2013 once (CSV, ZIP, TAR or a folder of images), then train:"
    )
    st.code(
        "fercore data add fer2013 PATH\nfercore train katkar2021-model1-original", language="bash"
    )
    st.caption(f"Runs are read from `{runs_root()}`; set `FERCORE_RUNS` to read another folder.")
