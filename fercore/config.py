"""The frozen description of one experiment: read, overridden, checked, written.

An experiment is one TOML file in `fercore/configs/`. Its comment header says what it reproduces
and which command runs it; its fields are those of `ExperimentConfig`.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fercore import bounded_json
from fercore.errors import UserError
from fercore.files import read_regular

_MAX_BYTES = 1 << 20
# What may differ between two runs of one experiment.
_NOT_RECIPE = {"seed", "precision", "steps_per_execution", "devices", "title", "published"}
_NOT_RECIPE_PROTOCOL = ("fold", "split_seed")
_RUN = re.compile(r"-s\d+(-f\d+)?-\d{8}T\d{6}")


def names_run(name: str) -> bool:
    """Whether a name is that of a run, which tells seed and time, and not of an experiment."""
    return _RUN.search(name) is not None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PublishedFigure(_Frozen):
    """The figure that an experiment reproduces.

    Attributes:
        system: the paper's key in this project, such as `"le2019"`.
        row: what the paper calls the row, such as `"Table 3, Model 1, original"`.
        test_accuracy: percent, as printed.
        train_accuracy: percent, as printed, where the paper gives one.
    """

    system: str
    row: str
    test_accuracy: float = Field(gt=0, le=100)
    train_accuracy: float | None = Field(default=None, gt=0, le=100)


class ImageConfig(_Frozen):
    """The images that the network sees, where they are not the dataset's own size.

    Attributes:
        size: pixels, height and width; none keeps the dataset's.
        fit: `"resize"` scales the whole image (area averaging where it shrinks, linear where it
            grows); `"crop_or_pad"` keeps the scale, cuts what juts out of the centre and fills
            what is missing with black.
        margin: fraction of the face's square (`fercore.faces`) that the dataset's images show
            beyond it on each side; what is cut from photos is framed so. Training does not use it.
    """

    size: int | None = Field(default=None, ge=8, le=512)
    fit: Literal["resize", "crop_or_pad"] = "resize"
    margin: float = Field(default=0.0, ge=-0.3, le=2)


class ProtocolConfig(_Frozen):
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
        honest: refuse a division in which an image, a sequence or a subject stands on two sides,
            or tested images steer the training. A published protocol that does so says false.
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
    honest: bool = True

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
        if self.honest and faults:
            raise ValueError(
                f"{' and '.join(faults)} lets tested images into the training; a protocol that "
                "is published so says honest = false"
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

    def tests_like(self, other: "ProtocolConfig") -> bool:
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

    def divides_like(self, other: "ProtocolConfig") -> bool:
        """Whether the same samples are judged; what is left out of the training may differ."""
        same_training = {"leave_out": self.leave_out, "exclude": self.exclude}
        return self == other.model_copy(update=same_training)


class AugmentationConfig(_Frozen):
    """Random changes of a training image; zero or false switches one off.

    Each strength is the half-width of a uniform draw about no change, as in Keras's
    `ImageDataGenerator`, unless it says otherwise.

    Attributes:
        mode: `"online"` draws anew for every image in every epoch; `"doubled"` draws one changed
            copy of every image before training and trains on the originals and the copies
            together; `"balanced"` does so with as many copies as `times` asks for.
        times: for `"balanced"`: how often an image of each class stands, itself included; once
            where a class is not named.
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
    times: dict[str, int] = Field(default_factory=dict)
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
        if (self.mode == "balanced") != bool(self.times):
            raise ValueError("times belongs to mode = 'balanced', which needs it")
        if any(times < 1 for times in self.times.values()):
            raise ValueError(f"received times = {self.times}, expected 1 or more of each class")
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


