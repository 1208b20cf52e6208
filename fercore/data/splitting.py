"""Divide a dataset into training, validation and test splits, as its protocol configures."""

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
    """Return the three splits of an experiment, in the network's image size.

    Copies that the augmentation requests follow their originals. They still have the pixels of the
    originals, and are marked in `Split.copies`.

    Raises:
        UserError: if the dataset cannot be divided in this way, or an honest protocol would share
            an image, a sequence or a subject between two splits.
    """
    protocol = config.protocol
    if protocol.split == "official" and protocol.copies == "before_split":
        raise UserError(
            'received protocol.copies = "before_split" with protocol.split = "official", which has '
            'no split for a copy of an image; expected protocol.split = "random" or "subjects", or '
            'protocol.copies = "after_split"'
        )
    augmentation = AugmentationConfig()
    if isinstance(config, ExperimentConfig):
        augmentation = config.augmentation
    if protocol.test == "train_fold":
        # Before the images are scaled, so that the folds do not depend on the image size.
        splits = _use_train_fold_as_test(protocol, splits)
    splits = _resize_splits(splits, config.image)
    has_copies = augmentation.mode != "online"
    if has_copies and protocol.copies == "before_split":
        copied = _add_copies(_merge_parts(splits), augmentation, splits.class_names)
        splits = _with_parts(splits, {UNSPLIT: copied})
    if protocol.split == "official":
        divided = _official_splits(protocol, splits)
    elif protocol.split == "random":
        divided = _random_splits(protocol, splits)
    else:
        divided = _subject_splits(protocol, splits)
    if protocol.select_on == "test":
        parts = {**divided.parts, "validation": divided["test"]}
        titles = {**divided.titles, "validation": divided.title("test")}
        divided = _with_parts(divided, parts, titles)
    if protocol.leak_free:
        _refuse_leaks(divided, selects_on_validation=protocol.test != "validation")
    if has_copies and protocol.copies == "after_split":
        train = _add_copies(divided["train"], augmentation, divided.class_names)
        divided = _with_parts(divided, {**divided.parts, "train": train})
    return divided


def fit_images(images: NDArray[np.uint8], config: ImageConfig) -> NDArray[np.uint8]:
    """Resize, crop or pad images to the network's image size.

    Args:
        images: `(n, height, width)` uint8.
        config: the size, and whether to resize, or to crop and pad.

    Returns:
        `(n, size, size)` uint8.
    """
    size = config.size
    height, width = images.shape[1:]
    if size is None or (height, width) == (size, size):
        return images
    if config.fit == "resize":
        import cv2

        interpolation = cv2.INTER_AREA if size < max(height, width) else cv2.INTER_LINEAR
        resized = np.empty((len(images), size, size), np.uint8)
        for source, target in zip(images, resized, strict=True):
            cv2.resize(source, (size, size), dst=target, interpolation=interpolation)
        return resized
    fitted = np.zeros((len(images), size, size), np.uint8)
    rows, columns = min(height, size), min(width, size)
    top, left = (height - rows) // 2, (width - columns) // 2
    down, right = (size - rows) // 2, (size - columns) // 2
    fitted[:, down : down + rows, right : right + columns] = images[
        :, top : top + rows, left : left + columns
    ]
    return fitted


def _official_splits(protocol: ProtocolConfig, splits: Splits) -> Splits:
    _require_official(splits)
    if protocol.test in {"own", "train_fold"}:
        return splits
    if protocol.test == "validation":
        parts = {**splits.parts, "test": splits["validation"]}
        titles = {**splits.titles, "test": splits.title("validation")}
        return _with_parts(splits, parts, titles)
    merged = splits["validation"].concatenate(splits["test"])
    title = f"{splits.title('validation')} + {splits.title('test')}"
    parts = {"train": splits["train"], "test": merged}
    return _with_parts(splits, parts, {**splits.titles, "test": title})


def _require_official(splits: Splits) -> None:
    if UNSPLIT in splits.parts:
        raise UserError(
            f"{splits.name} has no official split; expected protocol.split = random, or subjects "
            "if the dataset names its subjects"
        )


