"""An expander whose state is kept in the address of the page."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.components import url_widgets


def expander(label: str, key: str, icon: str, address: str = "") -> DeltaGenerator | None:
    """A section that is closed at first; `None` while it is, so that nothing in it is computed.

    Args:
        label: its title.
        key: of its state in the session.
        icon: beside the title.
        address: a key of the page's address; where that has a value, the section is open at first.
    """
    found = st.expander(
        label,
        bool(address and url_widgets.query_value(address)),
        icon=icon,
        key=key,
        on_change="rerun",
    )
    return found if found.open else None
