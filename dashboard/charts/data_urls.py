"""Images as data addresses, for HTML and charts: no Streamlit."""

import base64
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def jpeg_address(image: NDArray[np.uint8], quality: int = 60) -> str:
    """An image as the address of a JPEG; by default a small one."""
    import cv2

    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()


def png_address(image: NDArray[np.uint8]) -> str:
    """A grey image as the address of a PNG."""
    import cv2

    done, content = cv2.imencode(".png", image)
    assert done
    return "data:image/png;base64," + base64.b64encode(content.tobytes()).decode()


def cached_png_address(image: NDArray[np.uint8]) -> str:
    """Return the address of a PNG of a small image of a dataset, encoded once.

    Do not call this with images of visitors: the cache outlives their session.
    """
    return _cached_png_address(image.tobytes(), image.shape)


@lru_cache(maxsize=512)
def _cached_png_address(pixels: bytes, shape: tuple[int, ...]) -> str:
    return png_address(np.frombuffer(pixels, np.uint8).reshape(shape))
