"""Widgets whose value lives in the page's address, so that a link restores the view.

Streamlit's own binding puts a widget's labels there; these put identifiers, which a link needs that
is to outlive a label. What no widget could hold is passed over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st

_ValueT = TypeVar("_ValueT")
_USED, _NOW_USED = "linked:used", "linked:now used"
_PAGE, _ARRIVED = "linked:page", "linked:arrived"


@dataclass
class _Link:
    """What one session knows of the address under one key.

    A page may run with an address that is behind: someone has clicked before the browser heard of
    the last changes. An address that this session wrote comes from itself. The last one that the
    browser is known to have had is behind if a widget was used in this run; else the browser has
    heard of what came later and has gone back.

    Attributes:
        seen: the last address that came from the browser.
        sent: what was written since.
        ahead: whether the address of this run is one that a callback has just written.
        assigned: whether the widget is still to take its value from there.
    """

    seen: list[str] | None = None
    sent: list[list[str]] = field(default_factory=list)
    ahead: bool = False
    assigned: bool = False

    def comes_from_outside(self, address: list[str]) -> bool:
        """Whether someone else changed the address; takes note of it."""
        if self.ahead:
            self.ahead = False
            return False
        if address == self.seen and self.sent and not st.session_state.get(_USED):
            self.sent.clear()
            return True
        return self.heard(address)

    def heard(self, address: list[str]) -> bool:
        """Take note of an address that the browser sent; whether someone else changed it."""
        if address == self.seen:
            return False
        self.seen = address
        if address in self.sent:
            del self.sent[: self.sent.index(address) + 1]
            return False
        self.sent.clear()
        return True


def begin(page: str) -> None:
    """Tell this run of the app from the one before; the entry point calls it before the page."""
    st.session_state[_USED] = st.session_state.pop(_NOW_USED, False)
    st.session_state[_ARRIVED] = st.session_state.get(_PAGE) != page
    st.session_state[_PAGE] = page


def arrived() -> bool:
    """Whether this is the first run of a page since another one was open."""
    return bool(st.session_state.get(_ARRIVED, True))


def text(label: str, key: str, **options: Any) -> str:
    """A text field."""
    value, new = _sync(key, "", lambda given: given[0] if given else "")
    start = "" if new else value
    st.text_input(label, start, key=key, on_change=_publish, args=(key, ""), **options)
    return value


def choice(label: str, options: Mapping[str, str], key: str, **kwargs: Any) -> str:
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


def pick(
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


def choices(
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


def picks(
    label: str,
    options: Mapping[str, str],
    key: str,
    limit: int,
    default: Sequence[str] = (),
    **kwargs: Any,
) -> list[str]:
    """Several of many, in the order in which they were picked, at most `limit`."""

    def parse(given: list[str]) -> list[str]:
        return [option for option in dict.fromkeys(given or default) if option in options][:limit]

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


def number(
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


def page(count: int, key: str) -> int:
    """The number of a page, from 1."""

    def parse(given: list[str]) -> int:
        wanted = int(given[0]) if given and given[0].isdecimal() else 1
        return min(max(wanted, 1), count)

    value, new = _sync(key, 1, parse)
    st.pagination(count, default=1 if new else value, key=key, on_change=_publish, args=(key, 1))
    return value


def follow(key: str) -> list[str] | None:
    """What the address says under a key that no widget is bound to, if it has just changed there.

    For choices that a page keeps by itself; it says `publish` when one is made, from a callback,
    and `write` in every run.
    """
    link: _Link = st.session_state.setdefault(f"link:{key}", _Link())
    address = st.query_params.get_all(key)
    return address if link.comes_from_outside(address) else None


def publish(key: str) -> None:
    """Note, in a callback, that the choice under a key was changed on the page."""
    st.session_state[_NOW_USED] = True
    st.session_state.setdefault(f"link:{key}", _Link()).heard(st.query_params.get_all(key))


def write(key: str, values: list[str]) -> None:
    """Bring the address up to date."""
    _write(key, values, st.session_state[f"link:{key}"])


def assign(values: Mapping[str, str]) -> None:
    """Give linked widgets other values, from the callback of something else.

    Args:
        values: by key. The empty text stands for a widget's default.
    """
    st.session_state[_NOW_USED] = True
    address = {key: st.query_params.get_all(key) for key in st.query_params}
    for key, value in values.items():
        link: _Link = st.session_state.setdefault(f"link:{key}", _Link())
        link.heard(address.get(key, []))
        address[key] = [value] if value else []
        link.sent.append(address[key])
        link.ahead = link.assigned = True
    # All at once: one step back undoes the whole.
    st.query_params.from_dict({key: given for key, given in address.items() if given})


def _sync(key: str, default: Any, parse: Callable[[list[str]], _ValueT]) -> tuple[_ValueT, bool]:
    """The value that the widget is to show, and whether the address has just changed it.

    A value is assigned only where the address changes that of a widget which is there already.
    Otherwise the widget takes its value as its default, in every run and not in the first alone: a
    click cuts a run short, and a browser that has missed the message of an assignment would draw
    the widget empty, and report that as a choice.
    """
    link: _Link = st.session_state.setdefault(f"link:{key}", _Link())
    address = st.query_params.get_all(key)
    outside = link.comes_from_outside(address) or link.assigned
    link.assigned = False
    if key not in st.session_state:
        return parse(address), False
    if outside:
        st.session_state[key] = parse(address)
        return parse(address), True
    value = parse(_encode(st.session_state[key], default))
    if stale := value != st.session_state[key]:
        st.session_state[key] = value
    _write(key, _encode(value, default), link)
    return value, stale


def _publish(key: str, default: Any) -> None:
    """Write a widget's new value to the address, before the page runs with it."""
    st.session_state[_NOW_USED] = True
    link: _Link = st.session_state[f"link:{key}"]
    link.heard(st.query_params.get_all(key))
    _write(key, _encode(st.session_state[key], default), link)
    link.ahead = True


def _write(key: str, encoded: list[str], link: _Link) -> None:
    if encoded == st.query_params.get_all(key):
        return
    link.sent.append(encoded)
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
