"""Read and write videos frame by frame with PyAV, without loading them into memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError

Frame = NDArray[np.uint8]
_MAX_PIXELS = 16_000_000


def read_frames(path: Path) -> Iterator[tuple[int, Frame]]:
    """Yield the number, from 0, and the pixels of every frame, rotated as the file's metadata say.

    The pixels are `(height, width, 3)` uint8, blue, green, red.

    Raises:
        UserError: if the file is not a video, is damaged, or has more than 16 million pixels per
            frame.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path.name} has no video stream; expected a video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if stream.width * stream.height > _MAX_PIXELS:
                raise UserError(
                    f"{path.name} is {stream.width}x{stream.height} pixels, expected 16 million "
                    "at most"
                )
            for number, frame in enumerate(container.decode(stream)):
                pixels = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                # Phones store portrait videos in landscape, with the rotation as metadata.
                turns = round(frame.rotation / 90) % 4
                yield number, np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
    except av.FFmpegError as error:
        raise UserError(f"cannot read {path.name} as a video ({error.strerror})") from None


@contextmanager
def open_video_writer(
    target: Path | None, source: Path
) -> Iterator[Callable[[Frame], None] | None]:
    """Open an MP4 file for writing at the frame rate of another video.

    The frames are written to a temporary file in the same folder, which is renamed at the end.

    Args:
        target: the file's path; its suffix is replaced by `.mp4`. `None` writes no file.
        source: the video to take the frame rate from.

    Yields:
        A function that writes a frame, or `None` if there is no target.

    Raises:
        UserError: if the source cannot be read, or the file cannot be written.
    """
    if target is None:
        yield None
        return
    import av

    final = target.with_suffix(".mp4")
    temporary = final.with_name(f".{final.name}.part.mp4")
    rate, stream = _frame_rate(source), None
    try:
        container = av.open(str(temporary), "w")
    except OSError as error:
        raise UserError(f"cannot write {final}: {error.strerror}") from None

    def write(frame: Frame) -> None:
        nonlocal stream
        # The codec stores colours at half the resolution: the sides must be even.
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
        temporary.replace(final)
    finally:
        container.close()
        temporary.unlink(missing_ok=True)


def _frame_rate(path: Path) -> Fraction:
    """Return the average frame rate of a video; 25 if it states none."""
    import av

    try:
        with av.open(str(path)) as container:
            streams = container.streams.video
            return (streams[0].average_rate if streams else None) or Fraction(25)
    except av.FFmpegError as error:
        raise UserError(f"cannot read {path.name} as a video ({error.strerror})") from None
