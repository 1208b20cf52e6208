"""Widgets that store their value in a query parameter, so that a link restores the view.

Streamlit's own binding of widgets to the URL stores labels. These widgets store identifiers, so
that a link stays valid if a label changes. Values that a widget cannot take are ignored.

When a visitor arrives, or goes back or forth in the browser, each widget takes its value from the
URL once. After that the widget sets the URL: the browser may run the page with an outdated URL,
because it has not received the last change yet.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

_ValueT = TypeVar("_ValueT")
_PAGE, _INCOMING = "linked:page", "linked:given"
_LAST_QUERIES, _LAST_SELECTION = "linked:last queries", "linked:last selection"
_VISITS = "linked:visits"
# Selections that pages share: they are not restored from the last visit of a page.
_SHARED = ("runs", "networks")
# Stands for the value of a widget that no longer exists.
_MISSING = object()


@dataclass
class _IncomingUrl:
    """A URL from the browser, of which each value is used once.

    Attributes:
        query: the values by query parameter.
        arrived: whether the visitor arrived at the page with this URL, and did not go back or
            forth to it. Parameters that are missing then leave their widgets unchanged.
        used: the parameters that were used, or were changed on the page since.
    """

    query: dict[str, list[str]]
    arrived: bool
    used: set[str] = field(default_factory=set)

    def take(self, key: str) -> list[str] | None:
        """Return the values of a parameter and mark it as used; `None` if it does not apply."""
        if key in self.used:
            return None
        self.used.add(key)
        return None if self.arrived and key not in self.query else self.query.get(key, [])


def begin(page: str, selection: Sequence[str] = ()) -> int:
    """Register the URL that the browser came with; the entry point calls this before each page.

    A visitor who comes back to a page by the navigation, thus without a query, gets the query of
    the last visit again: filters, sorting and settings.

    Args:
        page: its URL path.
        selection: ids of the runs selected on any page. If they have changed since the last visit,
            the run that the page showed is not restored.

    Returns:
        How many pages the visitor has gone to so far.
    """
    context = get_script_run_ctx()
    arrived = st.session_state.get(_PAGE) != page
    st.session_state[_PAGE] = page
    if arrived and not current_query():
        _restore_query(page, list(selection))
    if arrived or (context is not None and context.is_history_navigation):
        st.session_state[_INCOMING] = _IncomingUrl(current_query(), arrived)
    st.session_state.setdefault(_LAST_SELECTION, {})[page] = list(selection)
    _remember_query()
    visits: int = st.session_state.get(_VISITS, 0) + arrived
    st.session_state[_VISITS] = visits
    return visits


def text_input(label: str, key: str, **options: Any) -> str:
    """Draw a text field, and return its text."""
    value, assigned = _sync(key, "", lambda values: values[0] if values else "")
    start = "" if assigned else value
    st.text_input(label, start, key=key, on_change=_publish, args=(key, ""), **options)
    return value


def segmented_control(
    label: str, options: Mapping[str, str], key: str, remembered: str = "", **kwargs: Any
) -> str:
    """Draw a selection of one of a few options, and return its value; the first is the default.

    Args:
        label: of the widget.
        options: their labels by value.
        key: the query parameter.
        remembered: the visitor's selection on other pages, as for `multiselect`.
        kwargs: for `st.segmented_control`.
    """
    default = next(iter(options))
    if remembered in options and key not in st.session_state and key not in st.query_params:
        _write(key, _encode(remembered, default))
    value, assigned = _sync(key, default, lambda values: _first(values, options, default))
    st.segmented_control(
        label,
        list(options),
        default=None if assigned else value,
        format_func=lambda option: options.get(option, option),
        required=True,
        wrap=True,
        key=key,
        on_change=_publish,
        args=(key, default),
        **kwargs,
    )
    return value


def selectbox(
    label: str, options: Mapping[str, str], key: str, *, implied: bool = False, **kwargs: Any
) -> str | None:
    """Draw a searchable selection of one of many options, and return its value.

    Args:
        label: of the widget.
        options: their labels by value; without any, nothing is drawn.
        key: the query parameter.
        implied: leave the first option, which is the default, out of the URL. Otherwise the URL
            names it, so that a link stays valid if another option becomes the first.
        kwargs: for `st.selectbox`.

    Returns:
        The selected value; `None` without options.
    """
    if not options:
        return None
    default = next(iter(options))
    unnamed = default if implied else None
    value, assigned = _sync(key, unnamed, lambda values: _first(values, options, default))
    st.selectbox(
        label,
        list(options),
        index=0 if assigned else list(options).index(value),
        format_func=lambda option: options.get(option, option),
        key=key,
        on_change=_publish,
        args=(key, unnamed),
        **kwargs,
    )
    return value


def pills(
    label: str, options: Mapping[str, str], key: str, default: Sequence[str] = (), **kwargs: Any
) -> list[str]:
    """Draw a selection of several of a few options, and return the values in their order."""

    def parse(values: list[str]) -> list[str]:
        selected = values or default
        return [option for option in options if option in selected]

    value, assigned = _sync(key, list(default), parse)
    st.pills(
        label,
        list(options),
        default=None if assigned else value,
        format_func=lambda option: options.get(option, option),
        selection_mode="multi",
        wrap=True,
        key=key,
        on_change=_publish,
        args=(key, list(default)),
        **kwargs,
    )
    return [option for option in options if option in value]


def multiselect(
    label: str,
    options: Mapping[str, str],
    key: str,
    limit: int,
    default: Sequence[str] = (),
    remembered: Sequence[str] = (),
    **kwargs: Any,
) -> list[str]:
    """Draw a selection of several of many options, and return the values in the selected order.

    Args:
        label: of the widget.
        options: their labels by value.
        key: the query parameter.
        limit: the maximum number of selected options.
        default: selected if the URL has no value.
        remembered: the visitor's selection on other pages. It is selected and written to the URL
            if the URL has no value on arrival.
        kwargs: for `st.multiselect`.
    """

    def parse(values: list[str]) -> list[str]:
        valid = [option for option in dict.fromkeys(values or default) if option in options]
        # A link that names only unknown options, such as deleted runs, is no empty selection.
        return (valid if valid or not any(values) else [*default])[:limit]

    if remembered and key not in st.session_state and key not in st.query_params:
        _write(key, parse(list(remembered)))
    value, assigned = _sync(key, list(default), parse)
    st.multiselect(
        label,
        list(options),
        default=None if assigned else value,
        format_func=lambda option: options.get(option, option),
        max_selections=limit,
        select_all=False,
        key=key,
        on_change=_publish,
        args=(key, list(default)),
        **kwargs,
    )
    return value


def toggle(label: str, key: str, **kwargs: Any) -> bool:
    """Draw a switch that is off by default, and return whether it is on."""
    value, assigned = _sync(key, False, lambda values: values == ["1"])
    st.toggle(
        label,
        value=value and not assigned,
        key=key,
        on_change=_publish,
        args=(key, False),
        **kwargs,
    )
    return value


def slider(
    label: str, key: str, low: float, high: float, step: float, default: float, **kwargs: Any
) -> float:
    """Draw a slider, and return its number."""

    def parse(values: list[str]) -> float:
        try:
            number = float(values[0]) if values else default
        except ValueError:
            return default
        return default if math.isnan(number) else min(max(number, low), high)

    value, assigned = _sync(key, default, parse)
    st.slider(
        label,
        low,
        high,
        None if assigned else value,
        step,
        key=key,
        on_change=_publish,
        args=(key, default),
        **kwargs,
    )
    return value


def query_value(key: str) -> str:
    """Return the first value of a query parameter, or an empty text."""
    return (st.query_params.get_all(key) or [""])[0]


def page(count: int, key: str) -> int:
    """Draw the selection of one of `count` pages, and return its number, from 1."""

    def parse(values: list[str]) -> int:
        first = values[0] if values else ""
        # Digits only, and few: Python refuses to convert thousands of them.
        number = int(first) if first.isdecimal() and len(first) < 9 else 1
        return min(max(number, 1), count)

    value, assigned = _sync(key, 1, parse)
    st.pagination(
        count, default=1 if assigned else value, key=key, on_change=_publish, args=(key, 1)
    )
    return value


def pending_value(key: str) -> list[str] | None:
    """Return the values of a parameter that has no widget, if the URL applies; else `None`.

    For selections that a page stores itself: it calls `mark_changed` in a callback when the
    selection changes, and `sync_query` in every run.
    """
    return _incoming().take(key)


def mark_changed(key: str) -> None:
    """Register, in a callback, that the visitor changed the value of a parameter on the page."""
    _incoming().used.add(key)
    # The selection on the page replaces the value in the URL.
    _incoming().query.pop(key, None)


def query_values(key: str) -> list[str]:
    """Return the values of a parameter, until the visitor changes the selection on the page.

    Values that no widget offers are included.
    """
    return list(dict.fromkeys(_incoming().query.get(key, [])))


def current_query() -> dict[str, list[str]]:
    """Return the values in the URL by query parameter."""
    return {key: st.query_params.get_all(key) for key in st.query_params}


def sync_query(key: str, values: list[str]) -> None:
    """Write values to a query parameter that has no widget."""
    _write(key, values)


def set_values(values: Mapping[str, str]) -> None:
    """Set the values of other widgets of this module, in a callback.

    Args:
        values: by query parameter. The empty text stands for a widget's default.
    """
    incoming, query = _incoming(), current_query()
    for key, value in values.items():
        query[key] = incoming.query[key] = [value] if value else []
        incoming.used.discard(key)
    # All in one call, so that one step back in the browser undoes all of them.
    st.query_params.from_dict({key: texts for key, texts in query.items() if texts})
    _remember_query()


def replace_query(query: Mapping[str, Sequence[str]]) -> None:
    """Set the whole query of the page in a callback, as a link to the page would.

    Args:
        query: values by query parameter. Widgets without a value get their default.
    """
    values = {key: list(texts) for key, texts in query.items()}
    st.query_params.from_dict(values)
    st.session_state[_INCOMING] = _IncomingUrl(values, arrived=False)
    _remember_query()


def _incoming() -> _IncomingUrl:
    url: _IncomingUrl = st.session_state.setdefault(_INCOMING, _IncomingUrl({}, arrived=True))
    return url


def _restore_query(page: str, selection: list[str]) -> None:
    last = st.session_state.get(_LAST_QUERIES, {}).get(page, {})
    left_out = set(_SHARED)
    if st.session_state.get(_LAST_SELECTION, {}).get(page) != selection:
        left_out.add("run")
    restored = {key: values for key, values in last.items() if key not in left_out}
    if restored:
        st.query_params.from_dict(restored)


def _remember_query() -> None:
    """Store the query of the page for the visitor's next visit."""
    queries = st.session_state.setdefault(_LAST_QUERIES, {})
    queries[st.session_state.get(_PAGE)] = current_query()


