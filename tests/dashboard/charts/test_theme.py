"""Every colour can be told from its background and from the others, whoever looks at it."""

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest

from dashboard.charts import theme
from fercore.data.labels import CKPLUS, FER2013, LFW_EMOTION

CONFIG = tomllib.loads((Path(__file__).parents[3] / ".streamlit" / "config.toml").read_text())
# Machado, Oliveira & Fernandes (2009), severity 1: how linear RGB looks without one kind of cone.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]
    ),
    "deuteranopia": np.array(
        [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
    ),
    "tritanopia": np.array(
        [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]
    ),
}


def lab(color: str, vision: np.ndarray) -> np.ndarray:
    """CIELAB of `#rrggbb` as seen with that vision."""
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
    xyz = np.array(to_xyz) @ np.clip(vision @ linear, 0, 1) / [0.9505, 1, 1.0888]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


PALETTES = [
    pytest.param(mode, colors, id=f"{name}-{mode}")
    for mode in ("light", "dark")
    for name, colors in (
        ("runs", theme.RUN_COLORS[mode]),
        ("emotions", tuple(theme.EMOTION_COLORS[mode].values())),
    )
]


@pytest.mark.parametrize(("mode", "colors"), PALETTES)
def test_colors_stand_out_from_the_background(mode, colors):
    background = CONFIG["theme"][mode]["backgroundColor"]
    assert min(theme.contrast(color, background) for color in colors) >= 2.9


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize(("mode", "colors"), PALETTES)
def test_colors_stand_apart(mode, colors, vision):
    pairs = itertools.combinations([lab(color, VISION[vision]) for color in colors], 2)
    # A difference of 2 is just noticeable; 10 is seen at a glance.
    assert min(np.linalg.norm(a - b) for a, b in pairs) > 10


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_on_a_cell_is_legible(mode):
    for level in np.linspace(0, 1, 101):
        cell = theme.heat(float(level), mode)
        assert theme.contrast(theme.ink_on(cell), cell) >= 4.3


def test_state_badges_carry_white_text():
    assert min(theme.contrast(look.hex, "#ffffff") for look in theme.STATES.values()) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_streamlit_has_the_same_palettes(mode):
    assert tuple(CONFIG["theme"][mode]["chartCategoricalColors"]) == theme.RUN_COLORS[mode]
    assert tuple(CONFIG["theme"][mode]["chartSequentialColors"]) == theme.HEAT[mode]


def test_every_emotion_has_a_color_of_its_own():
    for mode in ("light", "dark"):
        assert set(theme.EMOTION_COLORS[mode]) == {*FER2013, *CKPLUS, *LFW_EMOTION}


def test_classes_that_are_no_emotions_are_told_apart():
    colors = theme.class_colors(["happy", "karuna", "raudra"], "dark")
    assert colors == {
        "happy": theme.EMOTION_COLORS["dark"]["happy"],
        "karuna": theme.RUN_COLORS["dark"][0],
        "raudra": theme.RUN_COLORS["dark"][1],
    }


def test_run_colors_go_by_place():
    assert theme.run_colors(["b", "a"], "light") == {
        "b": theme.RUN_COLORS["light"][0],
        "a": theme.RUN_COLORS["light"][1],
    }


def test_heat_ends_where_the_ramp_does():
    assert theme.heat(0, "light") == theme.HEAT["light"][0]
    assert theme.heat(1, "dark") == theme.HEAT["dark"][-1]
    assert theme.heat(7, "dark") == theme.HEAT["dark"][-1]


def test_server_keeps_to_itself():
    assert CONFIG["browser"]["gatherUsageStats"] is False
    assert CONFIG["server"]["address"] == "127.0.0.1"
    assert CONFIG["server"]["maxUploadSize"] == 10
    assert CONFIG["server"]["enableXsrfProtection"] is True
    assert CONFIG["server"]["enableCORS"] is True
    assert CONFIG["client"]["showErrorDetails"] == "none"
