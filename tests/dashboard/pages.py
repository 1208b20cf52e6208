"""Open pages of the dashboard in tests, and read what they show."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from streamlit.testing.v1 import AppTest

from fercore.runs.reader import Run

APP = str(Path(__file__).parents[2] / "dashboard" / "navigation.py")
PAGES = ("runs", "compare", "confusion", "run", "papers")  # those of runs alone
RUNS = Path(__file__).parents[2] / "runs"


def open_page(name: str, opened: Sequence[str] = (), **query: str | list[str]) -> AppTest:
    """The page as a link with these query parameters opens it; some sections are opened."""
    app = AppTest.from_file(APP, default_timeout=30)
    for key in opened:
        app.session_state[key] = True
    if name != "runs":
        app.switch_page(f"app_pages/{name}/{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    assert not app.error
    return app


def words(app: AppTest) -> str:
    """Everything that the page says in words."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "code", "html")
    said = [element.value for kind in kinds for element in getattr(app, kind)]
    said += [f"{metric.label} {metric.value}" for metric in app.metric]
    return "\n".join(map(str, said))


def charts(app: AppTest) -> int:
    """How many Plotly charts are on the page."""
    return len(app.get("plotly_chart"))


def without_repeats_marked(run: Run) -> None:
    """Store predictions as earlier versions did."""
    with np.load(run.path / "predictions.npz") as stored:
        arrays = {name: stored[name] for name in stored if name != "test_unique"}
    np.savez(run.path / "predictions.npz", **arrays)
