"""Decode photos that anyone may have sent: in memory, whatever they turn out to be."""

import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from numpy.typing import NDArray

from fercore.data.readers.archives import archive_errors, check_zip_directory
from fercore.errors import UserError
from fercore.images.decoding import IMAGE_SUFFIXES, MAX_BYTES, MAX_PIXELS, decode_image

_MAX_ZIP_DIRECTORY = 1_300_000  # bytes of the central directory: about 10,000 files


def decode_photo(
    content: bytes, where: str, *, max_pixels: int = MAX_PIXELS, reduce_jpeg: bool = False
) -> NDArray[np.uint8]:
    """Decode a photo as a person would see it, by `fercore.images.decoding.decode_image`.

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


@dataclass(frozen=True)
class ZipPhoto:
    """One photo in a ZIP.

    Attributes:
        name: without its folders.
        size: in bytes once inflated. The archive states it, and no more is ever read.
        entry: position in the archive's list of files.
    """

    name: str
    size: int
    entry: int


class PhotoArchive:
    """A ZIP of photos: its list is read at once, each photo when it is asked for.

    Hidden files and folders are passed over. A name is only ever read as text, and nothing is
    written.

    Args:
        stream: the archive; it can be sought.
        where: the archive in words, for messages.

    Attributes:
        photos: in the order of the archive.
        others: names of the files that are no images by their names.

    Raises:
        UserError: if it is no complete ZIP, or lists too many files.
    """

    def __init__(self, stream: IO[bytes], where: str):
        self._where = where
        with archive_errors(where):
            check_zip_directory(stream, where, _MAX_ZIP_DIRECTORY)
            self._archive = zipfile.ZipFile(stream)
            self._entries = self._archive.infolist()
        self.photos: list[ZipPhoto] = []
        self.others: list[str] = []
        for place, entry in enumerate(self._entries):
            name = PurePosixPath(entry.filename.replace("\\", "/")).name
            if entry.is_dir() or _is_hidden(entry.filename):
                continue
            if _is_photo(entry.filename):
                self.photos.append(ZipPhoto(name, entry.file_size, place))
            else:
                self.others.append(name)

    def read(self, photo: ZipPhoto) -> bytes:
        """Inflate one photo.

        Raises:
            UserError: if it is damaged, encrypted, or longer than 64 MB.
        """
        if photo.size > MAX_BYTES:
            raise UserError(
                f"{photo.name} has {photo.size:,} bytes, expected {MAX_BYTES:,} at most"
            )
        where = f"{photo.name} in {self._where}"
        with archive_errors(where), self._archive.open(self._entries[photo.entry]) as stream:
            return stream.read(photo.size + 1)


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
