"""Decode an untrusted image file to grey levels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png")
PHOTO_SUFFIXES = (*SUFFIXES, ".bmp", ".webp")
MAX_BYTES = 1 << 20  # a 48x48 face takes 2 kB; this leaves room for camera metadata

MAX_PHOTO_BYTES = 64 << 20
_MAX_PIXELS = 64_000_000

# Colour JPEGs of grey photos stray from grey by rounding alone.
_MAX_CHROMA = 8


def decode_grey(content: bytes, size: tuple[int, int], where: str) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG file.

    Args:
        content: the file.
        size: height and width that it must have. It is read from the header first, so that a
            small file cannot ask for gigabytes.
        where: the file in words, for messages.

    Returns:
        `(height, width)` uint8 grey levels. A colour file is taken only if it is grey in fact.

    Raises:
        UserError: if it is damaged, of another size, or in colour.
    """
    import cv2

    found = _size(content)
    if found is None:
        raise UserError(f"cannot decode {where}: expected a complete JPEG or PNG image")
    if found != size:
        raise UserError(
            f"{where} is {found[1]}x{found[0]} pixels, expected {size[1]}x{size[0]}: "
            "images are not resized on the way in"
        )
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.shape[:2] != size or image.dtype != np.uint8:
        raise UserError(f"cannot decode {where}: expected a complete 8-bit JPEG or PNG image")
    if image.ndim == 3:
        image = _grey(image, where)
    return np.asarray(image, np.uint8)


def decode_scaled(content: bytes, size: tuple[int, int], where: str) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, BMP or WebP file of any size to grey levels of one size.

    Of an image of other proportions the middle is taken, as large as it can be; `fercore.faces`
    takes the same of what is asked about.

    Args:
        content: the file.
        size: height and width to scale to, by area averaging where the image shrinks.
        where: the file in words, for messages.

    Returns:
        `(height, width)` uint8 grey levels.

    Raises:
        UserError: if it is damaged, or larger than 64 million pixels.
    """
    import cv2

    found = _size(content)
    if found and found[0] * found[1] > _MAX_PIXELS:
        raise UserError(f"{where} is {found[1]}x{found[0]} pixels, expected 64 million at most")
    image = None
    if found and found[0] * found[1]:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise UserError(f"cannot decode {where}: expected a complete JPEG, PNG, BMP or WebP image")
    image = _middle(image, size)
    if image.shape != size:
        shrinks = image.shape[0] > size[0] or image.shape[1] > size[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, (size[1], size[0]), interpolation=how)
    return np.asarray(image, np.uint8)


def _middle(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """The largest part in the middle of an image that has a size's proportions."""
    height, width = image.shape
    high = max(1, min(height, round(width * size[0] / size[1])))
    wide = max(1, min(width, round(height * size[1] / size[0])))
    top, left = (height - high) // 2, (width - wide) // 2
    return image[top : top + high, left : left + wide]


def _grey(image: NDArray[np.generic], where: str) -> NDArray[np.uint8]:
    colours = image[..., :3].astype(np.int16)
    is_clear = image.shape[2] == 4 and int(image[..., 3].astype(np.int16).min()) < 255
    if is_clear or int((colours.max(axis=2) - colours.min(axis=2)).max()) > _MAX_CHROMA:
        raise UserError(f"{where} is in colour or transparent, expected grey levels")
    return np.asarray((colours.sum(axis=2) + 1) // 3, np.uint8)


def _size(content: bytes) -> tuple[int, int] | None:
    """Height and width as the header of a whole file states them."""
    # Telephones put data of their own after the end.
    if content.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND\xaeB`\x82" in content:
        return int.from_bytes(content[20:24]), int.from_bytes(content[16:20])
    if content.startswith(b"\xff\xd8"):
        return _jpeg_size(content)
    if content.startswith(b"BM") and _little(content, 2, 4) <= len(content):
        return _bmp_size(content)
    if content[:4] + content[8:12] == b"RIFFWEBP" and _little(content, 4, 4) + 8 <= len(content):
        return _webp_size(content)
    return None


def _little(content: bytes, at: int, length: int) -> int:
    return int.from_bytes(content[at : at + length], "little")


def _bmp_size(content: bytes) -> tuple[int, int]:
    if _little(content, 14, 4) == 12:  # the header of OS/2
        return _little(content, 20, 2), _little(content, 18, 2)
    # A negative height says that the first row is the upper one.
    return abs(int.from_bytes(content[22:26], "little", signed=True)), _little(content, 18, 4)


def _webp_size(content: bytes) -> tuple[int, int] | None:
    match content[12:16]:
        case b"VP8 ":
            return _little(content, 28, 2) & 0x3FFF, _little(content, 26, 2) & 0x3FFF
        case b"VP8L":
            bits = _little(content, 21, 4)
            return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
        case b"VP8X":
            return _little(content, 27, 3) + 1, _little(content, 24, 3) + 1
        case _:
            return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    size, at = None, 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        # Every "start of frame" but the three codes between them that mean something else.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = content[at + 5 : at + 7], content[at + 7 : at + 9]
            size = int.from_bytes(height), int.from_bytes(width)
        # The end is looked for after the pixels begin: a small picture within has one of its own.
        elif marker == 0xDA:
            return size if b"\xff\xd9" in content[at:] else None
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4])
    return None
