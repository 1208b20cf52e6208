"""How old a face is when it is seen on the Live page: camera to screen, in a real browser.

    python -m tests.benchmarks.face_age RUN [RUN] [--seconds 20] [--json]

The film that stands for the camera carries a clock: twelve black or white squares in its upper
edge count its frames. One video shows the camera itself, one what came back from the server; both
are read as they are shown, and the age of a frame is the time between. It counts the encoding and
decoding on both ways, the network and the drawing, all on this machine, browser included.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import FrameLocator

from tests.dashboard import browser
from tests.photos import film

ROOT = Path(__file__).parents[2]
BITS, SIDE = 12, 40

KEEP_THE_CAMERA = """
const ask = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
if (ask) navigator.mediaDevices.getUserMedia = async wanted => (window.camera = await ask(wanted));
"""

# Reads the clock of every frame that a video shows: [code, milliseconds].
WATCH = """
async (shown, [bits, side]) => {
  const local = document.createElement("video");
  local.srcObject = window.camera; local.muted = true;
  document.body.append(local);
  await local.play();
  const watch = (video) => {
    const seen = [];
    const canvas = new OffscreenCanvas(bits * side, side);
    const context = canvas.getContext("2d", {willReadFrequently: true});
    const read = (now) => {
      context.drawImage(video, 0, 0, bits * side, side, 0, 0, bits * side, side);
      let code = 0;
      for (let bit = 0; bit < bits; bit++) {
        const pixel = context.getImageData(bit * side + side / 2, side / 2, 1, 1).data;
        code = 2 * code + (pixel[1] > 127 ? 1 : 0);
      }
      seen.push([code, now]);
      video.requestVideoFrameCallback(read);
    };
    video.requestVideoFrameCallback(read);
    return seen;
  };
  window.clocks = [watch(local), watch(shown)];
}
"""


def stamp(image: np.ndarray, number: int) -> np.ndarray:
    """Write a number into the upper edge of a picture."""
    for bit in range(BITS):
        value = 255 * (number >> (BITS - 1 - bit) & 1)
        image[:SIDE, bit * SIDE : (bit + 1) * SIDE] = value
    return image


def ages(sent: list[list[float]], came: list[list[float]]) -> np.ndarray:
    """Milliseconds between the first showing of each frame here and there."""
    first = {int(code): now for code, now in reversed(sent)}
    found, known = [], set()
    for code, now in came:
        if code in first and code not in known:
            known.add(code)
            found.append(now - first[int(code)])
    return np.array(found)


def watch(inside: FrameLocator, seconds: float) -> tuple[np.ndarray, int]:
    """Ages of the frames of some seconds, and how many the camera showed."""
    shown = inside.locator("video").first
    shown.evaluate(WATCH, [BITS, SIDE])
    inside.owner.page.wait_for_timeout(1000 * seconds)
    sent, came = inside.locator("body").evaluate("() => window.clocks")
    return ages(sent, came), len(sent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="one run or two, by id")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        frames = round(25 * (options.seconds + 30))
        path = film(Path(folder) / "clock.y4m", frames, change=stamp)
        with (
            browser.server(ROOT / "runs", Path(folder)) as address,
            browser.chromium(path) as chromium,
        ):
            context = chromium.new_context(
                viewport={"width": 1280, "height": 900}, permissions=["camera"]
            )
            page = context.new_page()
            page.add_init_script(KEEP_THE_CAMERA)
            page.goto(f"{address}/live?" + "&".join(f"networks={run}" for run in options.runs))
            browser.settle(page)
            inside = page.frame_locator("iframe").first
            inside.get_by_role("button", name="START").click(timeout=30_000)
            page.wait_for_selector("section.live-face", timeout=60_000)
            found, count = watch(inside, options.seconds)
    if len(found) < 20:
        sys.exit(f"received {len(found)} frames that carry a clock, expected 20 or more")
    p50, p95 = (float(np.percentile(found, share)) for share in (50, 95))
    if options.json:
        print(json.dumps({"p50_ms": p50, "p95_ms": p95, "frames": len(found), "of": count}))
    else:
        print(
            f"{len(found)} of {count} frames came back; camera to screen {p50:.0f} ms (median), "
            f"{p95:.0f} ms (95th percentile)"
        )


if __name__ == "__main__":
    main()
