"""Confusion matrices as one image for print: SVG as text, PNG by Pillow. No browser is needed."""

import html
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from dashboard.charts import theme
from dashboard.charts.confusion_matrix import UNITS, Scale, cell_text, cell_values
from fercore.runs.schema import SplitResult

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageFont import FreeTypeFont, ImageFont

# Widths of one and of two columns of a journal, in millimetres.
ONE_COLUMN, TWO_COLUMNS = 84, 174
_POINTS_PER_MM = 72 / 25.4
_LABEL, _TITLE = 7.0, 8.0  # sizes of text, in points
_GAP = 8.0
_BAR = 34.0
_ADVANCE = 0.56  # mean width of a letter, as a fraction of the size of the text
_BOLD = 1.2  # how much wider a bold letter is


@dataclass(frozen=True)
class Panel:
    """One matrix of an image.

    Attributes:
        title: above it; empty for none.
        result: one evaluation.
        class_names: of its rows and columns.
    """

    title: str
    result: SplitResult
    class_names: Sequence[str]


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    width: float
    height: float
    fill: str


@dataclass(frozen=True)
class _Text:
    x: float
    y: float
    text: str
    size: float
    fill: str
    anchor: Literal["start", "middle", "end"] = "middle"
    angle: float = 0.0  # degrees, counter-clockwise
    bold: bool = False


@dataclass(frozen=True)
class _Drawing:
    width: float
    height: float
    background: str
    shapes: Sequence[_Box | _Text]


