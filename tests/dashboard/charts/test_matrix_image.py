import io
from xml.etree import ElementTree

import pytest
from PIL import Image

from dashboard.charts import confusion_matrix
from dashboard.charts.matrix_image import (
    ONE_COLUMN,
    TWO_COLUMNS,
    Panel,
    matrices_png,
    matrices_svg,
)
from fercore.data.labels import FER2013
from fercore.runs.reader import Run

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def panels(runs: dict[str, Run]) -> list[Panel]:
    return [
        Panel(name, runs[name].results.splits["test"], FER2013)
        for name in ("le2019-deep", "le2019-shallow")
    ]


def test_every_cell_and_label_is_in_the_drawing(panels: list[Panel]):
    drawing = ElementTree.fromstring(matrices_svg(panels, "counts", 900.0))
    words = [text.text for text in drawing.iter(f"{SVG}text")]
    for panel in panels:
        assert panel.title in words
        for row in panel.result.confusion:
            for count in row:
                assert f"{count:,}" in words
    # Each name on two axes of two matrices.
    assert {words.count(name) for name in FER2013} == {4}
    assert words[-1] == "Images"
    assert drawing.get("width") == "174mm"


@pytest.mark.parametrize("width", [ONE_COLUMN, TWO_COLUMNS])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_nothing_is_cut(panels: list[Panel], width: float, count: int):
    many = [Panel("a-very-long-name-of-a-run-" * 3, panels[0].result, FER2013)] * count
    drawing = ElementTree.fromstring(matrices_svg(many, "share", 1.0, width))
    _, _, right, bottom = map(float, drawing.get("viewBox").split())
    for box in drawing.iter(f"{SVG}rect"):
        x, y, w, h = (float(box.get(name)) for name in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + w <= right + 0.01
        assert y + h <= bottom + 0.01
    for text in drawing.iter(f"{SVG}text"):
        place = text.get("transform").split(")")[0].removeprefix("translate(").split()
        x, y, size = float(place[0]), float(place[1]), float(text.get("font-size"))
        assert 0 < y < bottom
        if "rotate" not in text.get("transform"):
            reach = 0.56 * size * len(text.text)
            left = {"middle": x - reach / 2, "end": x - reach}[text.get("text-anchor")]
            assert left >= -0.01
            assert left + reach <= right + 0.01


def test_a_png_has_the_width_in_print(panels: list[Panel]):
    top = confusion_matrix.max_cell_value([panel.result for panel in panels], "all")
    image = Image.open(io.BytesIO(matrices_png(panels, "all", top, ONE_COLUMN)))
    assert image.width == round(84 / 25.4 * 300)
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    # The background is white, the darkest cell is not.
    colors = {color for _, color in image.getcolors(1 << 24)}
    assert image.getpixel((image.width - 1, image.height - 1)) == (255, 255, 255)
    assert min(colors)[0] < 60


def test_a_name_is_text_and_no_markup(panels: list[Panel]):
    named = [Panel("<b>&", panels[0].result, FER2013)]
    ElementTree.fromstring(matrices_svg(named, "share", 1.0))
