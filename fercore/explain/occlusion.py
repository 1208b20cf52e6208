"""Which pixels a network's answer rests on, without gradients: quick, and for any ONNX network."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# Sides of the patches, as fractions of the image's: features of the eyes' size, and of the mouth's.
_PATCHES = (0.17, 0.3)
_STEPS = 11


def occlusion(
    network: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    crop: NDArray[np.uint8],
    class_index: int,
) -> NDArray[np.float32]:
    """How much the probability of a class falls where the image is blurred away.

    Soft patches of two sizes are moved over the image; what lies under one gives way to the same
    image without detail, which, unlike a grey square, adds no edges of its own (after Zeiler &
    Fergus, "Visualizing and Understanding Convolutional Networks", 2014). It takes 243 images.

    Args:
        network: images `(n, height, width)` uint8 to probabilities `(n, classes)`.
        crop: `(height, width)` uint8, as the network takes it.
        class_index: of the probability.

    Returns:
        `(height, width)` float32, the mean fall of the probability over the patches that covered a
        pixel: positive where the class rests on it, negative where it speaks against the class.
    """
    import cv2

    height, width = crop.shape
    image = crop.astype(np.float32)
    blurred = cv2.GaussianBlur(image, (0, 0), 0.12 * max(height, width))
    masks = np.concatenate([_masks(height, width, share) for share in _PATCHES])
    hidden = image + masks * (blurred - image)
    stacked = np.concatenate([image[None], hidden])
    found = network(np.rint(stacked).astype(np.uint8))[:, class_index]
    falls = found[0] - found[1:]
    weight = masks.sum(axis=0)
    return np.asarray(np.tensordot(falls, masks, 1) / np.maximum(weight, 1e-6), np.float32)


def _masks(height: int, width: int, share: float) -> NDArray[np.float32]:
    """Gaussian bumps on a grid, `(n, height, width)` float32 in [0, 1]."""
    rows, columns = (_bumps(size, share) for size in (height, width))
    masks: NDArray[np.float32] = np.einsum("ai,bj->abij", rows, columns)
    return masks.reshape(-1, height, width)


def _bumps(size: int, share: float) -> NDArray[np.float32]:
    centres = np.linspace(0, size - 1, _STEPS)[:, None]
    places = np.arange(size)[None]
    # A flat top as wide as the patch, softened at its rim.
    bumps = np.exp(-(((places - centres) / (share * size / 1.6)) ** 4))
    return bumps.astype(np.float32)
