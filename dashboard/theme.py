"""Colours and icons: one for each run compared, one for each emotion, one for each state.

Every palette keeps a contrast of 3 to 1 with its background and stays apart under the common
colour-vision deficiencies; `tests/dashboard/test_theme.py` holds both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fercore.runs import ShownState

Mode = Literal["light", "dark"]
BadgeColor = Literal["green", "blue", "orange", "yellow", "red", "gray"]

MAX_COMPARED = 8

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
    },
    "dark": {
        "angry": "#f0756a",
        "disgust": "#c6e47d",
        "fear": "#a27ac0",
        "happy": "#f4c742",
        "sad": "#3b97fb",
        "surprise": "#5bebfc",
        "neutral": "#9ca8b2",
    },
}

ACCENT: dict[Mode, str] = {"light": "#0b6b85", "dark": "#6cc6dc"}
MUTED: dict[Mode, str] = {"light": "#6b7785", "dark": "#8794a1"}
CAUTION: dict[Mode, str] = {"light": "#b45309", "dark": "#f2a45f"}


@dataclass(frozen=True)
class StateLook:
    """How a state is shown: the name of a badge colour, its value, and an icon."""

    badge: BadgeColor
    hex: str
    icon: str
    meaning: str


# The hexadecimal values fill badges under white or dark text alike: they serve both themes.
STATES: dict[ShownState, StateLook] = {
    "running": StateLook("blue", "#2f7fd1", ":material/play_circle:", "training now"),
    "finished": StateLook("green", "#2f9d68", ":material/check_circle:", "has its results"),
    "stalled": StateLook(
        "orange", "#d9822b", ":material/hourglass_disabled:", "no sign of life for 30 seconds"
    ),
    "interrupted": StateLook("yellow", "#b8962e", ":material/pause_circle:", "stopped by hand"),
    "failed": StateLook("red", "#cf4a3f", ":material/error:", "ended by an error"),
    "broken": StateLook("gray", "#7b8794", ":material/help:", "cannot be read"),
}


def run_colors(run_ids: Sequence[str], mode: Mode) -> dict[str, str]:
    """A colour for each compared run: the first is always the first colour, and so on."""
    palette = RUN_COLORS[mode]
    return {run_id: palette[i % len(palette)] for i, run_id in enumerate(run_ids)}


def emotion_color(name: str, mode: Mode) -> str:
    """The colour of an emotion; grey for a class that is none of the seven."""
    return EMOTION_COLORS[mode].get(name, MUTED[mode])


def faded(color: str, alpha: float) -> str:
    """`#rrggbb` as an `rgba(...)` of that opacity."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:g})"
