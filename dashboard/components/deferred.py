"""Draw a heavy part of a page after the rest of it, on the first visit of a session."""

from collections.abc import Callable

import streamlit as st

_READY = "deferred:ready"
# Seconds until the browser asks for the part; the rest of the page is drawn meanwhile.
_DELAY = 1.5


def draw_later(draw: Callable[[], None], height: int) -> None:
    """Draw a part at once, or on the first visit of a session a placeholder and then the part.

    The browser takes two seconds to load the code of charts. Until then it would draw nothing else.

    Args:
        draw: draws the part.
        height: of the placeholder in pixels.
    """
    if st.session_state.get(_READY):
        draw()
        return
    first = [True]

    @st.fragment(run_every=_DELAY)
    def wait() -> None:
        if first:
            first.clear()
            st.container(height=height, border=False)
            return
        st.session_state[_READY] = True
        st.rerun()

    wait()
