"""Lay out the samples of an experiment: training, checkpoint selection, evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fercore.config.experiment import ExperimentConfig
from fercore.config.run import RunConfig
from fercore.data import exclusion, labels
from fercore.data.quality import flaw_mask
from fercore.data.splits import Split, Splits, is_duplicate_of
from fercore.data.splitting import split_dataset
from fercore.errors import UserError
from fercore.runs.reader import Run


@dataclass(frozen=True)
class EvaluationSubset:
    """The samples of one split that one figure is computed on.

    Attributes:
        role: the split, `"validation"` or `"test"`.
        title: for people, such as `"PrivateTest without repeats"`.
        keep: `(n,)` bool over that split.
    """

    role: str
    title: str
    keep: NDArray[np.bool_]


@dataclass(frozen=True)
class Protocol:
    """The samples of an experiment.

    Where the augmentation makes copies, the samples contain unchanged duplicates of the originals,
    marked in `Split.copies`; the trainer changes their pixels.

    Attributes:
        class_names: the dataset's label set; the network has an output for each.
        train: samples to train on, without dropped classes.
        validation: samples that choose the checkpoint, without dropped classes.
        eval_splits: the whole validation and test splits by role: every sample gets a prediction.
        views: by name, see `fercore.runs.schema.Results.splits`.
        excluded_images: see `fercore.runs.schema.Environment`.
        excluded_sha256: likewise.
    """

    class_names: tuple[str, ...]
    train: Split
    validation: Split
    eval_splits: Mapping[str, Split]
    views: Mapping[str, EvaluationSubset]
    excluded_images: int | None = None
    excluded_sha256: str | None = None

    def counts(self) -> dict[str, dict[str, int]]:
        """Count the samples by split title and class name, as trained and evaluated."""
        parts = {"Training": self.train.labels} | {
            view.title: self.eval_splits[view.role].labels[view.keep]
            for view in self.views.values()
        }
        size = len(self.class_names)
        return {
            title: dict(
                zip(self.class_names, np.bincount(part, minlength=size).tolist(), strict=True)
            )
            for title, part in parts.items()
        }


def build_protocol(config: RunConfig, splits: Splits) -> Protocol:
    """Lay out an experiment's samples.

    Raises:
        UserError: if the dataset cannot be divided as the protocol says, lacks a class that the
            config drops or an image that the protocol excludes, or nothing would be left.
    """
    name = config.protocol.exclude
    excluded = exclusion.read(name) if name is not None else None
    if excluded:
        excluded.require(splits, official=config.protocol.split == "official")
    splits = split_dataset(config, splits)
    _require_growing_images(config, splits["train"].images.shape[1])
    dropped = [labels.index_of(name, splits.class_names) for name in config.drop_classes]
    if len(splits.class_names) - len(set(dropped)) < 2:
        raise UserError(
            f"received drop_classes = {list(config.drop_classes)}, which leaves fewer than two of "
            f"the classes of {splits.name}: {', '.join(splits.class_names)}"
        )
    in_classes = {role: ~np.isin(splits[role].labels, dropped) for role in splits}
    train = splits["train"]
    test, title = splits["test"], splits.title("test")
    unique = ~is_duplicate_of(test.images, train.images)
    views = {
        "validation": EvaluationSubset(
            "validation", splits.title("validation"), in_classes["validation"]
        ),
        "test": EvaluationSubset("test", title, in_classes["test"]),
        "test_unique": EvaluationSubset(
            "test", f"{title} without repeats", in_classes["test"] & unique
        ),
    }
    if dropped:
        everything = np.ones(len(test), bool)
        views["test_all"] = EvaluationSubset("test", f"{title}, all classes", everything)
    # Where every test image also occurs in training, there is no such figure.
    if not views["test_unique"].keep.any():
        del views["test_unique"]
    selected = in_classes["train"] & ~flaw_mask(train, config.protocol.leave_out)
    excluded_images = None
    if excluded:
        named = excluded.mask(train)
        selected &= ~named
        originals = True if train.copies is None else ~train.copies
        excluded_images = int((named & originals).sum())
    for role, keep in (in_classes | {"train": selected}).items():
        if not keep.any():
            raise UserError(
                f"{splits.title(role)} of {splits.name} is left without an image by this protocol; "
                "expected at least one image to train on, to select the checkpoint on and to test; "
                "add more images, or divide them otherwise"
            )
    return Protocol(
        class_names=splits.class_names,
        train=train if selected.all() else train.take(selected),
        validation=splits["validation"].take(in_classes["validation"]),
        eval_splits={role: splits[role] for role in ("validation", "test")},
        views=views,
        excluded_images=excluded_images,
        excluded_sha256=excluded.sha256 if excluded else None,
    )


def _require_growing_images(config: RunConfig, full_size: int) -> None:
    small = config.progressive_resizing.size if isinstance(config, ExperimentConfig) else None
    if small is not None and small >= full_size:
        raise UserError(
            f"received progressive_resizing.size = {small}, but the images are {full_size} pixels "
            "wide; expected a smaller size"
        )


def require_same_splits(run: Run, splits: Splits) -> None:
    """Refuse to evaluate a run's network on other splits than those of its training.

    A random split, a split by subject and a validation split that was held out when the dataset was
    added depend on all images of the dataset. On another version of it, the network would be
    evaluated on images that it was trained on.

    Raises:
        UserError: if the dataset was divided so, and is another version than that of the run.
    """
    original = splits.original
    dataset = run.original_dataset
    fingerprint = original.fingerprint
    if dataset and run.environment:
        fingerprint = dataset.fingerprint
    protocol = run.config.protocol if run.config else None
    divided = protocol is not None and (protocol.split != "official" or protocol.by_folds)
    if (divided or splits.validation_from_train) and fingerprint != original.fingerprint:
        raise UserError(
            f"{run.id} was trained on another version of {original.name} (fingerprint "
            f"{fingerprint}, here {original.fingerprint}), which was divided otherwise: it would "
            "be evaluated on images of its training; add the dataset again from the same files"
        )


def require_same_exclusion(run: Run) -> None:
    """Refuse to resume a run where the file of `protocol.exclude` has changed since it began.

    Raises:
        UserError: if it has, or cannot be read.
    """
    name = run.config.protocol.exclude if run.config else None
    if name is None or run.environment is None:
        return
    began_with = run.environment.excluded_sha256
    if (now := exclusion.read(name).sha256) != began_with:
        raise UserError(
            f"{run.id} began with another {name} (SHA-256 {began_with}, here {now}); restore that "
            "file, or train anew"
        )


def require_unchanged_copies(run: Run) -> None:
    """Refuse a run that was tested on augmented copies, which are not stored.

    Raises:
        UserError: if it was.
    """
    config = run.experiment
    if config and config.augmentation.mode != "online" and config.protocol.copies == "before_split":
        raise UserError(
            f"{run.id} was tested on augmented copies, which are not stored; expected a run that "
            "was tested on images of the dataset"
        )