class OptimizerConfig(_Frozen):
    """A Keras optimizer and its settings.

    Attributes:
        name: the Keras class; `"muon"` is `fercore.muon.Muon`.
        learning_rate: the highest rate of the schedule.
        momentum: for `sgd` alone.
        nesterov: for `sgd` alone.
        weight_decay: decoupled decay a step of all kernels, 0 for none.
        clip_norm: bound on each gradient's norm, 0 for none.
        average: momentum of an exponential moving average of the weights, such as 0.998, which is
            what is judged and kept (Polyak & Juditsky, 1992), the statistics of batch normalisation
            estimated anew for it; 0 keeps the weights themselves.
        batch_norm_bias_rate: factor of the learning rate for the biases of batch normalisation
            (Jordan, "94% on CIFAR-10 in 3.29 Seconds", 2024, section 3.4, uses 64 with SGD).
    """

    name: Literal["adam", "adamw", "sgd", "adadelta", "rmsprop", "muon"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float = Field(default=0.0, ge=0)
    average: float = Field(default=0.0, ge=0, lt=1)
    batch_norm_bias_rate: float = Field(default=1.0, gt=0, le=1000)

    @model_validator(mode="after")
    def _momentum_needs_sgd(self) -> "OptimizerConfig":
        if self.name != "sgd" and (self.momentum or self.nesterov):
            raise ValueError(f"momentum and nesterov belong to sgd, received name = {self.name!r}")
        return self


class ScheduleConfig(_Frozen):
    """How the learning rate moves from epoch to epoch.

    Attributes:
        kind: `"constant"`; `"cosine"` falls towards the zero that would follow the last epoch
            (Loshchilov & Hutter, 2017); `"plateau"` multiplies by `factor` after `patience` epochs
            in which the validation loss has not fallen.
        warmup_epochs: epochs in which the rate rises linearly to its highest value.
        factor: for `plateau`.
        patience: epochs, for `plateau`.
        minimum: the lowest rate of `plateau` and `cosine`.
    """

    kind: Literal["constant", "cosine", "plateau"] = "constant"
    warmup_epochs: int = Field(default=0, ge=0)
    factor: float = Field(default=0.1, gt=0, lt=1)
    patience: int = Field(default=10, ge=1)
    minimum: float = Field(default=0.0, ge=0)


class ProgressiveResizingConfig(_Frozen):
    """Train on smaller images first, which makes those epochs cheaper.

    Attributes:
        size: pixels, height and width of the small images; `None` trains at full size throughout.
        fraction: of the epochs, from the first on, that see the small images.
    """

    size: int | None = Field(default=None, ge=8, le=512)
    fraction: float = Field(default=0.6, gt=0, lt=1)


class EarlyStoppingConfig(_Frozen):
    """Stop after `patience` epochs in a row that did not improve on the best; 0 never stops."""

    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    patience: int = Field(default=0, ge=0)


class DistillationConfig(_Frozen):
    """Trained networks whose answers are learnt beside the labels (Hinton et al., 2015).

    Attributes:
        teachers: runs, or experiments of which every finished seed teaches that has what it
            teaches from.
        asked: `"each_batch"`, and the teachers see each image as the network does, changed and
            mixed; they teach from their checkpoints, on the machine that trained them. What is
            learnt is the mean of their probabilities at the temperature. `"once"`, before the
            training, about each image and, where the augmentation flips, its mirror image; they
            teach from their `model.onnx`, and a step costs what it costs without them. What is
            learnt is the mean of their probabilities, raised to one over the temperature and
            normalised: the answer, at the temperature, of one network that says this mean.
        weight: share of their answers in the loss; the labels have the rest.
        temperature: divides the logits before the softmax, the network's and the teachers'.
    """

    teachers: tuple[str, ...] = ()
    asked: Literal["each_batch", "once"] = "each_batch"
    weight: float = Field(default=0.5, gt=0, le=1)
    temperature: float = Field(default=2.0, gt=0)


class RunConfig(_Frozen):
    """What every run says of itself, trained here or imported.

    Attributes:
        name: file-name safe; the run directory begins with it.
        title: one line for people.
        published: the figure that it reproduces, if any.
        dataset: a module of `fercore.data`, or a folder of images that was added under a name of
            its own.
        protocol: how its samples are divided.
        image: the size that the network sees.
        drop_classes: classes left out of training, selection and the headline figures. The
            network keeps one output for each class of the dataset.
        model: a module of `fercore.models`, or what an imported network is called.
        seed: of initialisation, order, dropout and augmentation.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)
    title: str
    published: PublishedFigure | None = None
    dataset: str
    protocol: ProtocolConfig = ProtocolConfig()
    image: ImageConfig = ImageConfig()
    drop_classes: tuple[str, ...] = ()
    model: str
    seed: int = Field(default=0, ge=0, lt=2**31)


class ImportSource(_Frozen):
    """What an imported run was made from.

    Attributes:
        kind: a table of class probabilities, or a network.
        file: its name.
        sha256: of its content.
        class_names: of its outputs, in its own order.
        layout: of the network's input: channels last or first.
        channels: grey, or the same grey level three times.
        size: pixels, height and width, that the network takes.
        mean: subtracted from the grey levels (0 to 255), one value a channel or one for all.
        std: what is left is divided by it, likewise.
        output: how the scores were read, see `fercore.scores.Scale`; `"labels"` are predicted
            classes without probabilities.
        output_name: of the network's output, where it has several.
    """

    kind: Literal["predictions", "onnx"]
    file: str
    sha256: str
    class_names: tuple[str, ...]
    layout: Literal["nhwc", "nchw"] | None = None
    channels: Literal[1, 3] | None = None
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    output: Literal["probabilities", "percent", "sigmoid", "votes", "labels", "logits"] | None = (
        None
    )
    output_name: str | None = None


class ImportedConfig(RunConfig):
    """A network or predictions from elsewhere, evaluated here.

    What it was trained on is not known, so its figures never count as honest ones.
    """

    imported: ImportSource


Views = Literal["one", "flip", "ten"]
Average = Literal["arithmetic", "geometric"]


class Combination(_Frozen):
    """What a combined run was made from.

    Attributes:
        members: the runs whose probabilities are averaged.
        views: of each image that every member is asked about, see `fercore.combine.joined`.
        imported: whether one of them, or of those that it was made from itself, was imported: then
            these figures count as honest ones as little as its own.
        average: `"arithmetic"`, the mean of the probabilities, or `"geometric"`, the softmax of the
            mean log-probability, see `fercore.selection.average_probabilities`.
        selected_on: the split whose accuracy chose the members; none where they were named.
        candidates: number of runs that the members were chosen from; none where they were named.
    """

    members: tuple[str, ...] = Field(min_length=1)
    views: Views = "one"
    imported: bool = False
    average: Average = "arithmetic"
    selected_on: Literal["validation"] | None = None
    candidates: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _selected_from_candidates(self) -> "Combination":
        if (self.selected_on is None) != (self.candidates is None):
            raise ValueError("selected_on and candidates belong together")
        return self


class CombinedConfig(RunConfig):
    """The mean of several networks, or of one network over several views of an image."""

    combined: Combination


class ExperimentConfig(RunConfig):
    """One experiment, complete: the same config and seed give the same run.

    Attributes:
        model_options: keyword arguments of the model's `build`.
        augmentation: changes drawn at training time.
        start_from: a run on the same image size, whose weights this one starts from: those of
            every layer but the last, which fits the classes.
        loss: on the network's logits: softmax cross-entropy, or the L2 multi-class SVM, under
            which the logits are scores and their softmax is no probability.
        head: what gives the final probabilities: the network, or a random forest fitted on the
            features that enter its last layer, once it is trained.
        distillation: networks that teach this one.
        label_smoothing: weight of the uniform distribution in the targets.
        class_weights: weigh each sample by `n / (k n_c)`, scikit-learn's "balanced".
        optimizer: what moves the weights.
        schedule: how its learning rate moves.
        progressive_resizing: the size of the images in the first epochs. The validation split is
            scaled likewise; only an epoch at full size can be kept as the best one.
        early_stopping: when to stop before `epochs`.
        keep: the epoch whose weights are kept and judged: that with the highest accuracy on the
            validation split, or the last.
        batch_size: images a step.
        epochs: at most.
        precision: `"auto"` computes in bfloat16 where the device gains from it (CPUs with AMX or
            AVX512-BF16, GPUs from Ampere on), else in float32; weights are float32 always.
        steps_per_execution: steps in one call of the compiled function.
        devices: of this machine, that share every batch (on JAX); a step is what it would be on
            one. Of every epoch they leave out the few images that would not divide evenly.
    """

    model_options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    augmentation: AugmentationConfig = AugmentationConfig()
    start_from: str | None = None
    loss: Literal["cross_entropy", "l2_svm"] = "cross_entropy"
    head: Literal["network", "random_forest"] = "network"
    distillation: DistillationConfig = DistillationConfig()
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: bool = False
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    progressive_resizing: ProgressiveResizingConfig = ProgressiveResizingConfig()
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    keep: Literal["best", "last"] = "best"
    batch_size: int = Field(default=64, ge=1)
    epochs: int = Field(ge=1)
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    steps_per_execution: int = Field(default=8, ge=1)
    devices: int = Field(default=1, ge=1, le=64)

    def recipe(self) -> dict[str, Any]:
        """What the runs of one experiment share: everything but seed, fold, device and titles."""
        fields = self.model_dump(mode="json", exclude=_NOT_RECIPE)
        for name in _NOT_RECIPE_PROTOCOL:
            fields["protocol"].pop(name)
        return fields

    def trains_like(self, other: "ExperimentConfig") -> bool:
        """Whether this is the other experiment, of whatever seed or fold.

        Teachers may be named otherwise: an experiment names their experiment, a run of it the runs.
        """
        if self.name != other.name:
            return False
        one, two = self.recipe(), other.recipe()
        teachers = [set(fields["distillation"].pop("teachers")) for fields in (one, two)]
        if not all(map(names_run, set.union(*teachers))):
            teachers = [{_RUN.split(name)[0] for name in names} for names in teachers]
        return one == two and teachers[0] == teachers[1]

    @model_validator(mode="after")
    def _nothing_chosen_on_what_is_judged(self) -> "ExperimentConfig":
        steered = self.schedule.kind == "plateau" or self.early_stopping.patience > 0
        if self.protocol.test == "validation" and (self.keep != "last" or steered):
            raise ValueError(
                'protocol.test = "validation" judges the split that chooses otherwise: expected '
                'keep = "last", no schedule by plateau and no early stopping'
            )
        if self.protocol.test == "train_fold" and (self.keep != "last" or steered):
            raise ValueError(
                'protocol.test = "train_fold" chooses nothing on a split: expected keep = "last", '
                "no schedule by plateau and no early stopping"
            )
        return self

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> "ExperimentConfig":
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(
                f"label_smoothing belongs to the cross-entropy, received loss = {self.loss!r}"
            )
        if self.schedule.minimum > self.optimizer.learning_rate:
            raise ValueError(
                f"received schedule.minimum = {self.schedule.minimum:g}, above "
                f"optimizer.learning_rate = {self.optimizer.learning_rate:g}, the highest rate"
            )
        return self

    @model_validator(mode="after")
    def _one_size_where_it_matters(self) -> "ExperimentConfig":
        if self.progressive_resizing.size is None:
            return self
        if self.schedule.kind == "plateau" or self.early_stopping.patience:
            raise ValueError(
                "progressive_resizing changes the validation loss when the size changes: expected "
                "no schedule by plateau and no early stopping"
            )
        if self.distillation.teachers and self.distillation.asked != "once":
            raise ValueError(
                'progressive_resizing needs distillation.asked = "once": teachers take one size'
            )
        return self

    @model_validator(mode="after")
    def _batches_divide(self) -> "ExperimentConfig":
        if self.batch_size % self.devices:
            raise ValueError(
                f"received batch_size = {self.batch_size}, which {self.devices} devices cannot "
                "share evenly"
            )
        return self


def list_configs() -> tuple[str, ...]:
    """The names of the experiments that the package carries, sorted."""
    folder = resources.files("fercore") / "configs"
    files = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def load_config(
    name_or_path: str | Path, overrides: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """Read an experiment and freeze it.

    Where an override changes what is judged, the published figure is left out; where it changes the
    name alone, the title is the name.

    Args:
        name_or_path: a name from `list_configs()`, or the path of a TOML file or of a run's
            `config.json`.
        overrides: values by dotted field, such as `{"optimizer.learning_rate": 0.01}`.

    Raises:
        UserError: if there is no such experiment, or a field is unknown or out of range.
    """
    fields, given = _read(name_or_path), dict(overrides or {})
    if "name" in given:
        given.setdefault("title", given["name"])
    published = given and fields.get("published")
    stated = parse_config(fields, source=str(name_or_path)) if published else None
    for dotted, value in given.items():
        _assign(fields, dotted.split("."), value)
    config = parse_config(fields, source=str(name_or_path))
    if stated and _judged(config) != _judged(stated):
        return config.model_copy(update={"published": None})
    return config


def _judged(config: ExperimentConfig) -> tuple[object, ...]:
    return config.dataset, config.drop_classes, config.protocol.split, config.protocol.test


def parse_config(fields: Mapping[str, Any], source: str) -> ExperimentConfig:
    """Check a plain mapping; `source` names it in the error message.

    Raises:
        UserError: if a field is unknown, missing or out of range.
    """
    try:
        # Lax on purpose: overrides arrive from the command line as text.
        return ExperimentConfig.model_validate(fields)
    except ValidationError as error:
        raise UserError(f"{source}: {_first_problem(error)}") from None


def field_names(model: type[BaseModel] = ExperimentConfig, prefix: str = "") -> tuple[str, ...]:
    """Every field of a config by dotted name, in order of declaration."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            names.extend(field_names(annotation, f"{prefix}{name}."))
        else:
            names.append(prefix + name)
    return tuple(names)


def _read(name_or_path: str | Path) -> dict[str, Any]:
    text = str(name_or_path)
    path = Path(text)
    if path.suffix in {".toml", ".json"}:
        try:
            content = read_regular(path, _MAX_BYTES)
        except OSError as error:
            raise UserError(
                f"received the config {text!r}, which cannot be read ({error.strerror}); "
                "give a TOML file or a name that `fercore configs` lists"
            ) from None
    elif text in list_configs():
        content = (resources.files("fercore") / "configs" / f"{text}.toml").read_bytes()
    else:
        raise UserError(
            f"received the config {text!r}, expected a .toml file or one of: "
            f"{', '.join(list_configs())}"
        )
    try:
        if path.suffix == ".json":
            fields = bounded_json.parse(content)
        else:
            fields = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{text} is not valid {path.suffix[1:].upper() or 'TOML'}: {error}"
        ) from None
    if not isinstance(fields, dict):
        raise UserError(f"{text}: received a {type(fields).__name__}, expected a table of fields")
    return fields


def _assign(fields: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    head, *rest = (key.replace("-", "_") for key in keys)
    if not rest:
        fields[head] = value
        return
    inner = fields.get(head)
    fields[head] = dict(inner) if isinstance(inner, Mapping) else {}
    _assign(fields[head], rest, value)


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    problem = problems[0]
    # A union adds the branch it tried to the location; only field names are of use to the reader.
    where = ".".join(str(part) for part in problem["loc"] if part not in {"bool", "int", "float"})
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        near = nearest(where)
        return f"unknown field {where!r}{near}{more}"
    if problem["type"] == "missing":
        return f"the field {where!r} is missing{more}"
    if problem["type"] == "value_error":
        return f"{where or 'config'}: {problem['ctx']['error']}{more}"
    expected = problem["msg"][0].lower() + problem["msg"][1:]
    return f"received {where} = {problem['input']!r}, {expected}{more}"


def nearest(name: str) -> str:
    """The end of an error message about an unknown field: the closest one, or all of them."""
    from difflib import get_close_matches

    close = get_close_matches(name, field_names(), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else f"; fields: {', '.join(field_names())}"
