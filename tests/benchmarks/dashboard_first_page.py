"""How long the dashboard's first page takes, from the address to the table that can be read.

    python tests/benchmarks/dashboard_first_page.py [--rounds 7] [--runs runs]

A server is started and warmed by one visit. Then every round opens the Runs page in a browser that
has never seen it ("new browser": the front end's scripts are fetched and compiled) and, in the same
browser, once more in a new tab ("known browser": they come from its cache). "server" is the time of
the page's script alone, measured by Streamlit's own test harness in a warm process.
"""

import argparse
import logging
import os
import statistics
import time
from pathlib import Path

from playwright.sync_api import BrowserContext
from rich.console import Console
from rich.table import Table

from tests.dashboard import browser

ROOT = Path(__file__).parents[2]


def visit(context: BrowserContext, address: str) -> float:
    """Seconds from the address to the drawn table."""
    page = context.new_page()
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector('[data-testid="stDataFrame"] canvas', timeout=60_000)
    seconds = time.perf_counter() - began
    page.close()
    return seconds


def script_seconds(runs: Path, rounds: int) -> list[float]:
    """Seconds of the page's script, by round."""
    os.environ["FERCORE_RUNS"] = str(runs)
    logging.disable(logging.WARNING)  # the harness has no browser, and says so
    from streamlit.testing.v1 import AppTest

    times = []
    for _ in range(rounds + 1):
        app = AppTest.from_file(str(ROOT / "dashboard" / "navigation.py"), default_timeout=60)
        began = time.perf_counter()
        app.run()
        times.append(time.perf_counter() - began)
    return times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    arguments = parser.parse_args()
    runs = arguments.runs.resolve()

    new, known = [], []
    with browser.server(runs) as address, browser.chromium() as chromium:
        with_empty_cache = chromium.new_context()
        visit(with_empty_cache, address)
        with_empty_cache.close()
        for _ in range(arguments.rounds):
            context = chromium.new_context()
            new.append(visit(context, address))
            known.append(visit(context, address))
            context.close()

    table = Table(
        "page", "median s", "least", "most", title=f"Runs page, {arguments.rounds} rounds"
    )
    rows = {"new browser": new, "known browser": known}
    rows["server"] = script_seconds(runs, arguments.rounds)
    for name, times in rows.items():
        figures = (statistics.median(times), min(times), max(times))
        table.add_row(name, *(f"{seconds:.2f}" for seconds in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
