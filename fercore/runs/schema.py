"""The records of a run directory: what each file in it holds.

These models are the one definition of the format. `fercore.runs.json_schema` derives the JSON
Schema that the package ships as `run.schema.json`.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator

from fercore.config.experiment import ExperimentConfig

# 2 renamed fields of config.json, see `fercore.config.upgrade`.
FORMAT_VERSION = 2

State = Literal["starting", "running", "finished", "interrupted", "failed", "diverged"]
Fraction = Field(ge=0, le=1)
# Bounds far beyond any real run. They keep sums within 64 bits and times within what pandas holds.
Count = Annotated[int, Field(ge=0, le=10**12)]
MAX_SECONDS = 1e9
MAX_EPOCHS = 10**5


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Status(_Record):
    """`status.json`: the last reported state of the run.

    Attributes:
        state: as last written; `"starting"` and `"running"` are valid only while the lock of the
            run is held or, where there is no lock, `status.json` is written every few seconds.
        phase: such as `"training"` or `"evaluating"`.
        message: why a run failed or stopped, on one line.
        epoch: completed epochs.
        epochs: at most.
        step: completed steps of the current epoch.
        steps: steps in an epoch.
        heartbeat: seconds since 1970, UTC.
        pid: of the process that trains.
        host: name of its machine; empty in runs of earlier versions.
        locked: whether the process holds the lock of the run, see `fercore.runs.locks`.
    """

    state: State
    phase: str = ""
    message: str = ""
    epoch: int = Field(default=0, ge=0)
    epochs: int = Field(default=0, ge=0)
    step: int = Field(default=0, ge=0)
    steps: int = Field(default=0, ge=0)
    heartbeat: float
    pid: int
    host: str = ""
    locked: bool = False


class Ancestor(_Record):
    """A run that a training begins with or learns from, directly or through others.

    Attributes:
        run: its name.
        dataset: that it was trained on; empty where it is not known.
        tested_images_seen: images that this training tests on and that the ancestor was trained on,
            without those that also stand in this training; null where its dataset is not here.
    """

    run: str
    dataset: str = ""
    tested_images_seen: int | None = Field(default=None, ge=0)


class Session(_Record):
    """One of the processes that trained a run.

    Attributes:
        started: ISO 8601 with offset, UTC.
        command: of the process.
        first_epoch: the first epoch that it trained, from 1.
        host: name of the machine; empty if it is not known.
        commit: as in `Environment`, like the other fields.
    """

    started: str
    command: str
    first_epoch: int = Field(ge=1)
    host: str = ""
    commit: str
    python: str
    platform: str
    packages: dict[str, str]
    backend: str
    device: str
    cores: int
    precision: str


class Environment(_Record):
    """`environment.json`: software, machine and data of the run.

    Attributes:
        command: the command that starts this run again.
        started: ISO 8601 with offset, UTC.
        commit: of the working tree, with `+changes` if it held uncommitted ones; empty outside git.
        python: version.
        platform: operating system and machine.
        packages: versions by name.
        backend: Keras backend.
        device: the processor or accelerator in words.
        cores: processor cores that the process may use.
        precision: the dtype policy that `precision = "auto"` resolved to.
        dataset_fingerprint: of the data, see `fercore.data.splits.Splits`.
        dataset_counts: samples by split title and class name, as trained and evaluated.
        synthetic: whether code drew the images.
        excluded_images: training images that the file of `protocol.exclude` names; absent where
            the protocol has none.
        excluded_sha256: of the content of that file.
        source_dataset: name of the dataset that this one is derived from; empty if from none.
        source_fingerprint: of that dataset.
        ancestors: the runs that the training begins with or learns from.
        sessions: the processes that trained the run, in order. The fields above are those of the
            first. Empty in runs that were not trained, or by an earlier version.
    """

    format_version: int = FORMAT_VERSION
    command: str
    started: str
    commit: str
    python: str
    platform: str
    packages: dict[str, str]
    backend: str
    device: str
    cores: int
    precision: str
    dataset_fingerprint: str
    dataset_counts: dict[str, dict[str, int]]
    synthetic: bool
    excluded_images: int | None = Field(default=None, ge=0)
    excluded_sha256: str | None = None
    source_dataset: str = ""
    source_fingerprint: str = ""
    ancestors: tuple[Ancestor, ...] = ()
    sessions: tuple[Session, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that trained the run, each once."""
        return tuple(dict.fromkeys([self.device, *(own.device for own in self.sessions)]))


