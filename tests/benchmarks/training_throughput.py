"""Images a second in training: the papers' own way beside ours, in one process.

    python tests/benchmarks/training_throughput.py [--rounds 5] [--data-root data] [--json]

The papers train with Keras's `ImageDataGenerator` (or plain arrays where they augment nothing) and
`Model.fit` at its defaults: batch 64, float32, Adam, categorical cross-entropy on softmax outputs.
Ours is `fercore.training.trainer` with the same network, batch size and augmentation. Both train
on the same
images; their epochs alternate, so that a machine that is busy slows both alike. The first round
warms up and is not counted.
"""

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

# Where `tensorflow.keras.preprocessing.image` of the papers' code leads in Keras 3.
from keras._tf_keras.keras.preprocessing.image import ImageDataGenerator
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from fercore import machine, models
from fercore.config.augmentation import AugmentationConfig
from fercore.config.experiment import ExperimentConfig
from fercore.data.splits import Split, Splits
from fercore.runs.writer import RunWriter
from fercore.training import device
from fercore.training.callbacks import Progress
from fercore.training.trainer import train

BATCH_SIZE = 64
NUM_CLASSES = 7


@dataclass(frozen=True)
class Case:
    """One network and augmentation, as each side spells it.

    Attributes:
        title: for people.
        model: a module of `fercore.models`.
        variant: its option.
        images: training images an epoch: all of FER2013 where that takes seconds.
        generator: `ImageDataGenerator`'s own arguments; None trains on arrays.
        augmentation: the same in our terms.
    """

    title: str
    model: str
    variant: str
    images: int
    generator: dict[str, Any] | None = None
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


CASES = {
    "katkar": Case(
        title="Katkar Model 2, shear, rotation, flip",
        model="katkar2021",
        variant="model2",
        images=28_709,
        generator={"shear_range": 0.2, "rotation_range": 30, "horizontal_flip": True},
        augmentation=AugmentationConfig(shear=0.2, rotation=30, horizontal_flip=True),
    ),
    "le": Case(title="Le Deep, no augmentation", model="le2019", variant="deep", images=1_280),
    "khopkar": Case(
        title="Khopkar (Le Deep), flip",
        model="le2019",
        variant="deep",
        images=1_280,
        generator={"horizontal_flip": True},
        augmentation=AugmentationConfig(horizontal_flip=True),
    ),
}


@dataclass(frozen=True)
class Measurement:
    """Images a second of both sides, one value a round, warm-up left out."""

    case: str
    precision: str
    papers_jit_compile: bool
    papers: list[float]
    ours: list[float]

    @property
    def ratio(self) -> float:
        """Ours over the papers', the median over the rounds."""
        pairs = zip(self.ours, self.papers, strict=True)
        return statistics.median(ours / papers for ours, papers in pairs)


def papers_side(case: Case, split: Split) -> tuple[Callable[[], float], bool]:
    """The papers' way: a function that trains one epoch and returns its images a second.

    The second value is what `compile(jit_compile="auto")`, the default, came to.
    """
    network = models.build(
        case.model, (*split.images.shape[1:], 1), NUM_CLASSES, {"variant": case.variant}
    )
    # Keras's own layers in place of ours; the papers' networks take what is scaled already.
    network = keras.models.clone_model(network, clone_function=_of_keras)
    network.get_layer("scale").scale = 1.0
    softmax = keras.layers.Activation("softmax")(network.output)
    model = keras.Model(network.input, softmax)
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])

    pixels = split.images[..., None].astype(np.float32)
    targets = np.eye(NUM_CLASSES, dtype=np.float32)[split.labels]
    if case.generator is None:
        data: dict[str, Any] = {"x": pixels / 255, "y": targets, "batch_size": BATCH_SIZE}
    else:
        generator = ImageDataGenerator(rescale=1 / 255, **case.generator)
        data = {"x": generator.flow(pixels, targets, batch_size=BATCH_SIZE)}

    def epoch() -> float:
        began = time.perf_counter()
        model.fit(**data, epochs=1, verbose=0)
        return len(split) / (time.perf_counter() - began)

    return epoch, bool(model.jit_compile)


def _of_keras(layer: keras.Layer) -> keras.Layer:
    kind = getattr(keras.layers, type(layer).__name__)
    assert not kind.__module__.startswith("fercore")
    return kind.from_config(layer.get_config())


