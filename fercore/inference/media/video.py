"""Read and write films frame by frame, by PyAV, so that none is ever in memory as a whole."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError

Frame = NDArray[np.uint8]
_MAX_PIXELS = 16_000_000


def frames(path: Path) -> Iterator[tuple[int, Frame]]:
    """Number, from 0, and pixels of every frame: `(height, width, 3)` uint8, blue, green, red.

    Turned as the file asks players to.

    Raises:
        UserError: if the file is no film, damaged, or larger than 16 million pixels a frame.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path.name} holds no pictures; expected a film")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if stream.width * stream.height > _MAX_PIXELS:
                raise UserError(
                    f"{path.name} is {stream.width}x{stream.height} pixels, expected 16 million "
                    "at most"
                )
            for number, frame in enumerate(container.decode(stream)):
                pixels = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                # Telephones store what they film upright lying down, and say so.
                turns = round(frame.rotation / 90) % 4
                yield number, np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
    except av.FFmpegError as error:
        raise UserError(f"cannot read {path.name} as a film ({error.strerror})") from None


@contextmanager
def annotated(target: Path | None, source: Path) -> Iterator[Callable[[Frame], None] | None]:
    """Write frames to an MP4 file of the target's name, as fast as the source's; else `None`.

    The file is there once all frames are: it is written beside and then renamed.

    Raises:
        UserError: if the source cannot be read, or the file not be written.
    """
    if target is None:
        yield None
        return
    import av

    final = target.with_suffix(".mp4")
    beside = final.with_name(f".{final.name}.part.mp4")
    rate, stream = _rate(source), None
    try:
        container = av.open(str(beside), "w")
    except OSError as error:
        raise UserError(f"cannot write {final}: {error.strerror}") from None

    def write(frame: Frame) -> None:
        nonlocal stream
        # The codec halves the colours' resolution: sides must be even.
        even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
        if stream is None:
            stream = container.add_stream("libx264", rate=rate, options={"crf": "20"})
            stream.width, stream.height = even.shape[1], even.shape[0]
            stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="bgr24")
        container.mux(stream.encode(picture))

    try:
        yield write
        if stream is not None:
            container.mux(stream.encode())
        container.close()
        beside.replace(final)
    finally:
        container.close()
        beside.unlink(missing_ok=True)


def _rate(path: Path) -> Fraction:
    import av

    try:
        with av.open(str(path)) as container:
            streams = container.streams.video
            return (streams[0].average_rate if streams else None) or Fraction(25)
    except av.FFmpegError as error:
        raise UserError(f"cannot read {path.name} as a film ({error.strerror})") from None
