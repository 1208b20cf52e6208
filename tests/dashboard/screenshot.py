"""Render every page, light and dark, at three widths.

    python tests/dashboard/screenshot.py OUT_DIR [RUNS_ROOT]

Without a runs root, made-up runs of every kind are shown.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from fercore.runs.listing import list_runs
from tests.dashboard import browser, make_runs

WIDTHS = {390: 844, 1280: 800, 1920: 1080}


def main(out: Path, root: Path, keep_alive: Callable[[], object]) -> None:
    """Write one PNG for each page, theme and width; `keep_alive` runs before each."""
    out.mkdir(parents=True, exist_ok=True)
    found = pages(root)
    with browser.server(root) as address, browser.chromium() as chromium:
        for scheme in ("light", "dark"):
            for width, height in WIDTHS.items():
                context = chromium.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                page = context.new_page()
                for name, path in found.items():
                    keep_alive()
                    page.goto(address + path)
                    browser.settle(page)
                    page.wait_for_timeout(700)
                    # Streamlit scrolls inside the page: only a tall window shows all of it.
                    whole = page.evaluate(
                        "() => document.querySelector('[data-testid=stMainBlockContainer]')"
                        ".getBoundingClientRect().height"
                    )
                    page.set_viewport_size({"width": width, "height": int(whole) + 80})
                    page.wait_for_timeout(900)
                    page.screenshot(path=out / f"{name}-{scheme}-{width}.png")
                    page.set_viewport_size({"width": width, "height": height})
                context.close()


def pages(root: Path) -> dict[str, str]:
    """The address of each page, with runs that exist."""
    runs = list_runs(root)
    done = [run for run in runs if run.state == "finished" and not run.environment.synthetic]
    picked = "&".join(f"runs={run.id}" for run in done[:4])
    found = {
        "overview": "/",
        "runs": "/runs",
        "compare": f"/compare?{picked}",
        "compare-empty": "/compare",
    }
    found["papers"] = "/papers"
    found["confusion"] = f"/confusion?{picked}&true=fear&said=sad"
    found["data"] = "/data"
    found["augmentation"] = "/augmentation?cutmix=1&erasing=0.3"
    by_state = {run.state: run.id for run in runs}
    for state in ("running", "stalled", "broken"):
        if state in by_state:
            found[f"run-{state}"] = f"/run?run={by_state[state]}"
    if done:
        found["run-finished"] = f"/run?run={done[0].id}"
        dropped = [run for run in done if run.config.drop_classes]
        if dropped:
            found["run-dropped"] = f"/run?run={dropped[0].id}"
    return found


if __name__ == "__main__":
    if len(sys.argv) > 2:
        main(Path(sys.argv[1]), Path(sys.argv[2]), lambda: None)
    else:
        with tempfile.TemporaryDirectory() as folder:
            running = make_runs.full_root(Path(folder) / "runs")
            main(Path(sys.argv[1]), running.path.parent, running.set_status)
