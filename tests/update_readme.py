"""Update what README.md takes from the committed runs: its tables and its screenshot.

uv run python tests/update_readme.py                # the tables between <!-- fercore ... -->
uv run python tests/update_readme.py --screenshot   # and the Overview page
"""

import io
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
README = ROOT / "README.md"
SCREENSHOT = ROOT / "dashboard" / "assets" / "overview.png"
TABLE = re.compile(
    r"^<!-- fercore ([^\n]*) --markdown -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL
)
WIDTH, HEIGHT = 1440, 990


def update_tables() -> None:
    """Write the output of every command that README.md names above a table."""

    def computed(found: re.Match[str]) -> str:
        words = [*found[1].split(), "--markdown", "--runs-root", str(ROOT / "runs")]
        command = [sys.executable, "-m", "fercore", *words]
        table = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
        return f"<!-- fercore {found[1]} --markdown -->\n{table}<!-- end -->"

    README.write_text(TABLE.sub(computed, README.read_text()))


def take_screenshot() -> None:
    """Save the Overview page of the committed runs, with few colours to keep the file small."""
    from tests.dashboard import browser

    with browser.server(ROOT / "runs") as address, browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        browser.settle(page)
        page.wait_for_timeout(2000)
        image = Image.open(io.BytesIO(page.screenshot()))
    reduced = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    reduced.save(SCREENSHOT, optimize=True)
    print(f"{SCREENSHOT.relative_to(ROOT)}: {SCREENSHOT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    update_tables()
    if "--screenshot" in sys.argv[1:]:
        take_screenshot()
