"""The in-memory form of a dataset: `Split`, `Splits`, fingerprints and image hashes."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROLES = ("train", "validation", "test")

# The only role of a dataset that comes without splits; a protocol divides it.
UNSPLIT = "all"
# Separates the id of an image from the number of its copy.
COPY_MARK = "#"
# Kinds of groups of dependent samples, the coarsest first. "image" groups copies of one image.
GROUP_KINDS = ("subject", "sequence", "image")


@dataclass(frozen=True)
class Split:
    """The samples of one role of a dataset, in a fixed order.

    Attributes:
        images: `(n, height, width)` uint8, grey levels 0 to 255.
        labels: `(n,)` uint8, positions in the dataset's `class_names`.
        ids: `(n,)` unicode, unique within the dataset and the same on every machine; the samples of
            two runs on the same dataset are paired by id.
        groups: `(n,)` unicode by kind, such as `"subject"`. Samples of one group are so similar
            that they must not be in both training and test.
        copies: `(n,)` bool: the samples that are copies of an image, to be augmented before
            training; `None` if there are none.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    ids: NDArray[np.str_]
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    copies: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise ValueError(
                f"received images of shape {self.images.shape} and dtype {self.images.dtype}, "
                "expected (n, height, width) uint8"
            )
        columns = [self.labels, self.ids, *self.groups.values()]
        if any(len(column) != n or column.ndim != 1 for column in columns):
            raise ValueError(
                f"received {n} images, labels of shape {self.labels.shape} and ids of shape "
                f"{self.ids.shape}, expected one label and one id for each image"
            )

    def __len__(self) -> int:
        return len(self.images)

    def units(self) -> "tuple[NDArray[np.str_], str] | None":
        """Return the statistically independent unit of each sample, and its kind.

        The unit is the coarsest one that the dataset names: the subject, else the sequence, else
        the original image if there are copies. Equal images count as one image.

        Returns:
            `(n,)` unicode and one of `GROUP_KINDS`; `None` if every sample is a unit of its own.
        """
        for kind in GROUP_KINDS:
            if kind in self.groups:
                return self.groups[kind], kind
        if self.copies is None:
            return None
        names = [
            name.rpartition(COPY_MARK)[0] if copied else name
            for name, copied in zip(self.ids.tolist(), self.copies.tolist(), strict=True)
        ]
        # Copies still have the pixels of their originals, so equal images have equal hashes.
        _, first, unit = np.unique(
            image_hashes(self.images), return_index=True, return_inverse=True
        )
        return np.array(names)[first[unit]], "image"

    def take(self, keep: NDArray[np.bool_] | NDArray[np.integer]) -> "Split":
        """Return the samples that a mask or an index array selects, in that order."""
        return Split(
            self.images[keep],
            self.labels[keep],
            self.ids[keep],
            {kind: names[keep] for kind, names in self.groups.items()},
            None if self.copies is None else self.copies[keep],
        )

    def concatenate(self, other: "Split") -> "Split":
        """Return these samples followed by those of another split of the same dataset."""
        return Split(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.ids, other.ids]),
            {
                kind: np.concatenate([names, other.groups[kind]])
                for kind, names in self.groups.items()
            },
        )


class DatasetVersion(NamedTuple):
    """The name of a dataset, and the fingerprint of one version of it."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class Splits:
    """A dataset: its samples by role, its label set and its fingerprint.

    A dataset that comes without splits has one part, `UNSPLIT`.

    Attributes:
        name: the dataset's name, such as `"fer2013"`.
        class_names: the label set; `labels` index it.
        parts: the splits by role, a subset of `ROLES`, or `UNSPLIT` alone.
        titles: name of each role in the dataset's literature, such as
            `{"validation": "PublicTest"}`.
        fingerprint: 16 hexadecimal digits over every pixel, label and id: equal exactly when two
            machines hold the same data.
        synthetic: whether the images are drawn by code; such results never mix with real ones.
        validation_from_train: whether the validation split was taken out of training when the
            dataset was added, because it has none of its own. Other projects trained on it.
        source: the dataset that this one was derived from; `None` if it was not derived.
    """

    name: str
    class_names: tuple[str, ...]
    parts: Mapping[str, Split]
    titles: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    synthetic: bool = False
    validation_from_train: bool = False
    source: DatasetVersion | None = None

    @property
    def original(self) -> DatasetVersion:
        """The dataset that the images come from: the source of a derived dataset, else itself."""
        return self.source or DatasetVersion(self.name, self.fingerprint)

    def __getitem__(self, role: str) -> Split:
        return self.parts[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def title(self, role: str) -> str:
        """Return the name of a role in the dataset's literature, else the role itself."""
        return self.titles.get(role, role)


def fingerprint(parts: Mapping[str, Split]) -> str:
    """Return 16 hexadecimal digits over every role, pixel, label and id of a dataset, in order."""
    digest = hashlib.sha256()
    for role in (*ROLES, UNSPLIT):
        if role in parts:
            part = parts[role]
            digest.update(f"{role}:{part.images.shape}:".encode())
            digest.update(part.images.tobytes())
            digest.update(part.labels.tobytes())
            digest.update("\n".join(part.ids.tolist()).encode())
    return digest.hexdigest()[:16]


def image_hashes(images: NDArray[np.uint8]) -> NDArray[np.void]:
    """Return one hash per image, equal exactly when every pixel is equal: `(n,)` void."""
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
    return np.frombuffer(b"".join(digests), dtype="V16") if digests else np.empty(0, dtype="V16")


def is_duplicate_of(images: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which images occur, pixel for pixel, among the reference images: `(n,)` bool."""
    reference_hashes = {key.tobytes() for key in image_hashes(reference)}
    hashes = (key.tobytes() for key in image_hashes(images))
    return np.fromiter((key in reference_hashes for key in hashes), bool, len(images))
