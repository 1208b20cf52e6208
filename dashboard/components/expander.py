"""An expander that computes its content only while it is open."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.components import url_widgets


def expander(label: str, key: str, icon: str, address: str = "") -> DeltaGenerator | None:
    """Draw a section that is closed at first.

    Args:
        label: its title.
        key: of its state in the session.
        icon: before the title.
        address: a query parameter of the page; where it has a value, the section is open at first.

    Returns:
        The section; `None` while it is closed, so that its content need not be computed.
    """
    section = st.expander(
        label,
        bool(address and url_widgets.query_value(address)),
        icon=icon,
        key=key,
        on_change="rerun",
    )
    return section if section.open else None
