"""Decode photos of unknown origin, read ZIP archives of photos, and list photos in folders."""

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
    """Decode a photo, rotated as its EXIF data require, by `fercore.images.decoding.decode_image`.

    Args:
        content: of the file.
        where: name of the file, for messages.
        max_pixels: maximum number of pixels.
        reduce_jpeg: decode a larger JPEG at a fraction of its size instead of refusing it.

    Returns:
        `(height, width, 3)` uint8, blue, green, red. Transparent pixels are blended with white.

    Raises:
        UserError: if the content is not an image of a supported format, is damaged or longer than
            64 MB, or has more pixels than the maximum; the header is checked before decoding.
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
        size: in bytes after decompression, as stated in the archive. No more bytes are read.
        entry: position in the archive's list of files.
    """

    name: str
    size: int
    entry: int


class PhotoArchive:
    """A ZIP of photos. Its list of files is read at once, each photo by a call of `read`.

    Hidden files and folders are skipped. Names in the archive are never used as paths, and nothing
    is written.

    Args:
        stream: the archive, seekable.
        where: name of the archive, for messages.

    Attributes:
        photos: in the order of the archive.
        others: names of the files that do not have the suffix of an image.

    Raises:
        UserError: if the stream is not a complete ZIP, or lists too many files.
    """

    def __init__(self, stream: IO[bytes], where: str):
        self._where = where
        with archive_errors(where):
            check_zip_directory(stream, where, _MAX_ZIP_DIRECTORY)
            self._archive = zipfile.ZipFile(stream)
            self._entries = self._archive.infolist()
        self.photos: list[ZipPhoto] = []
        self.others: list[str] = []
        for index, entry in enumerate(self._entries):
            name = PurePosixPath(entry.filename.replace("\\", "/")).name
            if entry.is_dir() or _is_hidden(entry.filename):
                continue
            if _is_photo(entry.filename):
                self.photos.append(ZipPhoto(name, entry.file_size, index))
            else:
                self.others.append(name)

    def read(self, photo: ZipPhoto) -> bytes:
        """Return the content of one photo.

        Raises:
            UserError: if the photo is damaged, encrypted, or longer than 64 MB.
        """
        if photo.size > MAX_BYTES:
            raise UserError(
                f"{photo.name} has {photo.size:,} bytes, expected {MAX_BYTES:,} at most"
            )
        where = f"{photo.name} in {self._where}"
        with archive_errors(where), self._archive.open(self._entries[photo.entry]) as stream:
            return stream.read(photo.size + 1)


def count_other_files(path: Path) -> Counter[str]:
    """Count the visible files that are not images in a folder and its subfolders, by suffix."""
    return Counter(
        file.suffix.lower()
        for file in path.rglob("*")
        if file.is_file()
        and not _is_hidden(str(file.relative_to(path)))
        and not _is_photo(file.name)
    )


def list_photos(path: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders, sorted; for a file, return it alone.

    Raises:
        UserError: if the path does not exist.
    """
    if path.is_dir():
        return sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and _is_photo(str(file.relative_to(path)))
        )
    if not path.is_file():
        raise UserError(f"received {path}, expected an image, a video or a folder of images")
    return [path]


def _is_photo(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(IMAGE_SUFFIXES)


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