def measure(case: Case, splits: Splits, rounds: int, precision: str) -> Measurement:
    """Alternate epochs of our trainer, timed by its own log, with epochs of the papers' way."""
    config = ExperimentConfig.model_validate(
        {
            "name": "benchmark",
            "title": case.title,
            "dataset": splits.name,
            "model": case.model,
            "model_options": {"variant": case.variant},
            "augmentation": case.augmentation,
            "batch_size": BATCH_SIZE,
            "epochs": rounds + 1,
            "precision": precision,
        }
    )
    papers_epoch, jit_compile = papers_side(case, splits["train"])
    papers: list[float] = []
    ours: list[float] = []

    def after_our_epoch(progress: Progress) -> None:
        if progress.row is not None:
            ours.append(progress.row.images_per_second)
            papers.append(papers_epoch())

    with tempfile.TemporaryDirectory() as folder:
        run = RunWriter.create(Path(folder), config)
        train(config, splits, run, command="benchmark", on_progress=after_our_epoch)
    return Measurement(
        case=case.title,
        precision=device.resolve_precision(precision),
        papers_jit_compile=jit_compile,
        papers=papers[1:],
        ours=ours[1:],
    )


def random_splits(images: int) -> Splits:
    """Noise with random labels: speed does not depend on what the images show."""
    rng = np.random.default_rng(0)

    def part(n: int, role: str) -> Split:
        pixels: NDArray[np.uint8] = rng.integers(0, 256, (n, 48, 48), dtype=np.uint8)
        # Every class at least once, whatever n.
        labels = (np.arange(n) % NUM_CLASSES).astype(np.uint8)
        return Split(pixels, labels, np.array([f"{role}-{i}" for i in range(n)]))

    sizes = {"train": images, "validation": 2 * BATCH_SIZE, "test": 2 * BATCH_SIZE}
    names = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    parts = {role: part(n, role) for role, n in sizes.items()}
    return Splits("synthetic", names, parts, synthetic=True)


def first_images(splits: Splits, images: int) -> Splits:
    """A dataset cut to the sizes of a benchmark."""
    sizes = {"train": images, "validation": 2 * BATCH_SIZE, "test": 2 * BATCH_SIZE}
    parts = {
        role: splits[role].take(np.arange(min(n, len(splits[role])))) for role, n in sizes.items()
    }
    return Splits(splits.name, splits.class_names, parts, splits.titles)


def show(measurements: Sequence[Measurement]) -> None:
    """Print one row a case."""
    table = Table(title=f"Training, images/s, {device.describe_device()}", title_justify="left")
    for heading in ("case", "papers (float32)", "ours", "precision", "ratio"):
        table.add_column(heading, justify="left" if heading in {"case", "precision"} else "right")
    for row in measurements:
        table.add_row(
            row.case,
            f"{statistics.median(row.papers):,.0f}",
            f"{statistics.median(row.ours):,.0f}",
            row.precision,
            f"{row.ratio:.2f}",
        )
    console = Console()
    console.print(table)
    jit = {row.papers_jit_compile for row in measurements}
    console.print(
        f"Medians of {len(measurements[0].papers)} alternating epochs. Keras {keras.__version__} "
        f"on {keras.backend.backend()}; fit's default jit_compile came to {jit}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each side (default 5)")
    parser.add_argument("--images", type=int, help="training images an epoch (default: by case)")
    parser.add_argument("--precision", default="auto", help="ours (default auto)")
    parser.add_argument("--data-root", type=Path, help="train on the FER2013 installed there")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)

    installed = None
    if arguments.data_root:
        from fercore.data.datasets import fer2013

        installed = fer2013.load(arguments.data_root)
    measurements = []
    for name in arguments.cases:
        case = CASES[name]
        images = arguments.images or case.images
        splits = first_images(installed, images) if installed else random_splits(images)
        measurements.append(measure(case, splits, arguments.rounds, arguments.precision))
    if arguments.json:
        rows = [asdict(row) | {"ratio": row.ratio} for row in measurements]
        environment = {
            "device": device.describe_device(),
            "cores": machine.count_cores(),
            "backend": keras.backend.backend(),
            "keras": keras.__version__,
            "batch_size": BATCH_SIZE,
        }
        print(json.dumps(environment | {"measurements": rows}, indent=1))
    else:
        show(measurements)


if __name__ == "__main__":
    main()
