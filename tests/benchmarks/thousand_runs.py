"""How the dashboard fares with a thousand runs of a hundred epochs, beside TensorBoard.

    python tests/benchmarks/thousand_runs.py [--count 1000] [--rounds 5] [--keep FOLDER]

The runs are made first (a minute), a run root of them is opened by a fresh process ("cold"), and
then again and again. "script" is the time of a page's script in Streamlit's own test harness;
"browser" is the time from a click on the page's name, in a window that has seen it before, to the
drawn page. TensorBoard, where it is installed (`pip install tensorboard`), loads event files with
the same five scalars of every epoch.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fercore.runs import list_runs
from tests.dashboard import browser, make_runs

ROOT = Path(__file__).parents[2]
PAGES = {"runs": "Runs", "compare": "Compare", "confusion": "Confusion"}
SCALARS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


def make(root: Path, count: int) -> None:
    """Runs of 100 epochs, five seeds of each experiment."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        make_runs.finished(
            root,
            make_runs.Plan(
                f"experiment-{number // 5:03d}",
                f"Experiment {number // 5}",
                accuracy=0.5 + 0.2 * ((number * 37) % 100) / 100,
                seed=number % 5,
                epochs=100,
                done=100,
                hours_ago=5 + number / 10,
            ),
        )


def script_seconds(page: str, picked: list[str], rounds: int) -> list[float]:
    """Seconds of a page's script, the first of them cold."""
    from streamlit.testing.v1 import AppTest

    times = []
    for _ in range(rounds + 1):
        app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=120)
        if page != "runs":
            app.switch_page(f"app_pages/{page}.py")
            app.query_params["runs"] = picked
        began = time.perf_counter()
        app.run()
        times.append(time.perf_counter() - began)
        assert not app.exception
    return times


def cold_script_seconds(root: Path, page: str, picked: list[str]) -> float:
    """Seconds of a page's script in a process that has read no run yet."""
    code = (
        "import logging, sys; logging.disable(logging.WARNING)\n"
        "from tests.benchmarks.thousand_runs import script_seconds\n"
        # What every page needs is imported by the server before anyone opens one.
        "import dashboard.run_list, dashboard.comparison, dashboard.confusions\n"
        "import plotly.graph_objects, plotly.io, sklearn.metrics\n"
        "print(script_seconds(sys.argv[1], sys.argv[2:], 0)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, page, *picked],
        cwd=ROOT,
        env=os.environ | {"FERCORE_RUNS": str(root), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def browser_seconds(root: Path, picked: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds from a click on a page's name to the drawn page."""
    times: dict[str, list[float]] = {page: [] for page in PAGES}
    query = "&".join(f"runs={name}" for name in picked)
    with browser.server(root) as address, browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{address}/compare?{query}")
        browser.settle(page)
        for _ in range(rounds + 1):
            for name, title in PAGES.items():
                began = time.perf_counter()
                page.get_by_role("link", name=title).first.click()
                page.wait_for_function(
                    f"() => document.querySelector('h1')?.innerText == '{title}'"
                )
                what = "stPlotlyChart" if name == "confusion" else "stDataFrame"
                page.wait_for_selector(f'[data-testid="{what}"]')
                browser.settle(page)
                times[name].append(time.perf_counter() - began)
    return {name: found[1:] for name, found in times.items()}


def tensorboard_seconds(root: Path, folder: Path) -> float | None:
    """Seconds that TensorBoard's reader takes for the same scalars; `None` if it is absent."""
    try:
        from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        return None
    for run in list_runs(root):
        writer = EventFileWriter(str(folder / run.id))
        for row in run.log():
            values = [Summary.Value(tag=tag, simple_value=getattr(row, tag)) for tag in SCALARS]
            writer.add_event(Event(step=row.epoch, summary=Summary(value=values)))
        writer.close()
    began = time.perf_counter()
    EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="make the runs there, or take those there")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.keep.resolve() if arguments.keep else Path(temporary) / "runs"
        if not list_runs(root):
            make(root, arguments.count)
        runs = list_runs(root)
        picked = [run.id for run in runs[:8]]
        os.environ["FERCORE_RUNS"] = str(root)

        table = Table("page", "cold script s", "script s", "browser s")
        table.title = f"{len(runs):,} runs; Compare and Confusion with {len(picked)} of them"
        drawn = browser_seconds(root, picked, arguments.rounds)
        for page, title in PAGES.items():
            cold = cold_script_seconds(root, page, picked)
            warm = statistics.median(script_seconds(page, picked, arguments.rounds)[1:])
            table.add_row(
                title, f"{cold:.2f}", f"{warm:.2f}", f"{statistics.median(drawn[page]):.2f}"
            )
        Console().print(table)
        loaded = tensorboard_seconds(root, Path(temporary) / "events")
        print(
            "TensorBoard is not installed"
            if loaded is None
            else f"TensorBoard reads the same scalars in {loaded:.2f} s, before it draws anything"
        )


if __name__ == "__main__":
    main()
