"""How the dashboard fares with a thousand runs of a hundred epochs, beside TensorBoard.

    python tests/benchmarks/thousand_runs.py [--count 1000] [--rounds 5] [--keep FOLDER]
    python tests/benchmarks/thousand_runs.py --reruns [--count 1000] [--rounds 7] [--keep FOLDER]

The runs are made first (a minute). "first visit" is the time from the address to the drawn page of
a server that has just started, in a browser that has been at that address before; "click" that from
a click on the page's name, in a window that has seen it before, to the drawn page; "script" that of
the page's script alone, in Streamlit's own test harness. TensorBoard, where it is installed
(`pip install tensorboard`), loads event files with the same five scalars of every epoch.

With `--reruns`, no browser is needed: the committed runs are copied until there are `--count`, each
copy with seeds of its own, and every page is run again and again in one session, as a click on it
does. The table gives the median of these reruns, and that of the parts that refresh by themselves.
Where other work shares the machine, "processor" is the better measure: the time of the script's own
thread.
"""

import argparse
import gc
import json
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.table import Table

from fercore.runs.listing import list_runs
from tests.dashboard import browser, make_runs

ROOT = Path(__file__).parents[2]
PAGES = {"runs": "Runs", "compare": "Compare", "confusion": "Confusion matrices"}
# What each page was opened for.
DRAWN = {
    "runs": '[data-testid="stDataFrame"] canvas',
    "compare": '[data-testid="stDataFrame"] canvas',
    "confusion": ".main-svg",
}
SCALARS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


# Every page in its usual states: the page, and what its address says.
VIEWS: dict[str, tuple[str, dict[str, str | list[str]]]] = {
    "Runs": ("runs", {}),
    "Runs, seeds grouped": ("runs", {"group": "1", "sort": "accuracy"}),
    "Runs, search": ("runs", {"q": "facet s1"}),
    "Runs, baseline": ("runs", {"baseline": "facet-tiny-s0-20261121T151906"}),
    "Run": ("run", {"run": "facet-tiny-s0-20261121T151906"}),
    "Compare": ("compare", {}),
    "Compare, bands": ("compare", {"bands": "1"}),
    "Confusion": ("confusion", {}),
    "Overview": ("overview", {}),
    "Papers": ("papers", {}),
    "Papers, one system": ("papers", {"system": "le2019"}),
    "Papers, goals and ablations": ("papers", {"system": "ours"}),
    "Photo": ("photo", {}),
    "Live": ("live", {}),
    "Data": ("data", {"dataset": "fer2013"}),
    "Data, embedding": ("data", {"dataset": "fer2013", "projection": "pca"}),
    "Augmentation": ("augmentation", {"dataset": "fer2013"}),
    "Augmentation, a run": (
        "augmentation",
        {"dataset": "fer2013", "run": "facet-tiny-s0-20261121T151906"},
    ),
}


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


def multiply(source: Path, root: Path, count: int) -> None:
    """Copies of the runs under `source`, until there are `count`; each round with other seeds."""
    originals = sorted(path for path in source.iterdir() if (path / "config.json").is_file())
    for number in range(count):
        turn, place = divmod(number, len(originals))
        name = originals[place].name + (f"-{turn}" if turn else "")
        shutil.copytree(originals[place], root / name)
        fields = json.loads((root / name / "config.json").read_bytes())
        fields["seed"] += 100 * turn
        (root / name / "config.json").write_text(json.dumps(fields))


def photo_of_twelve_megapixels() -> bytes:
    """A portrait in the size that a telephone takes, as a JPEG file."""
    import cv2

    from tests.photos import astronaut, encoded

    return encoded(cv2.resize(astronaut(), (4000, 3000)))


def print_reruns(picked: list[str], rounds: int) -> None:
    """Print how long every page takes, the first time and again, in milliseconds."""
    table = Table("page", "first run ms", "rerun ms", "processor ms", "refreshed part ms")
    for title, (page, query) in VIEWS.items():
        wanted = {"runs": picked} if page in {"compare", "confusion"} else {}
        first, reruns, processor, parts = rerun_seconds(page, query | wanted, rounds)
        figures = [first, statistics.median(reruns), statistics.median(processor)]
        figures += [statistics.median(parts)] if parts else []
        table.add_row(title, *(f"{1000 * seconds:,.0f}" for seconds in figures))
    Console().print(table)


def playing_camera() -> Callable[..., Any]:
    """What stands for the browser's camera: it plays, and has shown a face in one frame."""
    import av

    from tests.photos import scene

    frames = [av.VideoFrame.from_ndarray(scene(320, 230, 1.3), format="bgr24")]

    def streamer(**options: Any) -> Any:
        while frames:
            options["sink_video_track"].transform(frames.pop())
        return SimpleNamespace(state=SimpleNamespace(playing=True))

    return streamer


