"""Widgets whose value lives in the page's address, so that a link restores the view.

The address is the one truth: before a widget is drawn it takes the value that stands there (what
no widget could hold is passed over), and a change is written there before the page runs again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st


def text(label: str, key: str, **options: Any) -> str:
    """A text field."""
    _show(key, st.query_params.get(key, ""))
    st.text_input(label, key=key, on_change=_publish, args=(key, ""), **options)
    return st.query_params.get(key, "")


def choice(label: str, options: Mapping[str, str], key: str, **kwargs: Any) -> str:
    """One of a few, side by side; the first is the default. Options map values to their labels."""
    default = next(iter(options))
    value = _known(st.query_params.get(key), options, default)
    _show(key, value)
    st.segmented_control(
        label,
        list(options),
        format_func=lambda option: options.get(option, option),
        required=True,
        key=key,
        on_change=_publish,
        args=(key, default),
        **kwargs,
    )
    return value


def pick(label: str, options: Mapping[str, str], key: str, **kwargs: Any) -> str | None:
    """One of many, in a list that can be searched; the first if the address names none."""
    if not options:
        return None
    value = _known(st.query_params.get(key), options, next(iter(options)))
    _show(key, value)
    st.selectbox(
        label,
        list(options),
        format_func=lambda option: options.get(option, option),
        key=key,
        on_change=_publish,
        args=(key, None),
        **kwargs,
    )
    return value


def choices(
    label: str, options: Mapping[str, str], key: str, default: Sequence[str] = (), **kwargs: Any
) -> list[str]:
    """Several of a few, side by side, in the order of the options."""
    given = _given(key, default)
    value = [option for option in options if option in given]
    _show(key, value)
    st.pills(
        label,
        list(options),
        format_func=lambda option: options.get(option, option),
        selection_mode="multi",
        key=key,
        on_change=_publish,
        args=(key, list(default)),
        **kwargs,
    )
    return value


def picks(label: str, options: Mapping[str, str], key: str, limit: int, **kwargs: Any) -> list[str]:
    """Several of many, in the order in which they were picked, at most `limit`."""
    value = [option for option in dict.fromkeys(_given(key, ())) if option in options][:limit]
    _show(key, value)
    st.multiselect(
        label,
        list(options),
        format_func=lambda option: options.get(option, option),
        max_selections=limit,
        select_all=False,
        key=key,
        on_change=_publish,
        args=(key, []),
        **kwargs,
    )
    return value


def toggle(label: str, key: str, **kwargs: Any) -> bool:
    """A switch, off by default."""
    value = st.query_params.get(key) == "1"
    _show(key, value)
    st.toggle(label, key=key, on_change=_publish, args=(key, False), **kwargs)
    return value


def _given(key: str, default: Sequence[str]) -> list[str]:
    # An address that names the key with nothing behind it means "none", not "the default".
    values = st.query_params.get_all(key)
    return [value for value in values if value] if values else list(default)


def _known(value: str | None, options: Mapping[str, str], default: str) -> str:
    return value if value is not None and value in options else default


def _show(key: str, value: Any) -> None:
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def _publish(key: str, default: Any) -> None:
    value = st.session_state[key]
    if value == default or value is None:
        st.query_params.pop(key, None)
    elif isinstance(value, list):
        st.query_params[key] = value or [""]
    else:
        st.query_params[key] = "1" if value is True else str(value)
