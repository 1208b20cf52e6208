"""Take a validation split out of the training split of a dataset that has none."""

import hashlib

import numpy as np

from fercore.data.quality import group_equal_images
from fercore.data.splits import Split

# Fraction of training that becomes validation, as PublicTest is to FER2013's training images.
VALIDATION_FRACTION = 1 / 8


def take_validation_from_train(train: Split, num_classes: int) -> tuple[Split, Split]:
    """Take a validation split out of training: an eighth of each class, at least one image.

    The choice depends on the pixels alone, so it is the same on every machine. Equal images stay in
    the same split.

    Returns:
        The remaining training split, and the validation split.
    """
    groups = group_equal_images(train.images)
    counts = np.bincount(train.labels, minlength=num_classes)
    remaining = np.maximum(np.rint(counts * VALIDATION_FRACTION), counts > 1).astype(int)
    is_validation = np.zeros(len(train), bool)
    for key in sorted(groups, key=lambda key: hashlib.sha256(key).digest()):
        group = groups[key]
        label = train.labels[group[0]]
        if remaining[label] >= len(group):
            is_validation[group] = True
            remaining[label] -= len(group)
    return train.take(~is_validation), train.take(is_validation)
