from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis import board_grouping
from dashboard.components import deferred
from fercore.runs.listing import list_runs

ROOT = Path(__file__).parents[3]
APP = str(ROOT / "dashboard" / "navigation.py")


def open_overview(**query: str | list[str]) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERCORE_RUNS", str(ROOT / "runs"))


def test_it_is_the_first_page_and_names_the_recommended_network(committed: None):
    app = open_overview()
    assert app.title[0].value.startswith("Which model")
    board = board_grouping.boards(list_runs(ROOT / "runs"), "fer2013")[0]
    metrics = {metric.label: metric.value for metric in app.metric}
    expected = f"{100 * board.recommended.accuracy:.1f}"
    assert any(value.startswith(expected) for value in metrics.values())
    table = app.dataframe[0].value
    assert list(table["Model"]) == [entry.title for entry in board.entries]
    assert (table["To recommended"] == "★ recommended").sum() == 1


def test_kinds_are_a_filter(committed: None):
    table = open_overview(kinds="paper").dataframe[0].value
    assert set(table["Model"].str.split(",").str[0]) <= {"Ranjan 2023", "Le 2019", "Khopkar 2021"}


def test_one_dataset_and_one_protocol_at_a_time(committed: None):
    app = open_overview(dataset="ckplus")
    assert len(app.dataframe[0].value) == 1
    other = open_overview(dataset="ckplus", protocol="1")
    assert len(other.dataframe[0].value) == 4
    assert any("with leakage" in str(box.options) for box in other.selectbox)


def test_ticked_runs_are_selected(committed: None):
    board = board_grouping.boards(list_runs(ROOT / "runs"), "fer2013")[0]
    two = [entry.run.id for entry in board.entries[:2]]
    app = open_overview(runs=two)
    assert list(app.query_params["runs"]) == two


def test_without_runs_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path / "nothing"))
    app = open_overview()
    assert any("No runs yet" in element.value for element in app.subheader)


def test_the_chart_is_drawn_after_the_table_on_the_first_visit(committed: None):
    app = open_overview()
    assert not app.get("plotly_chart")
    assert app.dataframe
    app.session_state[deferred._READY] = True
    app.run()
    assert len(app.get("plotly_chart")) == 1