class EpochLog(_Record):
    """One line of `log.jsonl`: one complete epoch, counted from 1.

    Attributes:
        epoch: from 1.
        loss: mean over the training samples as trained on: weighted, smoothed, augmented, with
            dropout.
        accuracy: fraction, on the same.
        val_loss: on the validation split, unweighted: mean cross-entropy in nats, or the training
            loss where that is another one.
        val_accuracy: fraction.
        learning_rate: of this epoch.
        seconds: of training, without validation.
        val_seconds: of validation.
        images_per_second: in training.
        elapsed: seconds of training and validation since epoch 1 began, over all resumptions.
        image_size: pixels, height and width of the images; `None` in runs of earlier versions.
    """

    epoch: int = Field(ge=1, le=MAX_EPOCHS)
    loss: float
    accuracy: float = Fraction
    val_loss: float
    val_accuracy: float = Fraction
    learning_rate: float = Field(ge=0)
    seconds: float = Field(ge=0, le=MAX_SECONDS)
    val_seconds: float = Field(ge=0, le=MAX_SECONDS)
    images_per_second: float = Field(ge=0)
    elapsed: float = Field(ge=0, le=MAX_SECONDS)
    image_size: int | None = Field(default=None, ge=1)


class LayerSummary(_Record):
    """One row of `layers.json`.

    Attributes:
        name: unique in the network.
        kind: the Keras class.
        detail: kernel, strides, rate... in words; empty where there is none.
        output_shape: without the batch axis.
        parameters: trained or not.
        trainable: of them.
    """

    name: str
    kind: str
    detail: str = ""
    output_shape: Annotated[list[int], FailFast()]
    parameters: Count
    trainable: Count


# Beside an interval where the groups of dependent images are not stored.
UNGROUPED = "interval takes images as independent"


def grouping(groups: int, kind: str) -> str:
    """Describe groups of dependent samples: `by subject, 24 groups`."""
    name = "original image" if kind == "image" else kind
    return f"by {name}, {groups:,} group{'' if groups == 1 else 's'}"


class ClassResult(_Record):
    """The figures of one class. `None` where they are undefined: there is no sample of the class.

    Attributes:
        name: of the class.
        support: samples of it.
        precision: fraction; 0 for a class that was never predicted.
        recall: fraction.
        recall_low: lower end of the 95% interval, of the kind of `SplitResult.accuracy_low`.
        recall_high: upper end.
        f1: harmonic mean of precision and recall.
        groups: number of groups with samples of it; null where samples do not come in groups.
    """

    name: str
    support: Count
    precision: float | None
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    f1: float | None
    groups: int | None = Field(default=None, ge=0)


class SplitResult(_Record):
    """One evaluation.

    Attributes:
        title: for people, such as `"PrivateTest without repeats"`.
        n: samples.
        accuracy: fraction.
        accuracy_low: lower end of the 95% interval: Wilson's; where there are groups, at the
            effective sample size, with Student's quantile, see `fercore.metrics.clustered`.
        accuracy_high: upper end.
        macro_f1: mean F1 over the classes that occur.
        uar: unweighted average recall over the classes that occur.
        nll: mean negative log-likelihood, nats.
        ece: expected calibration error, 15 equal bins.
        top2: fraction whose label is among the two most probable classes; null like `nll` and
            `ece` where predicted classes were imported without probabilities.
        classes: in the order of `Results.class_names`.
        confusion: counts, rows true, columns predicted.
        groups: independent groups that the samples come in, such as the subjects of the images;
            null where each sample is independent, or the groups are not known.
        group_kind: `"subject"`, `"sequence"`, or `"image"` for copies of one image.
    """

    title: str
    n: int = Field(ge=1, le=10**12)
    accuracy: float = Fraction
    accuracy_low: float = Fraction
    accuracy_high: float = Fraction
    macro_f1: float = Fraction
    uar: float = Fraction
    nll: float | None = Field(ge=0)
    ece: float | None = Fraction
    top2: float | None = Fraction
    classes: Annotated[list[ClassResult], FailFast()]
    confusion: Annotated[list[Annotated[list[Count], FailFast()]], FailFast()]
    groups: int | None = Field(default=None, ge=1)
    group_kind: str | None = None

    @property
    def grouping(self) -> str:
        """The groups in words: `by subject, 24 groups`; empty where there are none."""
        return "" if self.groups is None else grouping(self.groups, self.group_kind or "group")


class Selection(_Record):
    """The epoch with the selected weights.

    Attributes:
        epoch: from 1.
        split: title of the split that it was selected on.
        metric: that was maximised: `"accuracy"`, or `"epoch"` where the last one is kept.
        value: accuracy on that split at that epoch, during training.
    """

    epoch: int = Field(ge=1)
    split: str
    metric: str
    value: float


