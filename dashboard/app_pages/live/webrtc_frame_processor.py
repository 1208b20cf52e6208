"""`FrameProcessor`: process the frames of one camera, in the thread that receives them.

No Streamlit here. The page exchanges data with a processor under a lock: it sets networks and
settings, and reads predictions, statistics and the last frame.
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

# Number of frames that the statistics are computed over.
_STATS_FRAMES = 300
# Number of frames that the lag is the median of.
_LAG_FRAMES = 15
MAX_RECORDS = 20_000
# Seconds without a frame after which the stream counts as stalled.
STALLED = 2.0


@dataclass(frozen=True)
class FrameRecord:
    """One network's prediction for one face in one frame.

    Attributes:
        seconds: since the first frame.
        frame: number of the frame, from 0.
        face: number of the face.
        run: id of the run.
        predicted: the shown class.
        is_confident: whether its probability reaches the confidence threshold.
        probabilities: in the order of the classes.
        class_names: of the network.
        box: left, top, right, bottom in pixels.
    """

    seconds: float
    frame: int
    face: int
    run: str
    predicted: str
    is_confident: bool
    probabilities: tuple[float, ...]
    class_names: tuple[str, ...]
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class StreamStats:
    """Statistics of a stream.

    Attributes:
        frames: number of processed frames.
        skipped: number of frames that were dropped for a later one.
        fps: frames per second, over the last frames.
        p50: median time to process a frame, over the last frames, in milliseconds.
        p95: 95th percentile of this time in milliseconds.
        lag_ms: milliseconds by which frames arrive later than at the shortest delay so far, median
            of the last frames.
        seconds_since_frame: since the last frame; `None` before the first frame after a start.
        error: of the last frame; empty if there was none.
    """

    frames: int = 0
    skipped: int = 0
    fps: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    lag_ms: float = 0.0
    seconds_since_frame: float | None = None
    error: str = ""


class FrameProcessor:
    """Process the frames of one visitor's camera. Thread-safe, except `process_frame`.

    Args:
        networks: loaded and called once before, so that the first frame does not wait.
        detector: not shared with other streams.
        settings: of the pipeline.
    """

    def __init__(
        self, networks: Sequence[RunClassifier], detector: FaceDetector, settings: LiveSettings
    ):
        self._lock = threading.Lock()
        self._pipeline = LivePipeline(networks, detector, settings)
        self._networks = tuple(networks)
        # Changes for the next frame, if any.
        self._next_networks: tuple[RunClassifier, ...] | None = None
        self._next_detector: FaceDetector | None = None
        self._settings = settings
        # Of the last frames: processing time, time of arrival, delay above the shortest one, and
        # interval on the camera's clock, in seconds.
        self._processing_times: deque[float] = deque(maxlen=_STATS_FRAMES)
        self._arrivals: deque[float] = deque(maxlen=_STATS_FRAMES)
        self._lags: deque[float] = deque(maxlen=_STATS_FRAMES)
        self._intervals: deque[float] = deque(maxlen=_STATS_FRAMES)
        self._records: deque[FrameRecord] = deque(maxlen=MAX_RECORDS)
        self._last_image: NDArray[np.uint8] | None = None
        self._last_faces: list[LiveFace] = []
        self._frames, self._skipped, self._error = 0, 0, ""
        self._first_arrival = 0.0
        self._min_delay, self._last_media_time = np.inf, -1.0

    def configure(
        self,
        networks: Sequence[RunClassifier],
        settings: LiveSettings,
        detector: FaceDetector | None = None,
    ) -> None:
        """Change the pipeline from the next frame on.

        Args:
            networks: to classify faces with.
            settings: of the pipeline.
            detector: replaces the current one, if given.
        """
        with self._lock:
            self._settings = settings
            if tuple(networks) != self._networks:
                self._networks = self._next_networks = tuple(networks)
            self._next_detector = detector or self._next_detector

    def restart(self) -> None:
        """Wait for a first frame again, after the camera was stopped; records are kept."""
        with self._lock:
            self._arrivals.clear()
            self._last_faces = []

    def process_frame(
        self, image: NDArray[np.uint8], media_time: float | None = None
    ) -> NDArray[np.uint8]:
        """Process a frame and draw boxes and labels on it, in place. Never raises.

        Args:
            image: `(height, width, 3)` uint8, blue, green, red.
            media_time: seconds on the camera's clock.

        Returns:
            `image`.
        """
        began = time.monotonic()
        self._apply_changes()
        error, faces = "", []
        clean = image.copy()
        try:
            faces = self._pipeline.process(clean, began)
            self._pipeline.draw(image, faces)
        except Exception as problem:  # an exception in a callback would end the stream silently
            error = f"{type(problem).__name__}: {' '.join(str(problem).split())[:120]}"
        ended = time.monotonic()
        with self._lock:
            self._record_arrival(began, media_time)
            self._processing_times.append(ended - began)
            self._last_image, self._last_faces, self._error = clean, faces, error
            self._record_predictions(faces, began)
            self._frames += 1
        return image

    def stats(self) -> StreamStats:
        """Return the statistics of the stream."""
        with self._lock:
            if not self._frames:
                return StreamStats()
            milliseconds = np.array(self._processing_times) * 1e3
            span = self._arrivals[-1] - self._arrivals[0] if self._arrivals else 0.0
            lags = list(self._lags)[-_LAG_FRAMES:]
            return StreamStats(
                frames=self._frames,
                skipped=self._skipped,
                fps=(len(self._arrivals) - 1) / span if span > 0 else 0.0,
                p50=float(np.median(milliseconds)),
                p95=float(np.quantile(milliseconds, 0.95)),
                lag_ms=1e3 * float(np.median(lags)) if lags else 0.0,
                seconds_since_frame=(
                    time.monotonic() - self._arrivals[-1] if self._arrivals else None
                ),
                error=self._error,
            )

    def faces(self) -> list[LiveFace]:
        """Return the faces of the last frame."""
        with self._lock:
            return list(self._last_faces)

    def networks(self) -> tuple[RunClassifier, ...]:
        """Return the networks in use."""
        with self._lock:
            return self._networks

    def records(self, seconds: float = np.inf) -> list[FrameRecord]:
        """Return the predictions of the last seconds, or all that are kept, oldest first."""
        with self._lock:
            if not self._records:
                return []
            since = self._records[-1].seconds - seconds
            return [record for record in self._records if record.seconds >= since]

    def last_image(self) -> NDArray[np.uint8] | None:
        """Return the last frame without boxes: `(height, width, 3)` uint8, blue, green, red."""
        with self._lock:
            return self._last_image

    def _apply_changes(self) -> None:
        with self._lock:
            networks, self._next_networks = self._next_networks, None
            detector, self._next_detector = self._next_detector, None
            self._pipeline.settings = self._settings
        if detector is not None:
            self._pipeline.set_detector(detector)
        if networks is not None:
            self._pipeline.set_networks(networks)

    def _record_arrival(self, now: float, media_time: float | None) -> None:
        """Update arrival times, lags and the number of skipped frames."""
        if not self._frames:
            self._first_arrival = now
        self._arrivals.append(now)
        if media_time is None:
            return
        if media_time < self._last_media_time:
            # The camera was restarted, and its clock with it.
            self._min_delay, self._last_media_time = np.inf, -1.0
            for times in (self._lags, self._intervals, self._arrivals):
                times.clear()
            self._arrivals.append(now)
        # The offset between the two clocks is unknown; the shortest delay stands for it.
        delay = now - media_time
        self._min_delay = min(self._min_delay, delay)
        self._lags.append(delay - self._min_delay)
        interval = media_time - self._last_media_time
        if self._last_media_time >= 0 and interval > 0:
            # A low quantile of the intervals is the camera's own frame interval.
            self._intervals.append(interval)
            camera_interval = float(np.quantile(self._intervals, 0.2))
            self._skipped += max(0, round(interval / camera_interval) - 1)
        self._last_media_time = media_time

    def _record_predictions(self, faces: Sequence[LiveFace], now: float) -> None:
        names = {network.id: network.class_names for network in self._networks}
        for face in faces:
            for run, probabilities in face.probabilities.items():
                if run in names:
                    self._records.append(
                        FrameRecord(
                            now - self._first_arrival,
                            self._frames,
                            face.number,
                            run,
                            face.classes[run],
                            face.labels[run] is not None,
                            tuple(round(float(p), 4) for p in probabilities),
                            names[run],
                            face.face.box,
                        )
                    )
