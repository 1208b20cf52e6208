"""Image size, and the protocol: which samples are trained on, selected on and tested on."""

from typing import Literal

from pydantic import Field, model_validator

from fercore.config.base import FrozenModel


class ImageConfig(FrozenModel):
    """The images that the network sees, where they are not the dataset's own size.

    Attributes:
        size: pixels, height and width; none keeps the dataset's.
        fit: `"resize"` scales the whole image (area averaging where it shrinks, linear where it
            grows); `"crop_or_pad"` keeps the scale, cuts what juts out of the centre and fills
            what is missing with black.
        margin: fraction of the face's square (`fercore.faces.detection`) that the dataset's images
            show
            beyond it on each side; what is cut from photos is framed so. Training does not use it.
    """

    size: int | None = Field(default=None, ge=8, le=512)
    fit: Literal["resize", "crop_or_pad"] = "resize"
    margin: float = Field(default=0.0, ge=-0.3, le=2)


class ProtocolConfig(FrozenModel):
    """Which samples are trained on, choose the checkpoint, and are tested on.

    Attributes:
        split: `"official"` takes the dataset's own splits; `"random"` draws single images;
            `"subjects"` deals whole subjects out to folds, stratified by class, and tests on one.
        test_fraction: of all images, for `"random"`.
        validation_fraction: of all images, for `"random"`.
        folds: for `"subjects"`, where the fold after the tested one chooses the checkpoint, and for
            `test = "train_fold"`.
        fold: the tested fold, from 0.
        split_seed: of the division alone, so that seeds of the training can share one.
        test: `"own"`, `"merged"`: the official validation and test split together, or
            `"validation"`: that split in its place, so that recipes are compared without a look at
            the test split; nothing may be chosen on it then. `"train_fold"` trains on all but one
            fold of the official training split and tests on that fold (cross-fitting), so that
            every training image gets a prediction from a network that was not trained on it; the
            validation split is evaluated, but nothing is chosen on it.
        select_on: `"test"` lets the tested images choose the checkpoint and steer the schedule.
        copies: where `augmentation.mode` makes copies: of training images, `"after_split"`, or
            `"before_split"`, of all images, so that copies of one face land on both sides; an
            official split has no place for these.
        leave_out: training images that are left out: `"constant"` ones of one grey level,
            `"conflicts"`, equal ones of different labels, and `"repeats"`, equal ones but the
            first. What is judged stays whole.
        exclude: a CSV file with a column `id`; the training images with these ids are left out of
            training. A name without a slash is one of the files that the package ships beside its
            configs, anything else a path. Validation and test images are never left out.
        leak_free: refuse a division in which an image, a sequence or a subject is in two splits, or
            test images steer the training. `false` for a published protocol that leaks.
    """

    split: Literal["official", "random", "subjects"] = "official"
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    folds: int = Field(default=5, ge=3, le=100)
    fold: int = Field(default=0, ge=0)
    split_seed: int = Field(default=0, ge=0, lt=2**31)
    test: Literal["own", "merged", "validation", "train_fold"] = "own"
    select_on: Literal["validation", "test"] = "validation"
    copies: Literal["after_split", "before_split"] = "after_split"
    leave_out: tuple[Literal["constant", "conflicts", "repeats"], ...] = ()
    exclude: str | None = Field(default=None, min_length=1)
    leak_free: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> "ProtocolConfig":
        if self.fold >= self.folds:
            raise ValueError(f"received fold = {self.fold} of {self.folds}, counted from 0")
        if self.split == "random" and self.test_fraction + self.validation_fraction >= 1:
            raise ValueError("test_fraction and validation_fraction leave nothing to train on")
        if self.test == "validation" and (self.split != "official" or self.select_on == "test"):
            raise ValueError('test = "validation" needs split = "official", and no select_on')
        if self.test == "train_fold" and (
            self.split != "official" or self.select_on == "test" or self.copies == "before_split"
        ):
            raise ValueError(
                'test = "train_fold" needs split = "official", select_on = "validation" and '
                'copies = "after_split"'
            )
        if self.test == "merged" and (self.split != "official" or self.select_on != "test"):
            raise ValueError(
                'test = "merged" needs split = "official" and select_on = "test": it takes the '
                "validation split"
            )
        faults = [
            text
            for text, present in (
                ('select_on = "test"', self.select_on == "test"),
                ('copies = "before_split"', self.copies == "before_split"),
            )
            if present
        ]
        if self.leak_free and faults:
            raise ValueError(
                f"{' and '.join(faults)} lets tested images into the training; a protocol that "
                "is published so needs leak_free = false"
            )
        return self

    @property
    def by_folds(self) -> bool:
        """Whether the test split is one of several folds."""
        return self.split == "subjects" or self.test == "train_fold"

    @property
    def division(self) -> tuple[int, int]:
        """The seed of the division and the tested fold; 0 where it makes no difference."""
        drawn = self.split != "official" or self.by_folds
        return (self.split_seed if drawn else 0, self.fold if self.by_folds else 0)

    @property
    def selects_on_test_samples(self) -> bool:
        """Whether the validation split and the test split hold the same samples."""
        return self.test == "validation" or self.select_on == "test"

    def has_same_test_set(self, other: "ProtocolConfig") -> bool:
        """Whether the same samples of a dataset are tested."""
        return self._tested() == other._tested()

    def _tested(self) -> tuple[str | int | float, ...]:
        if self.test == "train_fold":
            return (self.split, self.test, self.split_seed, self.folds, self.fold)
        if self.split == "official":
            return (self.split, self.test)
        drawn = (self.split, self.split_seed, self.copies)
        if self.split == "random":
            return (*drawn, self.test_fraction)
        return (*drawn, self.folds, self.fold)

    def has_same_splits(self, other: "ProtocolConfig") -> bool:
        """Whether the same samples are judged; what is left out of the training may differ."""
        same_training = {"leave_out": self.leave_out, "exclude": self.exclude}
        return self == other.model_copy(update=same_training)