def matrices_svg(
    panels: Sequence[Panel],
    scale: Scale,
    top: float,
    width_mm: float = TWO_COLUMNS,
    mode: theme.Mode = "light",
    *,
    on_page: bool = False,
) -> str:
    """Draw matrices on one scale as an SVG image.

    Args:
        panels: at least one.
        scale: unit of the cells.
        top: the value with the strongest colour.
        width_mm: of the image; `ONE_COLUMN` has one matrix in each row.
        mode: light or dark.
        on_page: leave out the background and the colour bar, for an image on a page.
    """
    drawing = _draw(panels, scale, top, width_mm, mode, on_page=on_page)
    size = f'viewBox="0 0 {drawing.width:.2f} {drawing.height:.2f}"'
    if not on_page:
        size += f' width="{width_mm:g}mm" height="{drawing.height / _POINTS_PER_MM:.2f}mm"'
    parts = [_Box(0, 0, drawing.width, drawing.height, drawing.background)] if not on_page else []
    content = "".join(map(_svg, [*parts, *drawing.shapes]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'font-family="Helvetica, Arial, sans-serif">{content}</svg>'
    )


def matrices_png(
    panels: Sequence[Panel],
    scale: Scale,
    top: float,
    width_mm: float = TWO_COLUMNS,
    dots_per_inch: int = 300,
) -> bytes:
    """Draw matrices on one scale as a PNG image; the arguments are those of `matrices_svg`."""
    from PIL import Image, ImageDraw

    drawing = _draw(panels, scale, top, width_mm, "light", on_page=False)
    zoom = dots_per_inch / 72
    size = (round(drawing.width * zoom), round(drawing.height * zoom))
    image = Image.new("RGBA", size, drawing.background)
    pen = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        if isinstance(shape, _Box):
            ends = (shape.x + shape.width, shape.y + shape.height)
            corners = [round(zoom * value) for value in (shape.x, shape.y, *ends)]
            pen.rectangle((corners[0], corners[1], corners[2] - 1, corners[3] - 1), shape.fill)
        elif not shape.angle:
            anchor = {"start": "lm", "middle": "mm", "end": "rm"}[shape.anchor]
            font = _font(round(shape.size * zoom))
            pen.text((shape.x * zoom, shape.y * zoom), shape.text, shape.fill, font, anchor)
        else:
            _paste_turned(image, shape, zoom)
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG", dpi=(dots_per_inch, dots_per_inch), optimize=True)
    return file.getvalue()


def _draw(
    panels: Sequence[Panel],
    scale: Scale,
    top: float,
    width_mm: float,
    mode: theme.Mode,
    *,
    on_page: bool,
) -> _Drawing:
    width = width_mm * _POINTS_PER_MM
    across = 1 if width_mm <= ONE_COLUMN else min(len(panels), 3)
    panel_width = (width - _GAP * (across - 1)) / across
    shapes: list[_Box | _Text] = []
    y = 0.0
    for start in range(0, len(panels), across):
        row = panels[start : start + across]
        for place, panel in enumerate(row):
            x = place * (panel_width + _GAP)
            shapes += _panel(panel, scale, top, mode, (x, y, panel_width))
        y += max(_height(panel, panel_width) for panel in row) + _GAP
    if not on_page:
        shapes += _color_bar(scale, top, mode, y, min(width, 180.0))
        y += _BAR
    return _Drawing(width, y, "#ffffff" if mode == "light" else "#0e1117", shapes)


def _margins(panel: Panel) -> tuple[float, float, float]:
    """Return the space left of the cells, above and below them."""
    longest = max(map(len, panel.class_names), default=0) * _ADVANCE * _LABEL
    below = longest * math.sin(math.pi / 4) + 2.6 * _LABEL
    return longest + 2.2 * _LABEL, (2 * _TITLE if panel.title else 2.0), below


def _height(panel: Panel, width: float) -> float:
    left, above, below = _margins(panel)
    return above + (width - left) + below


def _panel(
    panel: Panel,
    scale: Scale,
    top: float,
    mode: theme.Mode,
    place: tuple[float, float, float],
) -> Iterator[_Box | _Text]:
    x, y, width = place
    ink = "#1b2530" if mode == "light" else "#e6eaee"
    left, above, _ = _margins(panel)
    names = list(panel.class_names)
    cell = (width - left) / max(len(names), 1)
    if panel.title:
        # A long title is set smaller, so that it is not cut.
        size = min(_TITLE, width / (_BOLD * _ADVANCE * len(panel.title)))
        yield _Text(x + width / 2, y + _TITLE, panel.title, size, ink, bold=True)
    x0, y0 = x + left, y + above
    # Three digits and a decimal point fit the cell.
    size = min(_LABEL, cell * 0.42)
    for i, row in enumerate(cell_values(panel.result, scale)):
        for j, value in enumerate(row):
            if value is None:
                continue
            color = theme.heat(value / top, mode)
            yield _Box(x0 + j * cell, y0 + i * cell, cell - 0.5, cell - 0.5, color)
            center = (x0 + (j + 0.5) * cell, y0 + (i + 0.5) * cell)
            yield _Text(*center, cell_text(value, scale), size, theme.ink_on(color))
    label = min(_LABEL, cell)
    for i, name in enumerate(names):
        yield _Text(x0 - 3, y0 + (i + 0.5) * cell, name, label, ink, "end")
        at = x0 + (i + 0.5) * cell + 2
        yield _Text(at, y0 + len(names) * cell + 4, name, label, ink, "end", 45.0)
    middle = y0 + len(names) * cell / 2
    yield _Text(x + 0.6 * _LABEL, middle, "True", _LABEL, ink, angle=90.0)
    bottom = y + _height(panel, width) - 0.7 * _LABEL
    yield _Text(x0 + len(names) * cell / 2, bottom, "Predicted", _LABEL, ink)


def _color_bar(
    scale: Scale, top: float, mode: theme.Mode, y: float, width: float
) -> Iterator[_Box | _Text]:
    ink = "#1b2530" if mode == "light" else "#e6eaee"
    steps, inset = 40, 12.0
    step = (width - 2 * inset) / steps
    for i in range(steps):
        color = theme.heat((i + 0.5) / steps, mode)
        yield _Box(inset + i * step, y, step + 0.2, 6, color)
    for share in (0.0, 0.5, 1.0):
        at = inset + share * (width - 2 * inset)
        yield _Text(at, y + 11, cell_text(share * top, scale), _LABEL, ink)
    yield _Text(width / 2, y + 21, UNITS[scale], _LABEL, ink)


def _svg(shape: _Box | _Text) -> str:
    if isinstance(shape, _Box):
        return (
            f'<rect x="{shape.x:.2f}" y="{shape.y:.2f}" width="{shape.width:.2f}" '
            f'height="{shape.height:.2f}" fill="{shape.fill}"/>'
        )
    # A third of the size below the middle: not every program knows `dominant-baseline`.
    turned = f"rotate({-shape.angle:g})" if shape.angle else ""
    weight = ' font-weight="bold"' if shape.bold else ""
    return (
        f'<text transform="translate({shape.x:.2f} {shape.y:.2f}) {turned}" '
        f'dy="{shape.size * 0.35:.2f}" font-size="{shape.size:.2f}" fill="{shape.fill}" '
        f'text-anchor="{shape.anchor}"{weight}>{html.escape(shape.text)}</text>'
    )


@cache
def _font(size: int) -> "FreeTypeFont | ImageFont":
    from PIL import ImageFont

    # Pillow's own font has Latin letters only.
    for name in ("Arial.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf"):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _paste_turned(image: "Picture", text: _Text, zoom: float) -> None:
    from PIL import Image, ImageDraw

    font = _font(round(text.size * zoom))
    reach = math.ceil(font.getlength(text.text) + 2 * text.size * zoom)
    layer = Image.new("RGBA", (2 * reach, 2 * reach))
    anchor = "rm" if text.anchor == "end" else "mm"
    ImageDraw.Draw(layer).text((reach, reach), text.text, text.fill, font, anchor)
    layer = layer.rotate(text.angle, Image.Resampling.BICUBIC)
    corner = (round(text.x * zoom) - reach, round(text.y * zoom) - reach)
    # The layer may reach beyond the image.
    image.alpha_composite(
        layer, (max(corner[0], 0), max(corner[1], 0)), (max(-corner[0], 0), max(-corner[1], 0))
    )
