"""Saved views in the sidebar: named links to a page with its selection and settings."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from dashboard import formats
from dashboard.components import url_widgets
from fercore.errors import UserError
from fercore.paths import runs_root
from fercore.runs import saved_views

_NAME, _PROBLEM = "view:name", "view:problem"


def show(pages: Mapping[str, Any], page: str) -> None:
    """Draw the saved views, and the menu that saves this one and copies its link.

    Args:
        pages: of the dashboard, as `st.Page` returns them, by URL path.
        page: URL path of the page in view.
    """
    views, problem = _read()
    with st.sidebar:
        if views:
            st.caption("Saved views")
        for number, view in enumerate(views):
            if view.page in pages:
                target = None if view.page == page else pages[view.page]
                st.button(
                    formats.markdown(view.name),
                    icon=":material/bookmark:",
                    type="tertiary",
                    key=f"view:{number}",
                    on_click=_open,
                    args=(target, view.query),
                )
        menu = st.popover(
            "Save or share",
            icon=":material/bookmark_add:",
            type="tertiary",
            key="view:menu",
            on_change="rerun",
        )
        if menu.open:
            with menu:
                _menu(page, [view.name for view in views], problem)


def _menu(page: str, names: list[str], problem: str) -> None:
    query = url_widgets.current_query()
    address = f"{st.context.url or ''}{'?' if query else ''}{urlencode(query, doseq=True)}"
    st.caption("Link to this view")
    st.code(address, language=None, wrap_lines=True)
    st.text_input(
        "Save this view as",
        key=_NAME,
        max_chars=60,
        placeholder="Name",
        help="Everybody who uses this folder of runs sees it. A view of the same name is replaced.",
    )
    st.button("Save", icon=":material/bookmark_add:", on_click=_save, args=(page,))
    if text := st.session_state.pop(_PROBLEM, problem):
        st.error(formats.markdown(text))
    if names:
        removed = st.selectbox("Delete a view", names, index=None, placeholder="Select a view")
        if removed:
            st.button("Delete", icon=":material/delete:", on_click=_delete, args=(removed,))


def _open(target: Any, query: Mapping[str, list[str]]) -> None:
    """Go to another page with a query, or without a target set the query of this page."""
    if target is None:
        url_widgets.replace_query(query)
    else:
        st.switch_page(target, query_params=dict(query))


def _read() -> tuple[tuple[saved_views.SavedView, ...], str]:
    try:
        return saved_views.read_views(runs_root()), ""
    except UserError as error:
        return (), str(error)


def _save(page: str) -> None:
    try:
        name = st.session_state.get(_NAME, "")
        saved_views.save_view(runs_root(), name, page, url_widgets.current_query())
        st.session_state[_NAME] = ""
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)


def _delete(name: str) -> None:
    try:
        saved_views.delete_view(runs_root(), name)
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)
