from collections.abc import Callable

import pytest

from dashboard.charts.base import empty_figure
from dashboard.components import plot, url_widgets


@pytest.fixture
def query(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_query(**values: str) -> None:
        monkeypatch.setattr(url_widgets, "query_value", lambda key: values.get(key, ""))

    return set_query


def options(height: int = 380) -> dict:
    return plot.config(empty_figure(height), "Recall by class, a · s0")["toImageButtonOptions"]


def test_a_figure_is_saved_as_on_the_page(query):
    query()
    assert options() == {"format": "svg", "filename": "recall-by-class-a-s0", "scale": 2}
    query(image="png", width="nonsense")
    assert options()["format"] == "png"
    assert "width" not in options()


@pytest.mark.parametrize(("millimetres", "pixels"), [("84", 317), ("174", 658)])
def test_a_figure_is_saved_at_the_width_of_a_column(query, millimetres: str, pixels: int):
    query(width=millimetres)
    assert options()["width"] == pixels
    assert options(4000)["height"] == round(1.2 * pixels)
    assert options()["scale"] == 1
    query(width=millimetres, image="png")
    # 300 dots per inch.
    assert options()["width"] * options()["scale"] == pytest.approx(
        int(millimetres) / 25.4 * 300, rel=0.01
    )
