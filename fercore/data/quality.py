"""Data quality: equal and nearly equal images, conflicting labels, constant images, statistics."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fercore.data.splits import COPY_MARK, UNSPLIT, Split, image_hashes

# Height and width of the thumbnails with which near-duplicates are searched.
_THUMBNAIL_SIDE = 12
_CHUNK_SIZE = 512


class Audit(BaseModel):
    """Counts of equal images (pixel for pixel) and of constant images.

    Attributes:
        test_in_train: test images that also occur in training.
        validation_in_train: validation images that also occur in training.
        test_in_either: test images that also occur in training or validation.
        train_repeats: training images beyond the first of each group of equal ones.
        repeats: the same over the images of a dataset without splits.
        conflicting_groups: groups of equal images, over all splits, with more than one label.
        constant: images of one grey level, over all splits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    test_in_train: int = Field(default=0, ge=0)
    validation_in_train: int = Field(default=0, ge=0)
    test_in_either: int = Field(default=0, ge=0)
    train_repeats: int = Field(default=0, ge=0)
    repeats: int = Field(default=0, ge=0)
    conflicting_groups: int = Field(default=0, ge=0)
    constant: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class SampleRef:
    """One image: its split, and its index in the split."""

    role: str
    index: int


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that are equal pixel for pixel.

    Attributes:
        samples: at least two.
        labels: of each sample, positions in the label set.
    """

    samples: tuple[SampleRef, ...]
    labels: tuple[int, ...]

    @cached_property
    def has_conflicting_labels(self) -> bool:
        """Whether the images have different labels."""
        return len(set(self.labels)) > 1

    @cached_property
    def is_across_splits(self) -> bool:
        """Whether the images are in different splits of the dataset."""
        return len({sample.role for sample in self.samples}) > 1


@dataclass(frozen=True)
class NearDuplicate:
    """An image and the most similar image of another split.

    Attributes:
        sample: the image.
        match: the most similar image of the other split.
        correlation: of all pixels, in [-1, 1].
    """

    sample: SampleRef
    match: SampleRef
    correlation: float


def audit(parts: Mapping[str, Split]) -> Audit:
    """Count the flaws of a dataset; an absent role counts as empty."""
    counts: Counter[str] = Counter()
    for group in duplicate_groups(parts):
        by_role = Counter(sample.role for sample in group.samples)
        train, validation, test = (by_role[role] for role in ("train", "validation", "test"))
        if train:
            counts["test_in_train"] += test
            counts["validation_in_train"] += validation
            counts["train_repeats"] += train - 1
        if train or validation:
            counts["test_in_either"] += test
        counts["repeats"] += max(by_role[UNSPLIT] - 1, 0)
        counts["conflicting_groups"] += group.has_conflicting_labels
    return Audit(**counts, constant=len(constant_images(parts)))


def flaw_mask(split: Split, flaws: Collection[str]) -> NDArray[np.bool_]:
    """Return which samples of a split have at least one of the given flaws, `(n,)` bool.

    Args:
        split: any split. Copies that augmentation will change are not repeats of their originals;
            a copy is flagged when its original is.
        flaws: `"constant"`: images of one grey level; `"conflicts"`: all of the equal images that
            have different labels; `"repeats"`: equal images except the first.
    """
    flawed = np.zeros(len(split), bool)
    if "constant" in flaws:
        flawed |= constant_mask(split.images)
    if not {"conflicts", "repeats"} & set(flaws):
        return flawed
    originals = np.arange(len(split)) if split.copies is None else np.flatnonzero(~split.copies)
    for positions in group_equal_images(split.images[originals]).values():
        indices = originals[positions]
        if "conflicts" in flaws and len(np.unique(split.labels[indices])) > 1:
            flawed[indices] = True
        elif "repeats" in flaws:
            flawed[indices[1:]] = True
    if split.copies is not None:
        flawed_ids = set(split.ids[flawed].tolist())
        for index in np.flatnonzero(split.copies).tolist():
            flawed[index] |= str(split.ids[index]).rpartition(COPY_MARK)[0] in flawed_ids
    return flawed


def duplicate_groups(parts: Mapping[str, Split]) -> list[DuplicateGroup]:
    """Return the images that occur more than once over all splits, the largest groups first."""
    samples = [SampleRef(role, index) for role, part in parts.items() for index in range(len(part))]
    labels = [label for part in parts.values() for label in part.labels.tolist()]
    hashes = (key for part in parts.values() for key in image_hashes(part.images).tolist())
    groups = [
        DuplicateGroup(tuple(samples[p] for p in positions), tuple(labels[p] for p in positions))
        for positions in _group_positions(hashes).values()
        if len(positions) > 1
    ]
    return sorted(groups, key=lambda group: -len(group.samples))


def group_equal_images(images: NDArray[np.uint8]) -> dict[bytes, list[int]]:
    """Return the positions of equal images by their hash, in order of first occurrence."""
    return _group_positions(image_hashes(images).tolist())


def constant_images(parts: Mapping[str, Split]) -> list[SampleRef]:
    """Return the images of one grey level."""
    return [
        SampleRef(role, index)
        for role, part in parts.items()
        for index in np.flatnonzero(constant_mask(part.images)).tolist()
    ]


def constant_mask(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which images have one grey level, `(n,)` bool."""
    if not len(images):
        return np.zeros(0, bool)
    flat = images.reshape(len(images), -1)
    return np.asarray(flat.min(axis=1) == flat.max(axis=1))


