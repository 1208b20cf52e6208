"""Divide a dataset into what is trained on, selected on and tested on, as a protocol says."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fercore.config.augmentation import AugmentationConfig
from fercore.config.experiment import ExperimentConfig
from fercore.config.protocol import ImageConfig, ProtocolConfig
from fercore.config.run import RunConfig
from fercore.data import labels
from fercore.data.splits import COPY_MARK, UNSPLIT, Split, Splits, image_hashes
from fercore.errors import UserError


def split_dataset(config: RunConfig, splits: Splits) -> Splits:
    """The three splits of an experiment, in the size that its network sees.

    Copies that the augmentation asks for stand beside their originals, with the pixels of the
    originals still, marked in `Split.copies`.

    Raises:
        UserError: if the dataset cannot be divided so, or an honest protocol would share an image,
            a sequence or a subject between two sides.
    """
    protocol = config.protocol
    if protocol.split == "official" and protocol.copies == "before_split":
        raise UserError(
            'received protocol.copies = "before_split" with protocol.split = "official", in which '
            'no copy of an image has a place; expected protocol.split = "random" or "subjects", or '
            'protocol.copies = "after_split"'
        )
    augmentation = AugmentationConfig()
    if isinstance(config, ExperimentConfig):
        augmentation = config.augmentation
    if protocol.test == "train_fold":
        # Before the images are scaled, so that the folds do not depend on the image size.
        splits = _train_fold(protocol, splits)
    splits = _in_size(splits, config.image)
    copied = augmentation.mode != "online"
    if copied and protocol.copies == "before_split":
        everything = _pool(splits)
        splits = _with_parts(splits, {UNSPLIT: _copy(everything, augmentation, splits.class_names)})
    if protocol.split == "official":
        divided = _official(protocol, splits)
    elif protocol.split == "random":
        divided = _random(protocol, splits)
    else:
        divided = _by_subject(protocol, splits)
    if protocol.select_on == "test":
        parts = {**divided.parts, "validation": divided["test"]}
        titles = {**divided.titles, "validation": divided.title("test")}
        divided = _with_parts(divided, parts, titles)
    if protocol.leak_free:
        _refuse_leaks(divided, chosen=protocol.test != "validation")
    if copied and protocol.copies == "after_split":
        train = _copy(divided["train"], augmentation, divided.class_names)
        divided = _with_parts(divided, {**divided.parts, "train": train})
    return divided


def fit_images(images: NDArray[np.uint8], config: ImageConfig) -> NDArray[np.uint8]:
    """Bring images to the size that a network sees.

    Args:
        images: `(n, height, width)` uint8.
        config: the size, and how to get there.

    Returns:
        `(n, size, size)` uint8.
    """
    size = config.size
    height, width = images.shape[1:]
    if size is None or (height, width) == (size, size):
        return images
    if config.fit == "resize":
        import cv2

        shrinks = size < max(height, width)
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = np.empty((len(images), size, size), np.uint8)
        for source, target in zip(images, resized, strict=True):
            cv2.resize(source, (size, size), dst=target, interpolation=how)
        return resized
    fitted = np.zeros((len(images), size, size), np.uint8)
    rows, columns = min(height, size), min(width, size)
    top, left = (height - rows) // 2, (width - columns) // 2
    down, right = (size - rows) // 2, (size - columns) // 2
    fitted[:, down : down + rows, right : right + columns] = images[
        :, top : top + rows, left : left + columns
    ]
    return fitted


def _official(protocol: ProtocolConfig, splits: Splits) -> Splits:
    _require_official(splits)
    if protocol.test in {"own", "train_fold"}:
        return splits
    if protocol.test == "validation":
        parts = {**splits.parts, "test": splits["validation"]}
        titles = {**splits.titles, "test": splits.title("validation")}
        return _with_parts(splits, parts, titles)
    merged = splits["validation"].joined(splits["test"])
    title = f"{splits.title('validation')} + {splits.title('test')}"
    parts = {"train": splits["train"], "test": merged}
    return _with_parts(splits, parts, {**splits.titles, "test": title})


def _require_official(splits: Splits) -> None:
    if UNSPLIT in splits.parts:
        raise UserError(
            f"{splits.name} has no official split; expected protocol.split = random, or subjects "
            "where it names them"
        )


def _train_fold(protocol: ProtocolConfig, splits: Splits) -> Splits:
    """Replace the training split by all but one of its folds, and the test split by that fold.

    The folds are stratified by class, and identical images are in the same fold.
    """
    _require_official(splits)
    if splits.source is not None:
        # Other pixels are other groups of identical images, and so other folds.
        raise UserError(
            f'received protocol.test = "train_fold" for {splits.name}, which is derived from '
            f"{splits.source.name}: its folds would be others; expected {splits.source.name}"
        )
    train = splits["train"]
    counts = np.bincount(train.labels, minlength=len(splits.class_names))
    rarest = int(np.where(counts, counts, counts.max()).argmin())
    if counts[rarest] < protocol.folds:
        raise UserError(
            f"received protocol.folds = {protocol.folds}, but {splits.title('train')} of "
            f"{splits.name} has {counts[rarest]} images of {splits.class_names[rarest]}; expected "
            "at most as many folds as images of each class"
        )
    _, same_image = np.unique(image_hashes(train.images), return_inverse=True)
    tested = _folds(protocol, train, same_image) == protocol.fold
    parts = {**splits.parts, "train": train.take(~tested), "test": train.take(tested)}
    title = f"{splits.title('train')} fold {protocol.fold + 1} of {protocol.folds}"
    return _with_parts(splits, parts, {**splits.titles, "test": title})


def _folds(protocol: ProtocolConfig, split: Split, groups: NDArray[np.generic]) -> NDArray[np.intp]:
    """Return the fold of each sample, `(n,)`, stratified by class; groups stay together."""
    from sklearn.model_selection import StratifiedGroupKFold

    dealer = StratifiedGroupKFold(protocol.folds, shuffle=True, random_state=protocol.split_seed)
    fold_of = np.empty(len(split), np.intp)
    for number, (_, tested) in enumerate(dealer.split(split.images, split.labels, groups)):
        fold_of[tested] = number
    return fold_of


def _random(protocol: ProtocolConfig, splits: Splits) -> Splits:
    pool = _pool(splits)
    order = np.random.default_rng(protocol.split_seed).permutation(len(pool))
    # As scikit-learn's train_test_split rounds: up.
    test = int(np.ceil(protocol.test_fraction * len(pool)))
    validation = int(np.ceil(protocol.validation_fraction * len(pool)))
    places = {
        "test": order[:test],
        "validation": order[test : test + validation],
        "train": order[test + validation :],
    }
    percent = f"{protocol.test_fraction:.0%}".replace("%", " %")
    titles = {"train": "Training", "validation": "Validation", "test": f"Random {percent}"}
    return _take_splits(splits, pool, places, titles)


def _by_subject(protocol: ProtocolConfig, splits: Splits) -> Splits:
    pool = _pool(splits)
    if "subject" not in pool.groups:
        raise UserError(
            f"{splits.name} names no subjects; expected protocol.split = official or random"
        )
    subjects = pool.groups["subject"]
    if len(np.unique(subjects)) < protocol.folds:
        raise UserError(
            f"received protocol.folds = {protocol.folds}, {splits.name} has "
            f"{len(np.unique(subjects))} subjects"
        )
    fold_of = _folds(protocol, pool, subjects)
    choosing = (protocol.fold + 1) % protocol.folds
    places = {
        "test": np.flatnonzero(fold_of == protocol.fold),
        "validation": np.flatnonzero(fold_of == choosing),
        "train": np.flatnonzero((fold_of != protocol.fold) & (fold_of != choosing)),
    }
    title = f"Fold {protocol.fold + 1} of {protocol.folds} by subject"
    titles = {"train": "Training", "validation": "Validation", "test": title}
    return _take_splits(splits, pool, places, titles)


def _take_splits(
    splits: Splits, pool: Split, places: Mapping[str, NDArray[np.integer]], titles: dict[str, str]
) -> Splits:
    empty = [role for role, positions in places.items() if not len(positions)]
    if empty:
        raise UserError(
            f"{len(pool)} images of {splits.name} leave none for {' and '.join(empty)}; expected "
            "larger fractions or fewer folds"
        )
    parts = {role: pool.take(np.sort(positions)) for role, positions in places.items()}
    return _with_parts(splits, parts, titles)


def _refuse_leaks(splits: Splits, *, chosen: bool) -> None:
    """Refuse samples on two sides; the validation split is one if something is chosen on it."""
    pairs = [("train", "test"), ("train", "validation")]
    if chosen:
        pairs.append(("validation", "test"))
    for one, other in pairs:
        columns = {"image": (splits[one].ids, splits[other].ids)} | {
            kind: (splits[one].groups[kind], splits[other].groups[kind])
            for kind in splits[one].groups
        }
        for kind, (mine, theirs) in columns.items():
            shared = np.intersect1d(mine, theirs)
            if len(shared):
                raise UserError(
                    f"{splits.title(one)} and {splits.title(other)} of {splits.name} share "
                    f"{len(shared):,} {kind}s, such as {shared[0]}: an honest protocol divides by "
                    "subject (protocol.split = subjects); one that is published so says "
                    "protocol.leak_free = false"
                )


def _copy(split: Split, config: AugmentationConfig, class_names: tuple[str, ...]) -> Split:
    """The samples, then copies of them in the same order."""
    times = np.full(len(class_names), 2 if config.mode == "doubled" else 1)
    for name, wanted in config.class_multipliers.items():
        times[labels.index_of(name, class_names)] = wanted
    sources = np.repeat(np.arange(len(split)), times[split.labels] - 1)
    first_of_source = np.searchsorted(sources, sources)
    numbers = np.arange(len(sources)) - first_of_source + 1
    copied = split.take(np.concatenate([np.arange(len(split)), sources]))
    ids = np.array(
        [
            *split.ids.tolist(),
            *(
                f"{name}{COPY_MARK}{number}"
                for name, number in zip(split.ids[sources], numbers, strict=True)
            ),
        ]
    )
    copies = np.arange(len(ids)) >= len(split)
    return Split(copied.images, copied.labels, ids, copied.groups, copies)


def _in_size(splits: Splits, config: ImageConfig) -> Splits:
    if config.size is None:
        return splits
    parts = {
        role: Split(fit_images(part.images, config), part.labels, part.ids, part.groups)
        for role, part in splits.parts.items()
    }
    return _with_parts(splits, parts)


def _pool(splits: Splits) -> Split:
    if UNSPLIT in splits.parts:
        return splits[UNSPLIT]
    train, validation, test = (splits[role] for role in ("train", "validation", "test"))
    return train.joined(validation).joined(test)


def _with_parts(
    splits: Splits, parts: dict[str, Split], titles: dict[str, str] | None = None
) -> Splits:
    return replace(splits, parts=parts, titles=splits.titles if titles is None else titles)
