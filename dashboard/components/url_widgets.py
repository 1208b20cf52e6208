"""Widgets whose value is kept in the address of the page, so that a link restores the view.

Streamlit's own binding puts a widget's labels there; these put identifiers, which a link needs that
is to outlive a label. What no widget could hold is passed over.

The address rules where a visitor arrives and where the browser goes back or forth; a widget takes
its value from there once. Otherwise the widget rules and the address follows: the browser may run
the page with an address that is behind, for it has not heard of the last change.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

_ValueT = TypeVar("_ValueT")
_PAGE, _GIVEN = "linked:page", "linked:given"
# Stands for the value of a widget that no longer exists.
_GONE = object()


@dataclass
class _IncomingUrl:
    """An address whose values are to be taken, once each.

    Attributes:
        address: by key; what is not there has no value.
        arrived: whether a visitor has come to the page with it. What it then leaves out is as it
            was.
        taken: the keys whose values were taken, or were chosen anew since.
    """

    address: dict[str, list[str]]
    arrived: bool
    taken: set[str] = field(default_factory=set)

    def take(self, key: str) -> list[str] | None:
        """What the address says under a key, if that is still to be taken."""
        if key in self.taken:
            return None
        self.taken.add(key)
        return None if self.arrived and key not in self.address else self.address.get(key, [])


def begin(page: str) -> None:
    """Take note of an address that someone else wrote; the entry point calls it before the page."""
    context = get_script_run_ctx()
    arrived = st.session_state.get(_PAGE) != page
    if arrived or (context is not None and context.is_history_navigation):
        st.session_state[_GIVEN] = _IncomingUrl(_address(), arrived)
    st.session_state[_PAGE] = page


def text_input(label: str, key: str, **options: Any) -> str:
    """A text field."""
    value, new = _sync(key, "", lambda given: given[0] if given else "")
    start = "" if new else value
    st.text_input(label, start, key=key, on_change=_publish, args=(key, ""), **options)
    return value


def segmented_control(label: str, options: Mapping[str, str], key: str, **kwargs: Any) -> str:
    """One of a few, side by side; the first is the default. Options map values to their labels."""
    default = next(iter(options))
    value, new = _sync(key, default, lambda given: _one(given, options, default))
    st.segmented_control(
        label,
        list(options),
        default=None if new else value,
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
    """One of many, in a list that can be searched; the first if the address names none.

    The address names the first as well, so that a link outlives a change of the list, unless it is
    implied.
    """
    if not options:
        return None
    default = next(iter(options))
    unnamed = default if implied else None
    value, new = _sync(key, unnamed, lambda given: _one(given, options, default))
    st.selectbox(
        label,
        list(options),
        index=0 if new else list(options).index(value),
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
    """Several of a few, side by side, in the order of the options."""

    def parse(given: list[str]) -> list[str]:
        wanted = given or default
        return [option for option in options if option in wanted]

    value, new = _sync(key, list(default), parse)
    st.pills(
        label,
        list(options),
        default=None if new else value,
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
    """Several of many, in the order in which they were picked, at most `limit`.

    Args:
        label: of the list.
        options: their labels by value.
        key: under which the address names them.
        limit: the most that can be picked.
        default: what no name in the address stands for.
        remembered: what a visitor has picked elsewhere. It is picked, and named, where the address
            names none on arrival.
        kwargs: for `st.multiselect`.
    """

    def parse(given: list[str]) -> list[str]:
        return [option for option in dict.fromkeys(given or default) if option in options][:limit]

    if remembered and key not in st.session_state and key not in st.query_params:
        _write(key, parse(list(remembered)))
    value, new = _sync(key, list(default), parse)
    st.multiselect(
        label,
        list(options),
        default=None if new else value,
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
    """A switch, off by default."""
    value, new = _sync(key, False, lambda given: given == ["1"])
    st.toggle(
        label,
        value=value and not new,
        key=key,
        on_change=_publish,
        args=(key, False),
        **kwargs,
    )
    return value


def slider(
    label: str, key: str, low: float, high: float, step: float, default: float, **kwargs: Any
) -> float:
    """A number on a scale."""

    def parse(given: list[str]) -> float:
        try:
            wanted = float(given[0]) if given else default
        except ValueError:
            return default
        # What is no number compares with nothing.
        return min(max(wanted, low), high) if wanted == wanted else default

    value, new = _sync(key, default, parse)
    st.slider(
        label,
        low,
        high,
        None if new else value,
        step,
        key=key,
        on_change=_publish,
        args=(key, default),
        **kwargs,
    )
    return value


def query_value(key: str) -> str:
    """What the address says of a key that has a widget elsewhere, or none; the first, if often."""
    return (st.query_params.get_all(key) or [""])[0]


def page(count: int, key: str) -> int:
    """The number of a page, from 1."""

    def parse(given: list[str]) -> int:
        wanted = int(given[0]) if given and given[0].isdecimal() and len(given[0]) < 9 else 1
        return min(max(wanted, 1), count)

    value, new = _sync(key, 1, parse)
    st.pagination(count, default=1 if new else value, key=key, on_change=_publish, args=(key, 1))
    return value


def pending_value(key: str) -> list[str] | None:
    """What the address says under a key that no widget is bound to, where it rules.

    For choices that a page keeps by itself; it says `publish` when one is made, from a callback,
    and `write` in every run.
    """
    return _given().take(key)


def mark_changed(key: str) -> None:
    """Note, in a callback, that the choice under a key was changed on the page."""
    _given().taken.add(key)
    # A choice on the page replaces the value in the URL.
    _given().address.pop(key, None)


def query_values(key: str) -> list[str]:
    """Return the values of a key in the URL, until the user changes the choice on the page.

    Values that no widget offers are included.
    """
    return list(dict.fromkeys(_given().address.get(key, [])))


def sync_query(key: str, values: list[str]) -> None:
    """Bring the address up to date."""
    _write(key, values)


def set_values(values: Mapping[str, str]) -> None:
    """Give linked widgets other values, from the callback of something else.

    Args:
        values: by key. The empty text stands for a widget's default.
    """
    given, address = _given(), _address()
    for key, value in values.items():
        address[key] = given.address[key] = [value] if value else []
        given.taken.discard(key)
    # All at once: one step back undoes the whole.
    st.query_params.from_dict({key: said for key, said in address.items() if said})


def _given() -> _IncomingUrl:
    given: _IncomingUrl = st.session_state.setdefault(_GIVEN, _IncomingUrl({}, arrived=True))
    return given


def _address() -> dict[str, list[str]]:
    return {key: st.query_params.get_all(key) for key in st.query_params}


def _sync(key: str, default: Any, parse: Callable[[list[str]], _ValueT]) -> tuple[_ValueT, bool]:
    """The value that the widget is to show, and whether it has to be assigned.

    A value is assigned only where the address changes that of a widget which is there already.
    Otherwise the widget takes its value as its default, in every run and not in the first alone: a
    click cuts a run short, and a browser that has missed the message of an assignment would draw
    the widget empty, and report that as a choice.
    """
    given = _given().take(key)
    if key not in st.session_state:
        return parse(st.query_params.get_all(key)), False
    current = st.session_state.get(key)
    value = parse(_encode(current, default) if given is None else given)
    if changed := value != current:
        st.session_state[key] = value
    if given is None:
        _write(key, _encode(value, default))
    return value, changed


def _publish(key: str, default: Any) -> None:
    """Write a widget's new value to the address, before the page runs with it.

    On a page that was left meanwhile, the widget and its value are gone: nothing is written.
    """
    value = st.session_state.get(key, _GONE)
    if value is _GONE:
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


def _encode(value: Any, default: Any) -> list[str]:
    if value == default or value is None:
        return []
    if isinstance(value, list):
        # Nothing chosen, where something is the default, is a key with nothing behind it.
        return value or [""]
    return ["1"] if value is True else [str(value)]


def _one(given: list[str], options: Mapping[str, str], default: str) -> str:
    return given[0] if given and given[0] in options else default
