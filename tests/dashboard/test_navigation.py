"""The way from page to page: what a page opens on, and what it shows again on return."""

import dataclasses
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components import run_picker
from dashboard.state import comparison_cache, network_cache, run_cache
from fercore.data.splits import Splits
from fercore.runs.reader import Run
from fercore.runs.recreate import has_network
from fercore.runs.saved_views import FILE, read_views
from tests.dashboard.pages import RUNS, open_page, words


def go(app: AppTest, page: str, **query: str | list[str]) -> AppTest:
    """Follow a link to a page, or with no query an entry of the navigation."""
    app.query_params.clear()
    app.switch_page(f"app_pages/{page}/{page}.py")
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    # AppTest has no session manager, which the video stream needs. It is below the controls.
    assert page == "live" or not app.exception
    return app


def test_a_page_has_its_filters_again_when_the_visitor_comes_back(root: Path):
    app = open_page("runs", sort="accuracy", q="le 2019")
    go(app, "papers")
    go(app, "runs")
    assert app.selectbox(key="sort").value == "accuracy"
    assert app.text_input(key="q").value == "le 2019"
    assert app.query_params["sort"] in ("accuracy", ["accuracy"])
    # A change on the page is remembered as well.
    app.selectbox(key="sort").select("f1").run()
    go(app, "overview")
    go(app, "runs")
    assert app.selectbox(key="sort").value == "f1"
    # A link says what the page shows.
    go(app, "papers")
    go(app, "runs", sort="latency")
    assert app.selectbox(key="sort").value == "latency"
    assert app.text_input(key="q").value == ""


def test_compare_and_confusion_open_on_the_top_of_the_leaderboard(root: Path):
    top = comparison_cache.top_runs(run_cache.list_runs())
    assert len(top) > 1
    for page in ("compare", "confusion"):
        app = open_page(page)
        assert app.multiselect(key="runs").value == top
        assert "most accurate experiments of the leaderboard" in words(app)
    # They are a suggestion and no selection of the visitor.
    assert run_picker._SELECTED not in app.session_state


def test_run_details_open_on_the_recommended_run_or_the_first_selected_one(
    root: Path, runs: dict[str, Run]
):
    app = open_page("run")
    recommended = comparison_cache.recommended_run(run_cache.list_runs())
    assert app.selectbox(key="run").value == recommended.id
    pair = [runs["le2019-shallow"].id, runs["le2019-deep"].id]
    go(app, "compare", runs=pair)
    go(app, "run")
    assert app.selectbox(key="run").value == pair[0]
    assert app.selectbox(key="run").options[:2] == ["Le 2019, Shallow CNN", "Le 2019, Deep CNN"]
    # The page shows the same run again, until others are selected.
    app.selectbox(key="run").select(runs["katkar2021-model1-original"].id).run()
    go(app, "papers")
    go(app, "run")
    assert app.selectbox(key="run").value == runs["katkar2021-model1-original"].id
    go(app, "compare", runs=pair[::-1])
    go(app, "run")
    assert app.selectbox(key="run").value == pair[1]


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of two committed runs with a network, neither of them recommended."""
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    found = run_cache.list_runs()
    recommended = comparison_cache.recommended_run(found)
    return [run.id for run in found if has_network(run) and run is not recommended][:2]


@pytest.mark.parametrize("page", ["photo", "live"])
def test_the_selected_runs_are_the_networks_to_try(networks: list[str], page: str):
    app = open_page("compare", runs=networks)
    go(app, page)
    assert app.multiselect(key="networks").value == networks


def test_photo_and_webcam_share_their_networks(networks: list[str]):
    app = open_page("photo")
    recommended = comparison_cache.recommended_run(run_cache.list_runs())
    assert app.multiselect(key="networks").value == [recommended.id]
    assert "★" in app.multiselect(key="networks").options[0]
    app.multiselect(key="networks").set_value(networks).run()
    for page in ("live", "runs", "photo"):
        go(app, page)
    assert app.multiselect(key="networks").value == networks


def test_a_view_is_saved_opened_and_deleted(root: Path):
    app = open_page("runs", opened=["view:menu"], sort="f1", q="le")
    app.text_input(key="view:name").set_value("My *view*")
    next(button for button in app.button if button.label == "Save").click().run()
    assert app.text_input(key="view:name").value == ""
    (view,) = read_views(root)
    assert (view.page, view.query) == ("runs", {"sort": ["f1"], "q": ["le"]})
    # On the same page, and from another one.
    app.selectbox(key="sort").select("latency").run()
    app.text_input(key="q").set_value("").run()
    app.button(key="view:0").click().run()
    assert app.selectbox(key="sort").value == "f1"
    assert app.text_input(key="q").value == "le"
    go(app, "papers")
    app.button(key="view:0").click().run()
    assert app.title[0].value == "Runs"
    assert app.selectbox(key="sort").value == "f1"
    next(box for box in app.selectbox if box.label == "Delete a view").select("My *view*").run()
    next(button for button in app.button if button.label == "Delete").click().run()
    assert read_views(root) == ()


def test_a_view_without_a_name_and_a_damaged_file_are_reported(root: Path):
    app = open_page("runs", opened=["view:menu"])
    next(button for button in app.button if button.label == "Save").click().run()
    assert "cannot save the view: name" in app.error[0].value.replace("\\", "")
    (root / FILE).write_text("not JSON")
    app.run()
    assert "is damaged" in app.error[0].value.replace("\\", "")
    assert app.dataframe


def test_the_networks_of_a_dataset_begin_with_its_recommended_one(
    monkeypatch: pytest.MonkeyPatch, splits: Splits
):
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    classes = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    fer2013 = dataclasses.replace(splits, name="fer2013", class_names=classes)
    recommended = comparison_cache.recommended_run(run_cache.list_runs(), "fer2013")
    offered = network_cache.runs_on(fer2013)
    assert len(offered) > 1
    assert next(iter(offered)) == recommended.id


def test_the_split_goes_with_the_visitor(root: Path, runs: dict[str, Run]):
    pair = [runs["le2019-deep"].id, runs["le2019-shallow"].id]
    app = open_page("compare", runs=pair)
    assert app.segmented_control(key="split").value == "test_unique"
    app.segmented_control(key="split").set_value("test").run()
    go(app, "confusion", runs=pair)
    assert app.segmented_control(key="split").value == "test"
    assert app.query_params["split"] in ("test", ["test"])
    go(app, "compare", runs=pair, split="validation")
    assert app.segmented_control(key="split").value == "validation"


def test_selected_runs_without_a_network_are_named(networks: list[str]):
    lacking = next(run for run in run_cache.list_runs() if not has_network(run))
    app = open_page("compare", runs=[networks[0], lacking.id])
    go(app, "photo")
    assert app.multiselect(key="networks").value == networks[:1]
    name = run_cache.labels([lacking])[lacking.id]
    assert f"no network (`model.onnx`) is here: {name}" in words(app).replace("\\", "")


def test_a_link_to_runs_that_are_gone_opens_on_the_default(root: Path, networks: list[str]):
    app = open_page("photo", networks="gone-s0-20250101T000000")
    recommended = comparison_cache.recommended_run(run_cache.list_runs())
    assert app.multiselect(key="networks").value == [recommended.id]
