"""Configuration of the image size and of the protocol (training, selection and test images)."""

from typing import Literal

from pydantic import Field, model_validator

from fercore.config.base import FrozenModel


class ImageConfig(FrozenModel):
    """Image size of the network, if it differs from that of the dataset.

    Attributes:
        size: height and width in pixels; `None` keeps the size of the dataset.
        fit: `"resize"` scales the image (area averaging to shrink, linear interpolation to
            enlarge); `"crop_or_pad"` crops to the centre or pads with black, without scaling.
        margin: fraction of the face's square (`fercore.faces.detection`) that the dataset's images
            show beyond the square on each side. Faces in photos are cropped with this margin.
            Training does not use it.
    """

    size: int | None = Field(default=None, ge=8, le=512)
    fit: Literal["resize", "crop_or_pad"] = "resize"
    margin: float = Field(default=0.0, ge=-0.3, le=2)


class ProtocolConfig(FrozenModel):
    """Which samples are for training, for selecting the checkpoint and for the test.

    Attributes:
        split: `"official"`: the dataset's own splits. `"random"`: splits of randomly drawn images.
            `"subjects"`: folds of whole subjects, stratified by class, one of which is the test
            split.
        test_fraction: fraction of all images, for `"random"`.
        validation_fraction: fraction of all images, for `"random"`.
        folds: number of folds, for `"subjects"` and `test = "train_fold"`. With `"subjects"`, the
            fold after the test fold is the validation split.
        fold: index of the test fold, from 0.
        split_seed: seed of the splits, independent of the seed of the training.
        test: the test images. `"own"`: the test split. `"merged"`: the official validation and test
            splits together. `"validation"`: the validation split, to compare recipes without using
            the test split; nothing may be selected on it then. `"train_fold"`: one fold of the
            official training split, with training on the other folds (cross-fitting), so that
            every training image gets a prediction from a network that was not trained on it. The
            validation split is evaluated then, but nothing is selected on it.
        select_on: the images that select the checkpoint and control the schedule. `"test"` leaks.
        copies: when `augmentation.mode` makes copies. `"after_split"`: of training images.
            `"before_split"`: of all images, so that copies of one face are in several splits; not
            possible with official splits.
        leave_out: training images that are left out: `"constant"`, images of one grey level;
            `"conflicts"`, equal images with different labels; `"repeats"`, equal images except the
            first. Validation and test splits stay complete.
        exclude: CSV file with a column `id`: the ids of training images that are left out. A name
            without a slash is a file that the package ships beside its configs, anything else is a
            path. Validation and test splits stay complete.
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
    def _require_consistent_fields(self) -> "ProtocolConfig":
        if self.fold >= self.folds:
            raise ValueError(f"received fold = {self.fold} of {self.folds}, counted from 0")
        if self.split == "random" and self.test_fraction + self.validation_fraction >= 1:
            raise ValueError(
                f"received test_fraction = {self.test_fraction:g} and validation_fraction = "
                f"{self.validation_fraction:g}, expected less than 1 together"
            )
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
        leaks = [
            text
            for text, present in (
                ('select_on = "test"', self.select_on == "test"),
                ('copies = "before_split"', self.copies == "before_split"),
            )
            if present
        ]
        if self.leak_free and leaks:
            raise ValueError(
                f"{' and '.join(leaks)} leaks test images into the training; a published protocol "
                "that does so needs leak_free = false"
            )
        return self

    @property
    def by_folds(self) -> bool:
        """Whether the test split is one of several folds."""
        return self.split == "subjects" or self.test == "train_fold"

    @property
    def division(self) -> tuple[int, int]:
        """The seed of the splits and the test fold; 0 for one that has no effect."""
        is_drawn = self.split != "official" or self.by_folds
        return (self.split_seed if is_drawn else 0, self.fold if self.by_folds else 0)

    @property
    def selects_on_test_samples(self) -> bool:
        """Whether the validation split and the test split hold the same samples."""
        return self.test == "validation" or self.select_on == "test"

    def has_same_test_set(self, other: "ProtocolConfig") -> bool:
        """Return whether both protocols test on the same samples of a dataset."""
        return self._test_set() == other._test_set()

    def _test_set(self) -> tuple[str | int | float, ...]:
        if self.test == "train_fold":
            return (self.split, self.test, self.split_seed, self.folds, self.fold)
        if self.split == "official":
            return (self.split, self.test)
        random_split = (self.split, self.split_seed, self.copies)
        if self.split == "random":
            return (*random_split, self.test_fraction)
        return (*random_split, self.folds, self.fold)

    def has_same_splits(self, other: "ProtocolConfig") -> bool:
        """Return whether both have the same splits; images left out of training may differ."""
        same_training = {"leave_out": self.leave_out, "exclude": self.exclude}
        return self == other.model_copy(update=same_training)
