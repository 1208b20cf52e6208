"""Decode an untrusted image file to grey levels of one size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.images.decoding import decode_image, to_grey

MAX_BYTES = 1 << 20  # a 48x48 face takes 2 kB; this leaves room for camera metadata

# Colour JPEGs of grey photos differ from grey by rounding only.
_MAX_CHROMA = 8


def decode_grey(content: bytes, size: tuple[int, int], where: str) -> NDArray[np.uint8]:
    """Decode a grey image file of a fixed size.

    Args:
        content: the file's content.
        size: height and width that it must have.
        where: the file, for messages.

    Returns:
        `(height, width)` uint8 grey levels. A colour file is accepted only if its pixels are grey.

    Raises:
        UserError: if it is damaged, of another size, or in colour.
    """
    image = decode_image(content, where, max_bytes=MAX_BYTES)
    if image.shape[:2] != size:
        raise UserError(
            f"{where} is {image.shape[1]}x{image.shape[0]} pixels, expected {size[1]}x{size[0]}: "
            "images of this dataset are not resized"
        )
    return _require_grey(image, where) if image.ndim == 3 else image


def decode_scaled(content: bytes, size: tuple[int, int], where: str) -> NDArray[np.uint8]:
    """Decode an image file of any size to grey levels of a fixed size.

    An image with another aspect ratio is cropped to the largest centred rectangle of the right
    ratio, as `fercore.faces.geometry.full_image_face` does for prediction.

    Args:
        content: the file's content.
        size: height and width to scale to, by area averaging if the image shrinks.
        where: the file, for messages.

    Returns:
        `(height, width)` uint8 grey levels.

    Raises:
        UserError: if it is damaged, or larger than 64 million pixels.
    """
    import cv2

    image = _crop_centre(to_grey(decode_image(content, where)), size)
    if image.shape != size:
        shrinks = image.shape[0] > size[0] or image.shape[1] > size[1]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, (size[1], size[0]), interpolation=interpolation)
    return np.asarray(image, np.uint8)


def _crop_centre(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Crop an image to the largest centred rectangle with the aspect ratio of a size."""
    height, width = image.shape
    crop_height = max(1, min(height, round(width * size[0] / size[1])))
    crop_width = max(1, min(width, round(height * size[1] / size[0])))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return image[top : top + crop_height, left : left + crop_width]


def _require_grey(image: NDArray[np.uint8], where: str) -> NDArray[np.uint8]:
    """Return the grey levels of a colour image with grey pixels; raise if it has colours."""
    colours = image.astype(np.int16)
    if int((colours.max(axis=2) - colours.min(axis=2)).max()) > _MAX_CHROMA:
        raise UserError(f"{where} is in colour, expected grey levels")
    return np.asarray((colours.sum(axis=2) + 1) // 3, np.uint8)
