"""Configuration of the augmentation of training images."""

from typing import Literal

from pydantic import Field, model_validator

from fercore.config.base import FrozenModel


class AugmentationConfig(FrozenModel):
    """Random changes of a training image; zero or false switches one off.

    Each strength is the half-width of a uniform draw about no change, as in Keras's
    `ImageDataGenerator`, unless it says otherwise.

    Attributes:
        mode: `"online"` draws anew for every image in every epoch; `"doubled"` draws one changed
            copy of every image before training and trains on the originals and the copies
            together; `"balanced"` does so with as many copies as `class_multipliers` gives.
        class_multipliers: for `"balanced"`: the number of images, the original included, that one
            image of a class becomes; 1 for a class that is not named.
        horizontal_flip: mirror one image in two.
        alternating_flip: with `horizontal_flip`: mirror each image in every second epoch, half of
            them in the odd ones, so that two epochs show each image both ways (Jordan, "94% on
            CIFAR-10 in 3.29 Seconds", 2024, section 3.6).
        rotation: degrees.
        shear: degrees. `ImageDataGenerator` takes `shear_range` in degrees too, so that the 0.2
            of published code is a fifth of a degree.
        width_shift: fraction of the image's width.
        height_shift: fraction of the image's height.
        zoom: fraction: 0.1 scales by 0.9 to 1.1.
        crop: fraction of the side: a window of at least `1 - crop` anywhere in the image, scaled
            to its size.
        fill: what stands where the moved image ends: its last pixels, their mirror, or black.
        brightness: fraction of the range of grey levels that is added.
        contrast: fraction by which the distance from the image's mean grows or shrinks.
        blur: pixels: a Gaussian whose standard deviation is drawn from 0 to this.
        noise: fraction of the range: normal noise whose standard deviation is drawn from 0 to this.
        erasing: probability that a rectangle of 2 to 20% of the image becomes noise (Zhong et al.,
            2020).
        mixup: both parameters of the beta distribution by which an image and its label are blended
            with another's (Zhang et al., 2018).
        cutmix: the same for a rectangle that is replaced with another image's (Yun et al., 2019).
            Where both are switched on, each image takes one of them, by lot.
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
    def _copies_need_changes(self) -> "AugmentationConfig":
        if (self.mode == "balanced") != bool(self.class_multipliers):
            raise ValueError("class_multipliers belongs to mode = 'balanced', which needs it")
        if any(multiplier < 1 for multiplier in self.class_multipliers.values()):
            raise ValueError(
                f"received class_multipliers = {self.class_multipliers}, expected 1 or more for "
                "each class"
            )
        if self.mode != "online" and self.mixes:
            raise ValueError(f"mixup and cutmix need mode = 'online', received {self.mode!r}")
        if self.mode != "online" and not self.active:
            raise ValueError(f"mode = {self.mode!r} makes changed copies: switch on an operation")
        if self.alternating_flip and not (self.horizontal_flip and self.mode == "online"):
            raise ValueError("alternating_flip needs horizontal_flip = true and mode = 'online'")
        return self

    @property
    def moves(self) -> bool:
        """Whether pixels change their places."""
        strengths = (self.rotation, self.shear, self.width_shift, self.height_shift, self.zoom)
        return self.horizontal_flip or any(strengths) or self.crop > 0

    @property
    def active(self) -> bool:
        """Whether any operation on single images is switched on."""
        strengths = (self.brightness, self.contrast, self.blur, self.noise, self.erasing)
        return self.moves or any(strengths)

    @property
    def mixes(self) -> bool:
        """Whether images are blended with each other."""
        return self.mixup > 0 or self.cutmix > 0
