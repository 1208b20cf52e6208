"""What every dataset loads into."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROLES = ("train", "validation", "test")

# The one part of a dataset that comes without splits; a protocol divides it.
UNSPLIT = "all"
# Between the id of an image and the number of its copy.
COPY_MARK = "#"
# What samples may share, the coarsest first; the last is the image that copies were made of.
GROUP_KINDS = ("subject", "sequence", "image")


@dataclass(frozen=True)
class Split:
    """One part of a dataset, in a fixed order.

    Attributes:
        images: `(n, height, width)` uint8, grey levels 0 to 255.
        labels: `(n,)` uint8, positions in the dataset's `class_names`.
        ids: `(n,)` unicode, unique within the dataset and the same on every machine; two runs on
            the same dataset are paired by them.
        groups: `(n,)` unicode by kind, such as `"subject"`: samples of one group are so alike that
            none may be trained on while another is tested on.
        copies: `(n,)` bool: the samples that stand for a changed copy of their image, to be
            augmented before training; absent where there are none.
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
        """Return the independent unit of each sample, and its kind.

        It is the coarsest one known: the subject, else the sequence, else the original image where
        there are copies, of which equal images are one.

        Returns:
            `(n,)` unicode and one of `GROUP_KINDS`; `None` where each sample stands for itself, as
            far as the dataset tells.
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
        # Copies have the pixels of their originals still: equal ones are found by them.
        _, first, unit = np.unique(
            image_hashes(self.images), return_index=True, return_inverse=True
        )
        return np.array(names)[first[unit]], "image"

    def take(self, keep: NDArray[np.bool_] | NDArray[np.integer]) -> "Split":
        """The samples that a mask or an index array names, in that order."""
        return Split(
            self.images[keep],
            self.labels[keep],
            self.ids[keep],
            {kind: names[keep] for kind, names in self.groups.items()},
            None if self.copies is None else self.copies[keep],
        )

    def joined(self, other: "Split") -> "Split":
        """These samples, then those of a split of the same dataset."""
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
    """A dataset's name, and the fingerprint of one version of it."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class Splits:
    """A dataset: samples by role, and what tells them apart from every other dataset.

    A dataset that comes without splits has one part, `POOL`.

    Attributes:
        name: the dataset's name, such as `"fer2013"`.
        class_names: the label set; `labels` index it.
        parts: the splits by role, a subset of `ROLES`, or `POOL` alone.
        titles: what the dataset's own literature calls each role, such as
            `{"validation": "PublicTest"}`.
        fingerprint: 16 hexadecimal digits over every pixel, label and id: equal exactly when two
            machines hold the same data.
        synthetic: whether code drew the images; such results never mix with real ones.
        held_out: whether its validation part was taken out of training when it was added, for want
            of one of its own: others trained on it.
        source: the dataset whose images were changed to make this one; `None` if it is not derived
            from another.
    """

    name: str
    class_names: tuple[str, ...]
    parts: Mapping[str, Split]
    titles: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    synthetic: bool = False
    held_out: bool = False
    source: DatasetVersion | None = None

    @property
    def original(self) -> DatasetVersion:
        """The dataset that the images come from: the source of a derived one, else itself."""
        return self.source or DatasetVersion(self.name, self.fingerprint)

    def __getitem__(self, role: str) -> Split:
        return self.parts[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def title(self, role: str) -> str:
        """What the dataset's literature calls a role, else the role itself."""
        return self.titles.get(role, role)


def fingerprint(parts: Mapping[str, Split]) -> str:
    """16 hexadecimal digits over every role, pixel, label and id of a dataset, in order."""
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
    """One comparable key per image, equal exactly when every pixel is: `(n,)` void."""
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
    return np.frombuffer(b"".join(digests), dtype="V16") if digests else np.empty(0, dtype="V16")


def is_duplicate_of(images: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which images stand, pixel for pixel, among the reference images: `(n,)` bool."""
    known = {key.tobytes() for key in image_hashes(reference)}
    keys = (key.tobytes() for key in image_hashes(images))
    return np.fromiter((key in known for key in keys), bool, len(images))
