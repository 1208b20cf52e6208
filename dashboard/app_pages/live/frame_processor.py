"""What happens to the frames of one camera, in the thread that brings them. No Streamlit here.

The page talks to it through a lock: it swaps networks, reads what was seen, takes a picture.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fercore.faces.detection import FaceDetector
from fercore.inference.predictor import RunClassifier
from fercore.inference.video_pipeline import LiveFace, LivePipeline, LiveSettings

# Frames whose times are kept.
_TIMES = 300
MOST_SEEN = 20_000
# Seconds without a frame after which the stream is said to stall.
STALLED = 2.0


@dataclass(frozen=True)
class FrameRecord:
    """What was said of one face at one time.

    Attributes:
        seconds: since the first frame.
        frame: its number, from 0.
        face: number of the face.
        run: id of the run.
        label: the shown class, `None` for unsure.
        probabilities: in the order of the classes.
        class_names: of the network.
        box: left, top, right, bottom in pixels.
    """

    seconds: float
    frame: int
    face: int
    run: str
    label: str | None
    probabilities: tuple[float, ...]
    class_names: tuple[str, ...]
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class StreamStats:
    """How the stream does.

    Attributes:
        frames: that were processed.
        skipped: that came while one was processed and gave way to a newer one.
        fps: over the last frames.
        p50: milliseconds for a frame, find to draw, median of the last frames.
        p95: 95th percentile.
        behind: milliseconds that the picture lags behind what came first and fastest.
        silent: seconds since the last frame, `None` before the first of a start.
        error: what went wrong in the last frame, empty if nothing did.
    """

    frames: int = 0
    skipped: int = 0
    fps: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    behind: float = 0.0
    silent: float | None = None
    error: str = ""


class FrameProcessor:
    """One visitor's camera.

    Args:
        networks: loaded and asked once, so that no frame waits for that.
        finder: of this stream alone.
        settings: how calm, and when a network is unsure.
    """

    def __init__(
        self, networks: Sequence[RunClassifier], finder: FaceDetector, settings: LiveSettings
    ):
        self._lock = threading.Lock()
        self._pipeline = LivePipeline(networks, finder, settings)
        self._networks = tuple(networks)
        self._next: tuple[RunClassifier, ...] | None = None
        self._finder: FaceDetector | None = None
        self._settings = settings
        self._spent: deque[float] = deque(maxlen=_TIMES)
        self._arrived: deque[float] = deque(maxlen=_TIMES)
        self._lags: deque[float] = deque(maxlen=_TIMES)
        self._seen: deque[FrameRecord] = deque(maxlen=MOST_SEEN)
        self._picture: NDArray[np.uint8] | None = None
        self._last: list[LiveFace] = []
        self._frames, self._skipped, self._error = 0, 0, ""
        self._began = 0.0
        self._steps: deque[float] = deque(maxlen=_TIMES)
        self._least_lag, self._pts = np.inf, -1.0

    def configure(
        self,
        networks: Sequence[RunClassifier],
        settings: LiveSettings,
        finder: FaceDetector | None = None,
    ) -> None:
        """Change what happens from the next frame on.

        Args:
            networks: asked from then on.
            settings: likewise.
            finder: another one, if given.
        """
        with self._lock:
            self._settings = settings
            if tuple(networks) != self._networks:
                self._networks = self._next = tuple(networks)
            self._finder = finder or self._finder

    def restart(self) -> None:
        """Wait for a first frame again: the camera was stopped, and is started anew."""
        with self._lock:
            self._arrived.clear()
            self._last = []

    def frame(self, image: NDArray[np.uint8], media_time: float | None = None) -> NDArray[np.uint8]:
        """Take a frame and give it back with boxes and labels. Never raises.

        Args:
            image: `(height, width, 3)` uint8, blue, green, red; it is drawn on.
            media_time: seconds by the camera's clock.
        """
        began = time.monotonic()
        self._prepare()
        error, found = "", []
        clean = image.copy()
        try:
            found = self._pipeline.process(clean, began)
            self._pipeline.draw(image, found)
        except Exception as problem:  # a callback that raises would end the stream without a word
            error = f"{type(problem).__name__}: {' '.join(str(problem).split())[:120]}"
        ended = time.monotonic()
        with self._lock:
            self._count(began, media_time)
            self._spent.append(ended - began)
            self._picture, self._last, self._error = clean, found, error
            self._remember(found, began)
            self._frames += 1
        return image

    def health(self) -> StreamStats:
        """How it does."""
        with self._lock:
            if not self._frames:
                return StreamStats()
            spent = np.array(self._spent) * 1e3
            span = self._arrived[-1] - self._arrived[0] if self._arrived else 0.0
            return StreamStats(
                frames=self._frames,
                skipped=self._skipped,
                fps=(len(self._arrived) - 1) / span if span > 0 else 0.0,
                p50=float(np.median(spent)),
                p95=float(np.quantile(spent, 0.95)),
                behind=1e3 * float(np.median(list(self._lags)[-15:])) if self._lags else 0.0,
                silent=time.monotonic() - self._arrived[-1] if self._arrived else None,
                error=self._error,
            )

    def faces(self) -> list[LiveFace]:
        """Those of the last frame."""
        with self._lock:
            return list(self._last)

    def networks(self) -> tuple[RunClassifier, ...]:
        """Those that are asked."""
        with self._lock:
            return self._networks

    def moments(self, seconds: float = np.inf) -> list[FrameRecord]:
        """What was said in the last seconds, or all that is kept, the oldest first."""
        with self._lock:
            if not self._seen:
                return []
            since = self._seen[-1].seconds - seconds
            return [moment for moment in self._seen if moment.seconds >= since]

    def picture(self) -> NDArray[np.uint8] | None:
        """The last frame, without boxes: `(height, width, 3)` uint8, blue, green, red."""
        with self._lock:
            return self._picture

    def _prepare(self) -> None:
        with self._lock:
            networks, self._next = self._next, None
            finder, self._finder = self._finder, None
            self._pipeline.settings = self._settings
        if finder is not None:
            self._pipeline.find_with(finder)
        if networks is not None:
            self._pipeline.swap(networks)

    def _count(self, now: float, media_time: float | None) -> None:
        if not self._frames:
            self._began = now
        self._arrived.append(now)
        if media_time is None:
            return
        if media_time < self._pts:
            # The camera was started again: its clock began anew.
            self._least_lag, self._pts = np.inf, -1.0
            for times in (self._lags, self._steps, self._arrived):
                times.clear()
            self._arrived.append(now)
        # The clocks' difference is that of the frame that came fastest: what is more, is waiting.
        lag = now - media_time
        self._least_lag = min(self._least_lag, lag)
        self._lags.append(lag - self._least_lag)
        step = media_time - self._pts
        if self._pts >= 0 and step > 0:
            # The camera's own pace is that of its quicker frames.
            self._steps.append(step)
            pace = float(np.quantile(self._steps, 0.2))
            self._skipped += max(0, round(step / pace) - 1)
        self._pts = media_time

    def _remember(self, found: Sequence[LiveFace], now: float) -> None:
        names = {network.id: network.class_names for network in self._networks}
        for face in found:
            for run, shares in face.probabilities.items():
                if run in names:
                    self._seen.append(
                        FrameRecord(
                            now - self._began,
                            self._frames,
                            face.number,
                            run,
                            face.labels[run],
                            tuple(np.round(shares, 4).tolist()),
                            names[run],
                            face.face.box,
                        )
                    )
