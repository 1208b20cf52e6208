"""Occlusion saliency maps, which need no gradients and work with any ONNX network."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# Sides of the patches, as fractions of the image's side: the size of an eye, and of the mouth.
_PATCH_SIDES = (0.17, 0.3)
# Positions of a patch along each axis.
_POSITIONS = 11


def occlusion_map(
    network: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    crop: NDArray[np.uint8],
    class_index: int,
) -> NDArray[np.float32]:
    """Measure how much a class's probability falls when parts of the image are blurred.

    Soft patches of two sizes are moved over the image. Inside a patch the image is replaced by a
    strongly blurred copy, which, unlike a grey square, adds no edges (after Zeiler & Fergus,
    "Visualizing and Understanding Convolutional Networks", 2014). The network is evaluated on 243
    images.

    Args:
        network: maps images `(n, height, width)` uint8 to probabilities `(n, classes)`.
        crop: `(height, width)` uint8, of the network's input size.
        class_index: index of the explained class.

    Returns:
        `(height, width)` float32: for each pixel, the mean decrease of the probability over the
        patches that cover it. Positive where the image supports the class, negative where it
        contradicts the class.
    """
    import cv2

    height, width = crop.shape
    image = crop.astype(np.float32)
    blurred = cv2.GaussianBlur(image, (0, 0), 0.12 * max(height, width))
    masks = np.concatenate([_patch_masks(height, width, side) for side in _PATCH_SIDES])
    occluded = image + masks * (blurred - image)
    images = np.concatenate([image[None], occluded])
    probabilities = network(np.rint(images).astype(np.uint8))[:, class_index]
    decreases = probabilities[0] - probabilities[1:]
    weight = masks.sum(axis=0)
    return np.asarray(np.tensordot(decreases, masks, 1) / np.maximum(weight, 1e-6), np.float32)


def _patch_masks(height: int, width: int, patch_side: float) -> NDArray[np.float32]:
    """Return soft square masks on a grid, `(n, height, width)` float32 in [0, 1]."""
    rows, columns = (_patch_profiles(size, patch_side) for size in (height, width))
    masks: NDArray[np.float32] = np.einsum("ai,bj->abij", rows, columns)
    return masks.reshape(-1, height, width)


def _patch_profiles(size: int, patch_side: float) -> NDArray[np.float32]:
    """Return the masks' profiles along one axis, `(positions, size)` float32 in [0, 1]."""
    centres = np.linspace(0, size - 1, _POSITIONS)[:, None]
    pixels = np.arange(size)[None]
    # The power of 4 gives a flat top of the patch's width and soft edges.
    profiles = np.exp(-(((pixels - centres) / (patch_side * size / 1.6)) ** 4))
    return profiles.astype(np.float32)
