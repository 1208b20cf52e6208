"""Colours and icons of compared runs, emotions and states.

Every palette has a contrast of at least 3 to 1 with its background, and its colours differ under
the common colour-vision deficiencies; `tests/dashboard/charts/test_theme.py` checks both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from fercore.runs.reader import ShownState

Mode = Literal["light", "dark"]
BadgeColor = Literal["green", "blue", "orange", "yellow", "red", "gray"]

# Tables compare as many runs; charts draw the first ones, each in a colour of its own.
MAX_COMPARED = 50
MAX_DRAWN = 8

RUN_COLORS: dict[Mode, tuple[str, ...]] = {
    "light": (
        *("#0059a1", "#ab3400", "#00845d", "#9a61e4"),
        *("#b9840c", "#5b1f2d", "#2f9fd0", "#4b5563"),
    ),
    "dark": (
        *("#5293cf", "#ff9a5a", "#43d5a5", "#c7a0fe"),
        *("#e8c547", "#d983a9", "#8fdcf5", "#c3ccd2"),
    ),
}

EMOTION_COLORS: dict[Mode, dict[str, str]] = {
    "light": {
        "angry": "#b02c26",
        "disgust": "#759e46",
        "fear": "#5a3a9e",
        "happy": "#c58900",
        "sad": "#377acf",
        "surprise": "#0aa0b2",
        "neutral": "#6b7280",
        "contempt": "#6d1548",
    },
    "dark": {
        "angry": "#f0756a",
        "disgust": "#c6e47d",
        "fear": "#a27ac0",
        "happy": "#f4c742",
        "sad": "#3b97fb",
        "surprise": "#5bebfc",
        "neutral": "#9ca8b2",
        "contempt": "#c23a7c",
    },
}

MUTED: dict[Mode, str] = {"light": "#6b7785", "dark": "#8794a1"}

# From 0 to 1: the cells of a confusion matrix.
HEAT: dict[Mode, tuple[str, ...]] = {
    "light": (
        *("#f4f8fa", "#dfedf2", "#c3dee7", "#a0cbd9", "#79b5c8"),
        *("#519cb4", "#31829d", "#1a6984", "#0e506a", "#083a50"),
    ),
    "dark": (
        *("#1a222c", "#1a2f3b", "#1a3f4e", "#1b5163", "#1f6579"),
        *("#297b91", "#3f93a9", "#63acbf", "#93c8d6", "#cbe5ed"),
    ),
}

# From -1 over 0 to 1: the cells of a difference of two confusion matrices.
DIVERGING: dict[Mode, tuple[str, str, str]] = {
    "light": ("#a84300", "#f6f7f8", "#00628a"),
    "dark": ("#f2975a", "#1a222c", "#57b9e0"),
}


@dataclass(frozen=True)
class StateStyle:
    """How a state is shown.

    Attributes:
        badge: the name of the colour of a badge.
        hex: the value of the colour of a badge in a table.
        icon: a Material symbol.
        meaning: for people.
    """

    badge: BadgeColor
    hex: str
    icon: str
    meaning: str


# The hexadecimal values fill badges under white text, in both themes.
STATES: dict[ShownState, StateStyle] = {
    "starting": StateStyle(
        "blue", "#2468b0", ":material/hourglass_top:", "loading before the first epoch"
    ),
    "running": StateStyle("blue", "#2468b0", ":material/play_circle:", "training now"),
    "finished": StateStyle("green", "#22804f", ":material/check_circle:", "evaluated"),
    "stalled": StateStyle(
        "orange",
        "#ad5d17",
        ":material/hourglass_disabled:",
        "no sign of life from its machine for 2 minutes",
    ),
    "interrupted": StateStyle(
        "yellow", "#8a6d14", ":material/pause_circle:", "stopped or killed before its last epoch"
    ),
    "failed": StateStyle("red", "#b83a30", ":material/error:", "ended by an error"),
    "diverged": StateStyle(
        "red", "#b83a30", ":material/trending_up:", "ended when its loss or outputs became NaN"
    ),
    "broken": StateStyle("gray", "#66717d", ":material/help:", "cannot be read"),
}


def run_colors(run_ids: Sequence[str], mode: Mode) -> dict[str, str]:
    """Return a colour for each compared run: the first run has the first colour, and so on."""
    palette = RUN_COLORS[mode]
    return {run_id: palette[i % len(palette)] for i, run_id in enumerate(run_ids)}


def compared_colors(run_ids: Sequence[str], mode: Mode) -> dict[str, str]:
    """Return a colour for each run that charts draw, and grey for the runs after these."""
    drawn = run_colors(run_ids[:MAX_DRAWN], mode)
    return {run_id: drawn.get(run_id, MUTED[mode]) for run_id in run_ids}


def class_colors(names: Sequence[str], mode: Mode) -> dict[str, str]:
    """Return a colour for each class: that of its emotion, else one by its position."""
    emotions = EMOTION_COLORS[mode]
    others = run_colors([name for name in names if name not in emotions], mode)
    return {name: emotions.get(name) or others[name] for name in names}


def swatch(color: str) -> str:
    """Return a small square of that colour, as the data URL of an image."""
    square = f"<rect x='3' y='3' width='10' height='10' rx='2' fill='{color}'/>"
    shape = f"<svg xmlns='http://www.w3.org/2000/svg' width='16' height='16'>{square}</svg>"
    return f"data:image/svg+xml,{quote(shape)}"


def heat(level: float, mode: Mode) -> str:
    """Return the colour of a level in [0, 1]."""
    return _interpolate(HEAT[mode], level)


def diverging(level: float, mode: Mode) -> str:
    """Return the colour of a level in [-1, 1]."""
    return _interpolate(DIVERGING[mode], (level + 1) / 2)


def _interpolate(ramp: Sequence[str], level: float) -> str:
    place = min(max(level, 0.0), 1.0) * (len(ramp) - 1)
    below = min(int(place), len(ramp) - 2)
    mixed = (
        round(low + (high - low) * (place - below))
        for low, high in zip(_channels(ramp[below]), _channels(ramp[below + 1]), strict=True)
    )
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def ink_on(color: str) -> str:
    """Return black or white, whichever has more contrast with that colour."""
    return max(("#0d151c", "#ffffff"), key=lambda ink: contrast(ink, color))


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21, as defined by WCAG 2."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def with_alpha(color: str, alpha: float) -> str:
    """Return `#rrggbb` as an `rgba(...)` of that opacity."""
    red, green, blue = _channels(color)
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _luminance(color: str) -> float:
    shares = (channel / 255 for channel in _channels(color))
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
