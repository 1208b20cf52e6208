"""Scroll a new page to its top: Streamlit keeps the scroll position of the page before."""

import streamlit as st

_SCRIPT = """<script>
// Visit {visit}: the browser runs a script again when its text changes.
if (!location.hash) document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);
</script>"""


def scroll_to_top(visit: int) -> None:
    """Scroll to the top once for each visit of a page.

    Args:
        visit: a number that changes with each visit, see `url_widgets.begin`.
    """
    # The element is always there, because one that comes and goes would move all others.
    st.sidebar.html(_SCRIPT.replace("{visit}", str(visit)), unsafe_allow_javascript=True)
