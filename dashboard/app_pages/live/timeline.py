"""The timeline of a face's probabilities, as HTML with an SVG image."""

import base64
import html
from collections.abc import Mapping, Sequence

from dashboard.app_pages.live.webrtc_frame_processor import FrameRecord

_MAX_POINTS = 240
_HEIGHT = 170  # in pixels
_TICKS = (0, 25, 50, 75, 100)
# The image shows 3 % below 0 and above 100 %, so that lines at the ends are whole.
_MARGIN = 3


def timeline(records: Sequence[FrameRecord], title: str, colors: Mapping[str, str]) -> str:
    """Return an HTML figure of each class's probability over time.

    It is redrawn every second beside a video. It is therefore an SVG image: an interactive chart
    would take processor time from the video pipeline.

    Args:
        records: of one face and one network, oldest first.
        title: of the figure.
        colors: by class name.
    """
    last = records[-1].seconds
    first = min(records[0].seconds, last - 5.0)
    length = last - records[0].seconds
    alt = html.escape(f"Probability of each class by {title} over {length:.0f} seconds")
    small = "font-size:.75rem;opacity:.75"
    ticks = "".join(
        f'<span style="position:absolute;right:0;top:{_top(value):.1f}%;'
        f'transform:translateY(-50%)">{value}%</span>'
        for value in _TICKS
    )
    return (
        '<figure style="margin:0"><figcaption style="font-size:.85rem;margin-bottom:.3rem;'
        f'overflow-wrap:anywhere">{html.escape(title)}: probability of each class</figcaption>'
        '<div style="display:grid;grid-template-columns:2.6rem 1fr;column-gap:.4rem">'
        f'<div style="position:relative;height:{_HEIGHT}px;{small}">{ticks}</div>'
        f'<img src="{_picture(records, first, colors)}" alt="{alt}" class="timeline" '
        f'style="width:100%;height:{_HEIGHT}px;display:block">'
        f'<div></div><div style="display:flex;justify-content:space-between;{small}">'
        f"<span>{max(first, 0):.0f} s</span><span>Time (s)</span><span>{last:.0f} s</span></div>"
        "</div></figure>"
    )


def _top(percentage: float) -> float:
    """Return the distance of a probability from the top of the image, in percent of its height."""
    return 100 * (_MARGIN + 100 - percentage) / (100 + 2 * _MARGIN)


def _picture(records: Sequence[FrameRecord], first: float, colors: Mapping[str, str]) -> str:
    """Return the lines as the data URL of an SVG image, as Streamlit removes inline SVG."""
    last = records[-1].seconds
    points = records[:: max(len(records) // _MAX_POINTS, 1)]
    x_values = [600 * (record.seconds - first) / (last - first) for record in points]
    style = 'fill="none" vector-effect="non-scaling-stroke"'
    lines = [
        f'<line x1="0" x2="600" y1="{100 - y}" y2="{100 - y}" stroke="#8794a1" '
        f'stroke-opacity=".3" {style}/>'
        for y in _TICKS
    ]
    for index, name in enumerate(records[0].class_names):
        y_values = [100 - 100 * record.probabilities[index] for record in points]
        polyline = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(x_values, y_values, strict=True))
        stroke = f'stroke="{colors[name]}" stroke-width="2"'
        lines.append(f'<polyline points="{polyline}" {stroke} {style}/>')
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {-_MARGIN} 600 {100 + 2 * _MARGIN}" '
        f'preserveAspectRatio="none">{"".join(lines)}</svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()
