"""Configuration of the augmentation of training images."""

from typing import Literal

from pydantic import Field, model_validator

from fercore.config.base import FrozenModel


class AugmentationConfig(FrozenModel):
    """Random operations on training images; zero or false switches an operation off.

    Unless stated otherwise, a strength is the half-width of a uniform distribution around no
    change, as in Keras's `ImageDataGenerator`.

    Attributes:
        mode: `"online"` augments every image anew in every epoch; `"doubled"` makes one augmented
            copy of every image before the training, which uses the originals and the copies;
            `"balanced"` makes as many copies as `class_multipliers` gives.
        class_multipliers: for `"balanced"`: the number of images, the original included, that one
            image of a class becomes; 1 for a class that is not named.
        horizontal_flip: mirror each image with probability 1/2.
        alternating_flip: with `horizontal_flip`: mirror each image in every second epoch, half of
            the images in odd epochs and half in even ones, so that two epochs show each image both
            ways (Jordan, "94% on CIFAR-10 in 3.29 Seconds", 2024, section 3.6).
        rotation: in degrees.
        shear: in degrees. `ImageDataGenerator` takes `shear_range` in degrees too, so that the 0.2
            of published code is a fifth of a degree.
        width_shift: fraction of the image's width.
        height_shift: fraction of the image's height.
        zoom: fraction: 0.1 scales by 0.9 to 1.1.
        crop: fraction of the side: crop a window with at least `1 - crop` of the side at a random
            place and scale it to the image's size.
        fill: values outside the moved image: the last pixels, their mirror image, or black.
        brightness: added grey level, as a fraction of the range of grey levels.
        contrast: fraction by which the distance from the image's mean grows or shrinks.
        blur: largest standard deviation of a Gaussian blur, in pixels, drawn from 0.
        noise: largest standard deviation of normal noise, as a fraction of the range of grey
            levels, drawn from 0.
        erasing: probability that a rectangle of 2 to 20% of the image becomes noise (Zhong et al.,
            2020).
        mixup: both parameters of the beta distribution for MixUp, which blends an image and its
            label with another image and label (Zhang et al., 2018).
        cutmix: the same for CutMix, which replaces a rectangle with that of another image (Yun et
            al., 2019). If both are switched on, each image takes one of them, with probability 1/2.
    """

    mode: Literal["online", "doubled", "balanced"] = "online"
    class_multipliers: dict[str, int] = Field(default_factory=dict)
    horizontal_flip: bool = False
    alternating_flip: bool = False
    rotation: float = Field(default=0.0, ge=0, le=180)
    shear: float = Field(default=0.0, ge=0, le=60)
    width_shift: float = Field(default=0.0, ge=0, lt=1)
    height_shift: float = Field(default=0.0, ge=0, lt=1)
    zoom: float = Field(default=0.0, ge=0, lt=1)
    crop: float = Field(default=0.0, ge=0, lt=1)
    fill: Literal["nearest", "reflect", "constant"] = "nearest"
    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)
    blur: float = Field(default=0.0, ge=0, le=4)
    noise: float = Field(default=0.0, ge=0, le=1)
    erasing: float = Field(default=0.0, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0, le=10)
    cutmix: float = Field(default=0.0, ge=0, le=10)

    @model_validator(mode="after")
    def _require_consistent_mode(self) -> "AugmentationConfig":
        if (self.mode == "balanced") != bool(self.class_multipliers):
            raise ValueError(
                "received class_multipliers without mode = 'balanced', or the mode without them; "
                "expected both or neither"
            )
        if any(multiplier < 1 for multiplier in self.class_multipliers.values()):
            raise ValueError(
                f"received class_multipliers = {self.class_multipliers}, expected 1 or more for "
                "each class"
            )
        if self.mode != "online" and self.mixes:
            raise ValueError(f"mixup and cutmix need mode = 'online', received {self.mode!r}")
        if self.mode != "online" and not self.active:
            raise ValueError(
                f"received mode = {self.mode!r} without an operation to augment the copies, "
                "expected one, such as horizontal_flip = true"
            )
        if self.alternating_flip and not (self.horizontal_flip and self.mode == "online"):
            raise ValueError("alternating_flip needs horizontal_flip = true and mode = 'online'")
        return self

    @property
    def moves(self) -> bool:
        """Whether an operation that moves pixels is switched on."""
        strengths = (self.rotation, self.shear, self.width_shift, self.height_shift, self.zoom)
        return self.horizontal_flip or any(strengths) or self.crop > 0

    @property
    def active(self) -> bool:
        """Whether an operation on single images is switched on."""
        strengths = (self.brightness, self.contrast, self.blur, self.noise, self.erasing)
        return self.moves or any(strengths)

    @property
    def mixes(self) -> bool:
        """Whether MixUp or CutMix is switched on."""
        return self.mixup > 0 or self.cutmix > 0
