"""Decode photos that anyone may have sent: in memory, whatever they turn out to be."""

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fercore.data.intake.members import readable
from fercore.errors import UserError
from fercore.image_decoding import (
    EXPECTED,
    IMAGE_SUFFIXES,
    MAX_BYTES,
    MAX_PIXELS,
    decode_image,
)

MAX_PHOTOS = 500
MAX_ARCHIVE_BYTES = 256 << 20


def decode_photo(
    content: bytes, where: str, *, max_pixels: int = MAX_PIXELS, reduce_jpeg: bool = False
) -> NDArray[np.uint8]:
    """Decode a photo as a person would see it, by `fercore.image_decoding.decode_image`.

    Args:
        content: the file.
        where: the file in words, for messages.
        max_pixels: most pixels to accept.
        reduce_jpeg: decode a larger JPEG at a fraction of its size instead of refusing it.

    Returns:
        `(height, width, 3)` uint8, blue, green, red. What is transparent lies on white.

    Raises:
        UserError: if it is no such image, damaged, longer than 64 MB, or larger than the limit on
            pixels, as the header states before anything is decoded.
    """
    import cv2

    image = decode_image(content, where, max_pixels=max_pixels, reduce_jpeg=reduce_jpeg)
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR, dst=image), np.uint8)


def photos_in_zip(content: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """The image files of a ZIP, by name and content, one at a time; nothing is written.

    Hidden files and folders are passed over. A name is only ever read as text.

    Raises:
        UserError: if it is no whole ZIP, holds no image or more than 500, or its images are longer
            than 256 MB once inflated: no more than that is ever read, whatever its lists say.
    """
    with readable(where):
        archive = zipfile.ZipFile(io.BytesIO(content))
    entries = [entry for entry in archive.infolist() if _is_photo(entry.filename)]
    if not entries:
        raise UserError(f"{where} holds no image; {EXPECTED} in it")
    if len(entries) > MAX_PHOTOS:
        raise UserError(f"{where} holds {len(entries):,} images, expected {MAX_PHOTOS} at most")
    left = MAX_ARCHIVE_BYTES
    for entry in entries:
        name = PurePosixPath(entry.filename).name
        with readable(f"{name} in {where}"), archive.open(entry) as stream:
            found = stream.read(min(MAX_BYTES, left) + 1)
        left -= len(found)
        if left < 0:
            raise UserError(
                f"{where} holds images of more than {MAX_ARCHIVE_BYTES >> 20} MB once inflated; "
                "expected a smaller one, or several"
            )
        yield name, found


def other_files_under(path: Path) -> Counter[str]:
    """How many files of other kinds a folder and those below it hold, by suffix."""
    return Counter(
        found.suffix.lower()
        for found in path.rglob("*")
        if found.is_file()
        and not _is_hidden(str(found.relative_to(path)))
        and not _is_photo(found.name)
    )


def photos_under(path: Path) -> list[Path]:
    """The image files of a folder and those below it, sorted; a file is itself.

    Raises:
        UserError: if the path is not there.
    """
    if path.is_dir():
        return sorted(
            found
            for found in path.rglob("*")
            if found.is_file() and _is_photo(str(found.relative_to(path)))
        )
    if not path.is_file():
        raise UserError(f"received {path}, expected an image, a video or a folder of images")
    return [path]


def _is_photo(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(IMAGE_SUFFIXES)


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