def rerun_seconds(
    page: str, query: dict[str, str | list[str]], rounds: int
) -> tuple[float, list[float], list[float], list[float]]:
    """Seconds of a page's first run, its reruns, their own thread, and the parts that refresh."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest
    from streamlit.testing.v1.local_script_runner import LocalScriptRunner

    from dashboard.app_pages.live import video_section

    parts: list[float] = []
    fragment = st.fragment
    video_section.webrtc_streamer = playing_camera()

    def timed(*_: Any, run_every: float | None = None) -> Callable[[Callable[[], None]], Any]:
        def decorate(function: Callable[[], None]) -> Any:
            def measured() -> None:
                began = time.perf_counter()
                function()
                parts.append(time.perf_counter() - began)

            return fragment(run_every=run_every)(measured)

        return decorate

    processor: list[float] = []
    run_thread = LocalScriptRunner._run_script_thread

    def counted(runner: LocalScriptRunner) -> None:
        run_thread(runner)
        processor.append(time.thread_time())  # the thread is new for every run

    LocalScriptRunner._run_script_thread = counted  # type: ignore[method-assign]
    st.fragment = timed  # type: ignore[assignment]
    try:
        app = AppTest.from_file(str(ROOT / "dashboard" / "navigation.py"), default_timeout=600)
        if page != "overview":
            app.switch_page(f"app_pages/{page}/{page}.py")
        for key, value in query.items():
            app.query_params[key] = value
        if page == "photo":
            app.session_state["photo:shots"] = [("portrait.jpg", photo_of_twelve_megapixels())]
        times = []
        for _ in range(rounds + 2):  # the second run may still fill caches
            began = time.perf_counter()
            app.run()
            times.append(time.perf_counter() - began)
            assert not app.exception, app.exception
        return times[0], times[2:], processor[2:], parts[2:]
    finally:
        st.fragment = fragment
        LocalScriptRunner._run_script_thread = run_thread  # type: ignore[method-assign]


def script_seconds(page: str, picked: list[str], rounds: int) -> list[float]:
    """Seconds of a page's script, after a first time."""
    from streamlit.testing.v1 import AppTest

    times = []
    for _ in range(rounds + 1):
        app = AppTest.from_file(str(ROOT / "dashboard" / "navigation.py"), default_timeout=120)
        if page != "overview":
            app.switch_page(f"app_pages/{page}/{page}.py")
            app.query_params["runs"] = picked
        began = time.perf_counter()
        app.run()
        times.append(time.perf_counter() - began)
        assert not app.exception
    return times[1:]


def first_seconds(root: Path, picked: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds from the address to the drawn page, each in a server that has just started.

    The browser knows Streamlit's scripts from a visit to an earlier server at the same address.
    """
    times: dict[str, list[float]] = {page: [] for page in PAGES}
    query = "&".join(f"runs={name}" for name in picked)
    port = browser.free_port()
    with browser.chromium() as chromium:
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        for _ in range(rounds + 1):
            for name in PAGES:
                with browser.server(root, port=port) as address:
                    page = context.new_page()
                    began = time.perf_counter()
                    page.goto(f"{address}/{name}?{query}" if name != "overview" else address)
                    page.wait_for_selector(DRAWN[name], timeout=60_000)
                    times[name].append(time.perf_counter() - began)
                    page.close()
    return {name: found[1:] for name, found in times.items()}


def click_seconds(root: Path, picked: list[str], rounds: int) -> dict[str, list[float]]:
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
                page.wait_for_selector(DRAWN[name])
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
    parser.add_argument("--reruns", action="store_true", help="time the scripts of all pages alone")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.keep.resolve() if arguments.keep else Path(temporary) / "runs"
        if not list_runs(root) and arguments.reruns:
            multiply(ROOT / "runs", root, arguments.count)
        elif not list_runs(root):
            make(root, arguments.count)
        runs = list_runs(root)
        os.environ["FERCORE_RUNS"] = str(root)
        if arguments.reruns:
            from dashboard.state import run_cache

            run_cache.list_runs()
            gc.collect()
            gc.freeze()  # as dashboard/app.py does before the first visitor
            with_seeds = [run for run in runs if run.id.startswith("facet-tiny-s")]
            print_reruns([run.id for run in with_seeds[:8]], arguments.rounds)
            return
        picked = [run.id for run in runs[:8]]

        table = Table("page", "first visit s", "click s", "script s")
        table.title = f"{len(runs):,} runs; Compare and Confusion with {len(picked)} of them"
        first = first_seconds(root, picked, arguments.rounds)
        clicked = click_seconds(root, picked, arguments.rounds)
        for page, title in PAGES.items():
            script = script_seconds(page, picked, arguments.rounds)
            medians = map(statistics.median, (first[page], clicked[page], script))
            table.add_row(title, *(f"{seconds:.2f}" for seconds in medians))
        Console().print(table)
        loaded = tensorboard_seconds(root, Path(temporary) / "events")
        print(
            "TensorBoard is not installed"
            if loaded is None
            else f"TensorBoard reads the same scalars in {loaded:.2f} s, before it draws anything"
        )


if __name__ == "__main__":
    main()
