"""What a dataset looks like: mean faces, brightness, sharpness, repeats and near-repeats."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fercore.data.splits import Split, image_hashes

# Side of the thumbnails by which near-duplicates are looked for.
_THUMBNAIL = 12
_CHUNK = 512


@dataclass(frozen=True)
class Sample:
    """One image: its part of the dataset, and its place in it."""

    role: str
    place: int


@dataclass(frozen=True)
class Group:
    """Images that are equal pixel for pixel.

    Attributes:
        samples: at least two.
        labels: of each, positions in the label set.
    """

    samples: tuple[Sample, ...]
    labels: tuple[int, ...]

    @cached_property
    def conflicting(self) -> bool:
        """Whether the images carry different labels."""
        return len(set(self.labels)) > 1

    @cached_property
    def across(self) -> bool:
        """Whether they stand in different parts of the dataset."""
        return len({sample.role for sample in self.samples}) > 1


@dataclass(frozen=True)
class Near:
    """An image and the one of another part that is most like it.

    Attributes:
        sample: of the smaller part.
        like: of the other.
        correlation: of all pixels, in [-1, 1].
    """

    sample: Sample
    like: Sample
    correlation: float


def mean_faces(split: Split, num_classes: int) -> NDArray[np.uint8]:
    """The mean image of each class, black where it has none: `(k, height, width)` uint8."""
    means = np.zeros((num_classes, *split.images.shape[1:]))
    for label in range(num_classes):
        images = split.images[split.labels == label]
        if len(images):
            means[label] = images.mean(axis=0)
    return np.rint(means).astype(np.uint8)


def brightness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean grey level of each image, 0 to 255: `(n,)`."""
    found: NDArray[np.float32] = images.mean(axis=(1, 2), dtype=np.float32)
    return found


def sharpness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Standard deviation of each image's Laplacian, in grey levels: `(n,)`, low where blurred.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    import cv2

    found = np.empty(len(images), np.float32)
    for number, image in enumerate(images):
        found[number] = cv2.Laplacian(image, cv2.CV_32F).std()
    return found


def duplicate_groups(parts: Mapping[str, Split]) -> list[Group]:
    """Images that occur more than once, over all parts, the largest groups first."""
    found: defaultdict[bytes, list[tuple[Sample, int]]] = defaultdict(list)
    for role, part in parts.items():
        keys = image_hashes(part.images).tolist()
        for place, (key, label) in enumerate(zip(keys, part.labels.tolist(), strict=True)):
            found[key].append((Sample(role, place), label))
    groups = [
        Group(tuple(sample for sample, _ in members), tuple(label for _, label in members))
        for members in found.values()
        if len(members) > 1
    ]
    return sorted(groups, key=lambda group: -len(group.samples))


def constant_images(parts: Mapping[str, Split]) -> list[Sample]:
    """Images of one grey level."""
    found = []
    for role, part in parts.items():
        flat = part.images.reshape(len(part), -1)
        places = np.flatnonzero(flat.min(axis=1) == flat.max(axis=1))
        found += [Sample(role, int(place)) for place in places]
    return found


def near_duplicates(
    parts: Mapping[str, Split], roles: Sequence[str] = ("test", "train"), least: float = 0.97
) -> list[Near]:
    """Images of one part that are almost, but not quite, one of another, the closest first.

    Thumbnails find the nearest candidate of each image, all pixels judge it: a resized, cropped by
    a pixel or recompressed copy stays above 0.97.

    Args:
        parts: of the dataset, with both roles.
        roles: the part to look at, and the one to look in.
        least: correlation that counts.
    """
    one, other = (parts[role] for role in roles)
    thumbnails = [_normalised(_shrunk(part.images)) for part in (one, other)]
    equal = set(map(bytes, image_hashes(other.images)))
    keys = [bytes(key) for key in image_hashes(one.images)]
    found = []
    for start in range(0, len(one), _CHUNK):
        likeness = thumbnails[0][start : start + _CHUNK] @ thumbnails[1].T
        nearest = likeness.argmax(axis=1)
        for row, place in enumerate(nearest.tolist(), start):
            if keys[row] in equal:
                continue
            pair = _normalised(np.stack([one.images[row], other.images[place]]))
            correlation = float(pair[0] @ pair[1])
            if correlation >= least:
                found.append(Near(Sample(roles[0], row), Sample(roles[1], place), correlation))
    return sorted(found, key=lambda near: -near.correlation)


def find_copies(
    images: NDArray[np.uint8], others: NDArray[np.uint8], least: float = 0.97
) -> NDArray[np.bool_]:
    """Return which images are among others: as they are, mirrored, resized or recompressed.

    Found as `near_duplicates` finds them, each image and its mirror image; where the sides differ,
    the larger images are scaled down. Between FER2013's PrivateTest and CK+ or LFW-emotion no pair
    reaches 0.93; of 600 PrivateTest images saved as JPEG of quality 75, or scaled to 32 or 96
    pixels, all stay above 0.97. Not found are cropped, turned and aligned copies (of images cropped
    by a pixel on each side, 8% are found).

    Args:
        images: `(n, side, side)` uint8.
        others: `(m, side, side)` uint8, of any side.
        least: correlation that counts, in [-1, 1].

    Returns:
        `(n,)` bool. Images of one grey level are copies of none.
    """
    found = np.zeros(len(images), bool)
    if not len(images) or not len(others):
        return found
    side = min(images.shape[1], others.shape[1])
    images, others = _scaled_down(images, side), _scaled_down(others, side)
    thumbnails = _normalised(_shrunk(others))
    for mirrored in (images, images[:, :, ::-1]):
        wanted = _normalised(_shrunk(mirrored))
        for start in range(0, len(images), _CHUNK):
            part = slice(start, start + _CHUNK)
            nearest = (wanted[part] @ thumbnails.T).argmax(axis=1)
            pixels = _normalised(mirrored[part]), _normalised(others[nearest])
            found[part] |= (pixels[0] * pixels[1]).sum(axis=1) >= least
    return found


def _scaled_down(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    import cv2

    if images.shape[1:] == (side, side):
        return images
    return np.stack([cv2.resize(i, (side, side), interpolation=cv2.INTER_AREA) for i in images])


def _shrunk(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import cv2

    side = (_THUMBNAIL, _THUMBNAIL)
    small = [cv2.resize(image, side, interpolation=cv2.INTER_AREA) for image in images]
    return np.asarray(small, np.float32)


def _normalised(images: NDArray[np.generic]) -> NDArray[np.float32]:
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    # A constant image is like nothing.
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return flat