def _use_train_fold_as_test(protocol: ProtocolConfig, splits: Splits) -> Splits:
    """Replace the test split by one fold of training, and training by the other folds.

    The folds are stratified by class. Identical images are in the same fold.
    """
    _require_official(splits)
    if splits.source is not None:
        # Changed pixels give other groups of identical images, and so other folds.
        raise UserError(
            f'received protocol.test = "train_fold" for {splits.name}, which is derived from '
            f"{splits.source.name}: its folds would differ from those of {splits.source.name}; "
            f"expected the dataset {splits.source.name}"
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
    _, image_groups = np.unique(image_hashes(train.images), return_inverse=True)
    is_test = _assign_folds(protocol, train, image_groups) == protocol.fold
    parts = {**splits.parts, "train": train.take(~is_test), "test": train.take(is_test)}
    title = f"{splits.title('train')} fold {protocol.fold + 1} of {protocol.folds}"
    return _with_parts(splits, parts, {**splits.titles, "test": title})


def _assign_folds(
    protocol: ProtocolConfig, split: Split, groups: NDArray[np.generic]
) -> NDArray[np.intp]:
    """Return the fold of each sample, `(n,)`, stratified by class; a group is in one fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(protocol.folds, shuffle=True, random_state=protocol.split_seed)
    folds = np.empty(len(split), np.intp)
    for number, (_, positions) in enumerate(splitter.split(split.images, split.labels, groups)):
        folds[positions] = number
    return folds


def _random_splits(protocol: ProtocolConfig, splits: Splits) -> Splits:
    samples = _merge_parts(splits)
    order = np.random.default_rng(protocol.split_seed).permutation(len(samples))
    # Rounded up, as scikit-learn's train_test_split does.
    num_test = int(np.ceil(protocol.test_fraction * len(samples)))
    num_validation = int(np.ceil(protocol.validation_fraction * len(samples)))
    positions = {
        "test": order[:num_test],
        "validation": order[num_test : num_test + num_validation],
        "train": order[num_test + num_validation :],
    }
    percent = f"{protocol.test_fraction:.0%}".replace("%", " %")
    titles = {"train": "Training", "validation": "Validation", "test": f"Random {percent}"}
    return _take_splits(splits, samples, positions, titles)


def _subject_splits(protocol: ProtocolConfig, splits: Splits) -> Splits:
    samples = _merge_parts(splits)
    if "subject" not in samples.groups:
        raise UserError(
            f"{splits.name} names no subjects; expected protocol.split = official or random"
        )
    subjects = samples.groups["subject"]
    if len(np.unique(subjects)) < protocol.folds:
        raise UserError(
            f"received protocol.folds = {protocol.folds}, {splits.name} has "
            f"{len(np.unique(subjects))} subjects"
        )
    folds = _assign_folds(protocol, samples, subjects)
    validation_fold = (protocol.fold + 1) % protocol.folds
    positions = {
        "test": np.flatnonzero(folds == protocol.fold),
        "validation": np.flatnonzero(folds == validation_fold),
        "train": np.flatnonzero((folds != protocol.fold) & (folds != validation_fold)),
    }
    title = f"Fold {protocol.fold + 1} of {protocol.folds} by subject"
    titles = {"train": "Training", "validation": "Validation", "test": title}
    return _take_splits(splits, samples, positions, titles)


def _take_splits(
    splits: Splits,
    samples: Split,
    positions: Mapping[str, NDArray[np.integer]],
    titles: dict[str, str],
) -> Splits:
    """Return the dataset with the samples at the given positions of each role."""
    empty = [role for role, selected in positions.items() if not len(selected)]
    if empty:
        raise UserError(
            f"{len(samples)} images of {splits.name} leave none for {' and '.join(empty)}; "
            "expected larger fractions or fewer folds"
        )
    parts = {role: samples.take(np.sort(selected)) for role, selected in positions.items()}
    return _with_parts(splits, parts, titles)


def _refuse_leaks(splits: Splits, *, selects_on_validation: bool) -> None:
    """Raise if two splits share samples.

    Validation and test are compared only if a checkpoint is selected on validation.
    """
    pairs = [("train", "test"), ("train", "validation")]
    if selects_on_validation:
        pairs.append(("validation", "test"))
    for one, other in pairs:
        columns = {"image": (splits[one].ids, splits[other].ids)} | {
            kind: (splits[one].groups[kind], splits[other].groups[kind])
            for kind in splits[one].groups
        }
        for kind, (values, other_values) in columns.items():
            shared = np.intersect1d(values, other_values)
            if len(shared):
                raise UserError(
                    f"{splits.title(one)} and {splits.title(other)} of {splits.name} share "
                    f"{len(shared):,} {kind}s, such as {shared[0]}; expected a division by subject "
                    "(protocol.split = subjects), or protocol.leak_free = false to reproduce a "
                    "published protocol with this leak"
                )


def _add_copies(split: Split, config: AugmentationConfig, class_names: tuple[str, ...]) -> Split:
    """Return the samples followed by copies of them in the same order."""
    times = np.full(len(class_names), 2 if config.mode == "doubled" else 1)
    for name, class_times in config.class_multipliers.items():
        times[labels.index_of(name, class_names)] = class_times
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


def _resize_splits(splits: Splits, config: ImageConfig) -> Splits:
    if config.size is None:
        return splits
    parts = {
        role: Split(fit_images(part.images, config), part.labels, part.ids, part.groups)
        for role, part in splits.parts.items()
    }
    return _with_parts(splits, parts)


def _merge_parts(splits: Splits) -> Split:
    """Return all samples of a dataset, those of its splits in order."""
    if UNSPLIT in splits.parts:
        return splits[UNSPLIT]
    train, validation, test = (splits[role] for role in ("train", "validation", "test"))
    return train.concatenate(validation).concatenate(test)


def _with_parts(
    splits: Splits, parts: dict[str, Split], titles: dict[str, str] | None = None
) -> Splits:
    return replace(splits, parts=parts, titles=splits.titles if titles is None else titles)
