"""What is wrong with a dataset: repeats across splits, conflicting labels, empty images."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fercore.data.splits import COPY_MARK, UNSPLIT, Split, image_hashes


class Audit(BaseModel):
    """Counts of images that are equal pixel for pixel, or hold nothing.

    Attributes:
        test_in_train: test images that stand in training.
        validation_in_train: validation images that stand in training.
        test_in_either: test images that stand in training or validation.
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


def audit(parts: Mapping[str, Split]) -> Audit:
    """Count the flaws of a dataset; a role that is absent counts as empty."""
    keys = {role: image_hashes(part.images).tolist() for role, part in parts.items()}
    train, validation, test = (keys.get(role, []) for role in ("train", "validation", "test"))
    in_train = set(train)
    in_either = in_train.union(validation)
    labels_of: defaultdict[bytes, set[int]] = defaultdict(set)
    for role, part in parts.items():
        for key, label in zip(keys[role], part.labels.tolist(), strict=True):
            labels_of[key].add(label)
    return Audit(
        test_in_train=sum(key in in_train for key in test),
        validation_in_train=sum(key in in_train for key in validation),
        test_in_either=sum(key in in_either for key in test),
        train_repeats=_count_duplicates(train),
        repeats=_count_duplicates(keys.get(UNSPLIT, [])),
        conflicting_groups=sum(len(labels) > 1 for labels in labels_of.values()),
        constant=sum(int(_is_constant(part.images).sum()) for part in parts.values()),
    )


def flaw_mask(split: Split, flaws: Collection[str]) -> NDArray[np.bool_]:
    """Which samples of a split have one of some flaws, `(n,)` bool.

    Args:
        split: any; copies that are to be changed are no repeats of their originals, and go with
            them.
        flaws: `"constant"`, images of one grey level; `"conflicts"`, equal images of different
            labels, all of them; `"repeats"`, equal images but the first.
    """
    found = np.zeros(len(split), bool)
    if "constant" in flaws:
        found |= _is_constant(split.images)
    if not {"conflicts", "repeats"} & set(flaws):
        return found
    originals = np.arange(len(split)) if split.copies is None else np.flatnonzero(~split.copies)
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for place, key in zip(
        originals.tolist(), image_hashes(split.images[originals]).tolist(), strict=True
    ):
        groups[key].append(place)
    for places in groups.values():
        if "conflicts" in flaws and len(set(split.labels[places].tolist())) > 1:
            found[places] = True
        elif "repeats" in flaws:
            found[places[1:]] = True
    if split.copies is not None:
        gone = set(split.ids[found].tolist())
        for place in np.flatnonzero(split.copies).tolist():
            found[place] |= str(split.ids[place]).rpartition(COPY_MARK)[0] in gone
    return found


def _count_duplicates(keys: list[bytes]) -> int:
    return sum(count - 1 for count in Counter(keys).values())


def _is_constant(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if not len(images):
        return np.zeros(0, bool)
    flat = images.reshape(len(images), -1)
    return np.asarray(flat.min(axis=1) == flat.max(axis=1))
