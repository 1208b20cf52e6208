"""Photos and a film for tests, made here: an astronaut's portrait of scikit-image's, NASA's."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# Where a person sees the astronaut's face: centre and side in pixels.
ASTRONAUT = (222, 116, 110)


@cache
def astronaut() -> np.ndarray:
    """A portrait, `(512, 512, 3)` uint8, blue, green, red."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[..., ::-1])


def scene(x: float, y: float, scale: float = 1.0, size: tuple[int, int] = (480, 640)) -> np.ndarray:
    """The astronaut's head and shoulders on grey, the face's centre at x and y."""
    image = np.full((*size, 3), 96, np.uint8)
    move = np.array(
        [[scale, 0, x - scale * ASTRONAUT[0]], [0, scale, y - scale * ASTRONAUT[1]]], np.float32
    )
    return cv2.warpAffine(
        astronaut(), move, size[::-1], dst=image, borderMode=cv2.BORDER_TRANSPARENT
    )


def encoded(image: np.ndarray, suffix: str = ".jpg") -> bytes:
    """An image file."""
    return cv2.imencode(suffix, image)[1].tobytes()


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image file by Pillow, for what OpenCV cannot write."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def huge_png(width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG file of a few kilobytes that says it has 2.5 thousand million pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1_000_000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def film(
    path: Path,
    frames: int = 50,
    rate: int = 25,
    change: Callable[[np.ndarray, int], np.ndarray] = lambda image, number: image,
) -> Path:
    """The astronaut moving to and fro, in any format that the name says; 50 frames a turn."""
    import av

    with av.open(str(path), "w") as container:
        codec = "wrapped_avframe" if path.suffix == ".y4m" else "mpeg4"
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for number in range(frames):
            turn = 2 * np.pi * number / 50
            image = scene(320 + 60 * np.sin(turn), 230 + 20 * np.cos(turn), 1.3)
            image = change(image, number)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
