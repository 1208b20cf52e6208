"""Take a validation part out of the training part of a dataset that comes without one."""

import hashlib
from collections import defaultdict

import numpy as np

from fercore.data.splits import Split, image_hashes

# As large, against training, as PublicTest.
SHARE = 1 / 8


def hold_out(train: Split, num_classes: int) -> tuple[Split, Split]:
    """Take a validation part out of training: an eighth of each class, one image at least.

    The choice depends on the pixels alone, so that it is the same on every machine, and images that
    are equal stay on one side.

    Returns:
        What is left of training, and the validation part.
    """
    groups: dict[bytes, list[int]] = defaultdict(list)
    for position, key in enumerate(image_hashes(train.images)):
        groups[key.tobytes()].append(position)
    counts = np.bincount(train.labels, minlength=num_classes)
    wanted = np.maximum(np.rint(counts * SHARE), counts > 1).astype(int)
    taken = np.zeros(len(train), bool)
    for key in sorted(groups, key=lambda key: hashlib.sha256(key).digest()):
        label = train.labels[groups[key][0]]
        if wanted[label] >= len(groups[key]):
            taken[groups[key]] = True
            wanted[label] -= len(groups[key])
    return train.take(~taken), train.take(taken)