class OnnxExport(_Record):
    """The exported network.

    Attributes:
        bytes: size of `model.onnx`.
        opset: ONNX operator set.
        weights: how the large kernels are stored.
        max_difference: largest difference of a probability from Keras's, over `n` samples.
        n: samples compared.
        sha256: of `model.onnx`, in hexadecimal; null in runs of earlier versions.

    `weights`, `max_difference` and `n` are null for an imported or combined network, which is not
    compared with Keras.
    """

    bytes: int = Field(ge=1)
    opset: int
    weights: Literal["float16", "float32"] | None = None
    max_difference: float | None = Field(default=None, ge=0)
    n: int | None = Field(default=None, ge=1)
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")


class Results(_Record):
    """`results.json`: written last; where it exists, the run is complete.

    Attributes:
        class_names: the label set, in the order of every confusion matrix and probability.
        splits: `"validation"`, `"test"`, `"test_unique"` (without the images that also occur in
            training); with dropped classes also `"test_all"` (with the samples of those classes,
            each an error).
        finished: ISO 8601 with offset, UTC.
        selection: the checkpoint that these results are of.
        stopped_by: `"epochs"`, `"early stopping"` or `"interrupt"`. Earlier versions wrote `"not a
            number"` for a training that diverged; such a run has no results now.
        epochs_run: completed epochs; 0 if imported.
        parameters: of the network, trained or not.
        trainable_parameters: of them.
        train_seconds: training and validation, over all resumptions.
        images_per_second: median over the epochs.
        peak_memory_bytes: of the training process.
        temperature: divisor of the logits that minimises the NLL on the validation split; null
            where that split was not predicted.
        onnx: absent until the network is exported.

    Fields that are unknown for an imported run are null.
    """

    format_version: int = FORMAT_VERSION
    class_names: Annotated[list[str], FailFast()]
    splits: dict[str, SplitResult]
    selection: Selection | None = None
    stopped_by: Literal["epochs", "early stopping", "interrupt", "not a number"] | None = None
    epochs_run: int = Field(default=0, ge=0)
    parameters: int | None = Field(default=None, ge=0)
    trainable_parameters: int | None = Field(default=None, ge=0)
    train_seconds: float | None = Field(default=None, ge=0, le=MAX_SECONDS)
    images_per_second: float | None = Field(default=None, ge=0)
    peak_memory_bytes: int | None = Field(default=None, ge=0)
    finished: str
    temperature: float | None = Field(default=None, gt=0)
    onnx: OnnxExport | None = None

    @property
    def distinct_splits(self) -> dict[str, SplitResult]:
        """The evaluations without `"validation"` where it repeats `"test"`.

        It does where a protocol tests on the validation split, or selects on the test split.
        """
        repeated = self.splits.get("validation") == self.splits.get("test")
        return {
            name: split
            for name, split in self.splits.items()
            if not (repeated and name == "validation")
        }

    @model_validator(mode="after")
    def _matrices_are_square(self) -> Self:
        # A JSON Schema cannot express this, and every page relies on it.
        k = len(self.class_names)
        if len(set(self.class_names)) < k:
            raise ValueError("class_names holds a name twice")
        for name, split in self.splits.items():
            lengths = [len(split.classes), len(split.confusion), *map(len, split.confusion)]
            if any(length != k for length in lengths):
                raise ValueError(f"splits.{name} is not of the {k} classes of class_names")
            if [entry.name for entry in split.classes] != self.class_names:
                raise ValueError(f"splits.{name} names its classes otherwise than class_names")
        return self


class Notes(_Record):
    """`notes.json`: notes and tags of users. They change no figure.

    Attributes:
        text: free text.
        tags: short words to search by.
        pinned: listed first.
        archived: left out of lists by default.
    """

    text: str = Field(default="", max_length=10_000)
    tags: tuple[Annotated[str, Field(max_length=100)], ...] = Field(default=(), max_length=100)
    pinned: bool = False
    archived: bool = False


class Latency(_Record):
    """One entry of `latency.json`: latency of the exported network on one machine.

    Attributes:
        device: the processor in words.
        cores: that the process may use.
        onnxruntime: version.
        face_ms: median of one face at a time, on one core, as live inference runs it.
        face_p95_ms: 95th percentile of the same.
        faces_per_second: in batches of 64, on all cores.
        measured: ISO 8601 with offset, UTC.
    """

    device: str
    cores: int = Field(ge=1)
    onnxruntime: str
    face_ms: float = Field(gt=0)
    face_p95_ms: float = Field(gt=0)
    faces_per_second: float = Field(gt=0)
    measured: str


# The kind of record in each file of a run directory. The files in `LIST_FILES` hold a list of them.
RUN_FILES: dict[str, type[BaseModel]] = {
    "config.json": ExperimentConfig,
    "environment.json": Environment,
    "status.json": Status,
    "log.jsonl": EpochLog,
    "layers.json": LayerSummary,
    "results.json": Results,
    "notes.json": Notes,
    "latency.json": Latency,
}
LIST_FILES = {"log.jsonl", "layers.json", "latency.json"}
