"""Crop faces from photos to the framing of the training sets; convert to grey."""

import numpy as np

from fercore.faces.geometry import Face, Image


def crop_face(grey: Image, face: Face, size: int, margin: float = 0.0) -> Image:
    """Crop a face, rotate it upright and scale it to the size of a training image.

    Where the crop reaches beyond the image, the image's border pixels are repeated.

    Args:
        grey: `(height, width)` uint8.
        face: in pixels of `grey`.
        size: height and width of the crop in pixels.
        margin: fraction of the face's side that is added on each of its sides.

    Returns:
        `(size, size)` uint8. A face that fills an image of that size is returned unchanged.
    """
    import cv2

    side = max(face.side * (1 + 2 * margin), 1.0)
    # Where the face is larger than the crop, it is sampled at a multiple of `size` and averaged
    # down, which avoids aliasing.
    sampled_size = size * max(1, round(side / size))
    step = side / sampled_size
    step_x, step_y = step * np.cos(face.angle), step * np.sin(face.angle)
    centre = np.array([face.left, face.top]) + face.side / 2 - 0.5
    half = (sampled_size - 1) / 2
    crop_to_image = np.array(
        [
            [step_x, -step_y, centre[0] - half * step_x + half * step_y],
            [step_y, step_x, centre[1] - half * step_y - half * step_x],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(
        grey,
        crop_to_image,
        (sampled_size, sampled_size),
        flags=flags,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if sampled_size != size:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, np.uint8)


def to_grey(image: Image) -> Image:
    """Convert an image to grey levels by ITU-R BT.601, as the datasets were converted.

    Args:
        image: `(height, width)` grey, or `(height, width, 3)` blue, green, red; uint8.

    Returns:
        `(height, width)` uint8; a grey image is returned unchanged.
    """
    import cv2

    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