def near_duplicates(
    parts: Mapping[str, Split],
    roles: Sequence[str] = ("test", "train"),
    min_correlation: float = 0.97,
) -> list[NearDuplicate]:
    """Return images of one split that nearly equal an image of another, the closest first.

    Thumbnails give the nearest candidate of each image; the correlation is computed over all
    pixels. A copy that was resized, cropped by a pixel or recompressed stays above 0.97. Exactly
    equal images are left out.

    Args:
        parts: of the dataset, with both roles.
        roles: the split to look at, and the one to search.
        min_correlation: lowest correlation to report, in [-1, 1].
    """
    one, other = (parts[role] for role in roles)
    thumbnails = [_normalise(_make_thumbnails(part.images)) for part in (one, other)]
    other_hashes = set(map(bytes, image_hashes(other.images)))
    hashes = [bytes(key) for key in image_hashes(one.images)]
    pairs = []
    for start in range(0, len(one), _CHUNK_SIZE):
        similarity = thumbnails[0][start : start + _CHUNK_SIZE] @ thumbnails[1].T
        for index, nearest in enumerate(similarity.argmax(axis=1).tolist(), start):
            if hashes[index] in other_hashes:
                continue
            pixels = _normalise(np.stack([one.images[index], other.images[nearest]]))
            correlation = float(pixels[0] @ pixels[1])
            if correlation >= min_correlation:
                sample, match = SampleRef(roles[0], index), SampleRef(roles[1], nearest)
                pairs.append(NearDuplicate(sample, match, correlation))
    return sorted(pairs, key=lambda pair: -pair.correlation)


def find_copies(
    images: NDArray[np.uint8], others: NDArray[np.uint8], min_correlation: float = 0.97
) -> NDArray[np.bool_]:
    """Return which images occur among others: unchanged, mirrored, resized or recompressed.

    The search is that of `near_duplicates`, for each image and its mirror image; where the sizes
    differ, the larger images are scaled down. Between FER2013's PrivateTest and CK+ or LFW-emotion
    no pair reaches 0.93; of 600 PrivateTest images saved as JPEG of quality 75, or scaled to 32 or
    96 pixels, all stay above 0.97. Cropped, rotated and aligned copies are not found (of images
    cropped by a pixel on each side, 8% are).

    Args:
        images: `(n, side, side)` uint8.
        others: `(m, side, side)` uint8, of any side.
        min_correlation: lowest correlation that counts as a copy, in [-1, 1].

    Returns:
        `(n,)` bool. An image of one grey level is never a copy.
    """
    is_copy = np.zeros(len(images), bool)
    if not len(images) or not len(others):
        return is_copy
    side = min(images.shape[1], others.shape[1])
    images, others = _scale_down(images, side), _scale_down(others, side)
    other_thumbnails = _normalise(_make_thumbnails(others))
    for view in (images, images[:, :, ::-1]):
        thumbnails = _normalise(_make_thumbnails(view))
        for start in range(0, len(images), _CHUNK_SIZE):
            chunk = slice(start, start + _CHUNK_SIZE)
            nearest = (thumbnails[chunk] @ other_thumbnails.T).argmax(axis=1)
            pixels = _normalise(view[chunk]), _normalise(others[nearest])
            is_copy[chunk] |= (pixels[0] * pixels[1]).sum(axis=1) >= min_correlation
    return is_copy


def mean_faces(split: Split, num_classes: int) -> NDArray[np.uint8]:
    """Return the mean image of each class, black for an empty class: `(k, height, width)` uint8."""
    means = np.zeros((num_classes, *split.images.shape[1:]))
    for label in range(num_classes):
        images = split.images[split.labels == label]
        if len(images):
            means[label] = images.mean(axis=0)
    return np.rint(means).astype(np.uint8)


def brightness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean grey level of each image, 0 to 255: `(n,)`."""
    means: NDArray[np.float32] = images.mean(axis=(1, 2), dtype=np.float32)
    return means


def sharpness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the standard deviation of each image's Laplacian: `(n,)`, low for blurred images.

    The unit is grey levels. Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", ICPR 2000.
    """
    import cv2

    deviations = np.empty(len(images), np.float32)
    for number, image in enumerate(images):
        deviations[number] = cv2.Laplacian(image, cv2.CV_32F).std()
    return deviations


def _group_positions(hashes: Iterable[bytes]) -> dict[bytes, list[int]]:
    """Return the positions of each hash, in order of first occurrence."""
    positions: defaultdict[bytes, list[int]] = defaultdict(list)
    for position, key in enumerate(hashes):
        positions[key].append(position)
    return positions


def _scale_down(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    import cv2

    if images.shape[1:] == (side, side):
        return images
    return np.stack([cv2.resize(i, (side, side), interpolation=cv2.INTER_AREA) for i in images])


def _make_thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import cv2

    side = (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE)
    small = [cv2.resize(image, side, interpolation=cv2.INTER_AREA) for image in images]
    return np.asarray(small, np.float32)


def _normalise(images: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return images as vectors of mean 0 and length 1: their dot product is the correlation."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    # The floor keeps constant images at 0, so they correlate with no image.
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return flat
