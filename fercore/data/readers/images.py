"""Decode an untrusted image file to grey levels of one size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.images.decoding import decode_image, to_grey

MAX_BYTES = 1 << 20  # a 48x48 face takes 2 kB; this leaves room for camera metadata

# Colour JPEGs of grey photos stray from grey by rounding alone.
_MAX_CHROMA = 8


def decode_grey(content: bytes, size: tuple[int, int], where: str) -> NDArray[np.uint8]:
    """Decode an image file that has one size and grey levels.

    Args:
        content: the file.
        size: height and width that it must have.
        where: the file in words, for messages.

    Returns:
        `(height, width)` uint8 grey levels. A colour file is taken only if it is grey in fact.

    Raises:
        UserError: if it is damaged, of another size, or in colour.
    """
    image = decode_image(content, where, max_bytes=MAX_BYTES)
    if image.shape[:2] != size:
        raise UserError(
            f"{where} is {image.shape[1]}x{image.shape[0]} pixels, expected {size[1]}x{size[0]}: "
            "images are not resized on the way in"
        )
    return _grey(image, where) if image.ndim == 3 else image


def decode_scaled(content: bytes, size: tuple[int, int], where: str) -> NDArray[np.uint8]:
    """Decode an image file of any size to grey levels of one size.

    Of an image of other proportions the middle is taken, as large as it can be;
    `fercore.faces.detection`
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

    image = _middle(to_grey(decode_image(content, where)), size)
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


def _grey(image: NDArray[np.uint8], where: str) -> NDArray[np.uint8]:
    colours = image.astype(np.int16)
    if int((colours.max(axis=2) - colours.min(axis=2)).max()) > _MAX_CHROMA:
        raise UserError(f"{where} is in colour, expected grey levels")
    return np.asarray((colours.sum(axis=2) + 1) // 3, np.uint8)