def _sync(key: str, default: Any, parse: Callable[[list[str]], _ValueT]) -> tuple[_ValueT, bool]:
    """Return the value of a widget, and whether it was assigned to the session state.

    A value is assigned only if the URL changes the value of an existing widget. Otherwise the
    widget gets its value as its default, in every run and not only in the first: a click interrupts
    a run, and a browser that has missed the message of an assignment would draw the widget empty
    and report that as a selection.

    Args:
        key: the query parameter, and the key of the widget.
        default: the value that the URL leaves out.
        parse: converts the texts of the URL to a valid value.
    """
    incoming = _incoming().take(key)
    if key not in st.session_state:
        return parse(st.query_params.get_all(key)), False
    current = st.session_state.get(key)
    value = parse(_encode(current, default) if incoming is None else incoming)
    if assigned := value != current:
        st.session_state[key] = value
    if incoming is None:
        _write(key, _encode(value, default))
    return value, assigned


def _publish(key: str, default: Any) -> None:
    """Write a widget's new value to the URL, before the page runs with it.

    If the visitor has left the page meanwhile, the widget no longer exists: nothing is written.
    """
    value = st.session_state.get(key, _MISSING)
    if value is _MISSING:
        return
    mark_changed(key)
    _write(key, _encode(value, default))


def _write(key: str, encoded: list[str]) -> None:
    if encoded == st.query_params.get_all(key):
        return
    if encoded:
        st.query_params[key] = encoded
    else:
        st.query_params.pop(key, None)
    _remember_query()


def _encode(value: Any, default: Any) -> list[str]:
    if value == default or value is None:
        return []
    if isinstance(value, list):
        # An empty selection differs from the default: the URL has the key with an empty value.
        return value or [""]
    return ["1"] if value is True else [str(value)]


def _first(values: list[str], options: Mapping[str, str], default: str) -> str:
    return values[0] if values and values[0] in options else default
