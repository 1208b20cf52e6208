"""The address and the widgets, whoever was the last to speak."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.testing.v1 import AppTest


def page() -> None:
    import streamlit as st

    from dashboard.components import url_widgets

    st.button("Nothing linked", key="other")
    st.button(
        "Assign", key="assign", on_click=url_widgets.set_values, args=({"word": "set", "two": ""},)
    )
    url_widgets.begin("page")
    url_widgets.text_input("Word", "word")
    url_widgets.multiselect("Two", {"a": "A", "b": "B", "c": "C"}, "two", 2)
    followed = url_widgets.pending_value("own")
    if followed is not None or "own" not in st.session_state:
        st.session_state["own"] = followed or []
    url_widgets.sync_query("own", st.session_state["own"])


def test_a_widget_that_is_gone_writes_nothing():
    """As where the browser reports a change of a page that was left meanwhile."""

    def left() -> None:
        import streamlit as st

        from dashboard.app_pages.runs import sections as runs_sections
        from dashboard.components import plot, url_widgets

        captured = {}

        def draw(*args, on_select, **kwargs):
            captured["clicked"] = on_select

        st.plotly_chart, kept = draw, st.plotly_chart
        plot.plot(None, "chart", "A chart", lambda data: st.write("clicked"))
        st.plotly_chart = kept
        url_widgets._publish("baseline", None)
        runs_sections._open_row("real-open")
        captured["clicked"]()
        st.write("went on")

    app = AppTest.from_function(left, default_timeout=30)
    app.query_params["baseline"] = "kept"
    app.run()
    assert not app.exception
    assert [element.value for element in app.markdown] == ["went on"]
    assert address(app)["baseline"] == ["kept"]


def test_the_session_is_read_by_get_alone():
    """A key can be gone wherever a callback runs: `st.session_state[key]` raises there."""
    found = []
    for path in sorted((Path(__file__).parents[3] / "dashboard").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case (
                    ast.Subscript(value=ast.Attribute(attr="session_state"), ctx=ast.Load())
                    | ast.Delete(targets=[ast.Subscript(value=ast.Attribute(attr="session_state"))])
                    | ast.Attribute(value=ast.Attribute(attr="session_state"))
                ) if getattr(node, "attr", "") not in {"get", "setdefault", "pop"}:
                    found.append(f"{path.name}:{node.lineno}")
    assert not found


def opened(**query: str | list[str]) -> AppTest:
    app = AppTest.from_function(page, default_timeout=30)
    go_to(app, query)
    return app.run()


def go_to(app: AppTest, query: dict[str, Any]) -> None:
    app.query_params.clear()
    for key, value in query.items():
        app.query_params[key] = value


def state(app: AppTest) -> tuple[str, list[str]]:
    assert not app.exception
    return app.text_input(key="word").value or "", app.multiselect(key="two").value


def address(app: AppTest) -> dict[str, list[str]]:
    said = dict(app.query_params)
    return {key: [value] if isinstance(value, str) else value for key, value in said.items()}


@pytest.fixture
def back(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The back button, as Streamlit tells a run of it."""

    def go_back(app: AppTest, **query: str | list[str]) -> None:
        def context() -> Any:
            running = get_script_run_ctx()
            assert running is not None
            running.is_history_navigation = True
            return running

        go_to(app, query)
        with monkeypatch.context() as patch:
            patch.setattr("dashboard.components.url_widgets.get_script_run_ctx", context)
            app.run()

    return go_back


def test_a_link_gives_the_widgets_their_values():
    app = opened(word="happy", two=["c", "a", "none"], own=["1", "2"])
    assert state(app) == ("happy", ["c", "a"])
    assert app.session_state["own"] == ["1", "2"]


def test_a_choice_is_in_the_address():
    app = opened()
    app.multiselect(key="two").set_value(["b"]).run()
    assert address(app) == {"two": ["b"]}


@pytest.mark.parametrize("before", [{}, {"word": "sad", "two": ["a"], "own": ["1"]}])
def test_a_run_with_the_address_of_before_undoes_nothing(before: dict[str, Any]):
    """Another widget, or a component by itself, runs the page before the browser has heard."""
    app = opened(**before)
    app.text_input(key="word").set_value("fear").run()
    app.multiselect(key="two").set_value(["b", "c"]).run()
    for _ in range(2):
        go_to(app, {**before})
        app.button(key="other").click().run()
        assert state(app) == ("fear", ["b", "c"])
        assert address(app)["word"] == ["fear"]
        assert address(app)["two"] == ["b", "c"]
        assert app.session_state["own"] == before.get("own", [])


def test_the_back_button_undoes_a_choice(back: Callable[..., None]):
    app = opened(two="a", own="1")
    app.text_input(key="word").set_value("fear").run()
    app.multiselect(key="two").set_value(["b"]).run()
    back(app, word="fear", two="a")
    assert state(app) == ("fear", ["a"])
    assert app.session_state["own"] == []
    back(app, own="1")
    assert state(app) == ("", [])
    assert app.session_state["own"] == ["1"]
    # And the page goes on from there.
    app.text_input(key="word").set_value("neutral").run()
    assert state(app) == ("neutral", [])
    assert address(app) == {"word": ["neutral"], "own": ["1"]}


def test_a_choice_made_after_going_back_stays(back: Callable[..., None]):
    app = opened(word="sad")
    app.text_input(key="word").set_value("fear").run()
    back(app, word="sad")
    app.text_input(key="word").set_value("fear").run()
    go_to(app, {"word": "sad"})
    app.run()
    assert state(app) == ("fear", [])


def test_an_assignment_is_taken_once_and_outlives_an_address_of_before():
    app = opened(word="sad", two="a")
    app.button(key="assign").click().run()
    assert state(app) == ("set", [])
    assert address(app) == {"word": ["set"]}
    go_to(app, {"word": "sad", "two": "a"})
    app.button(key="other").click().run()
    assert state(app) == ("set", [])
