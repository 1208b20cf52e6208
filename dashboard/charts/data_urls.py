"""Images as data URLs, for HTML and charts: no Streamlit."""

import base64
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def jpeg_data_url(image: NDArray[np.uint8], quality: int = 60) -> str:
    """Return an image as the data URL of a JPEG; by default a small file."""
    import cv2

    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()


def png_data_url(image: NDArray[np.uint8]) -> str:
    """Return a grey image as the data URL of a PNG."""
    import cv2

    done, content = cv2.imencode(".png", image)
    assert done
    return "data:image/png;base64," + base64.b64encode(content.tobytes()).decode()


def cached_png_data_url(image: NDArray[np.uint8]) -> str:
    """Return a small image of a dataset as the data URL of a PNG, encoded once.

    Do not call this with images of visitors: the cache outlives their session.
    """
    return _cached_png_data_url(image.tobytes(), image.shape)


@lru_cache(maxsize=512)
def _cached_png_data_url(pixels: bytes, shape: tuple[int, ...]) -> str:
    return png_data_url(np.frombuffer(pixels, np.uint8).reshape(shape))
