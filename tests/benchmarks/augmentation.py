"""Images a second through augmentation: ours beside Keras's `ImageDataGenerator`, one policy.

    python tests/benchmarks/augmentation.py [--rounds 7] [--images 4096] [--batch 64]

Both draw Katkar's policy (rotation 30, shear 0.2, flip) for the same noise, in turn. Ours is
compiled and fed as in the trainer: positions in, pixels on the device out; the generator gives
arrays, as it does to `Model.fit`. "everything" switches on every operation on single images.
The last column is what a step of Katkar's Model 2 takes longer with the policy than without, in
alternating epochs of the trainer.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from fercore import machine, models
from fercore.augmentation.layer import Augment
from fercore.config.augmentation import AugmentationConfig
from fercore.config.experiment import ExperimentConfig
from fercore.training import device
from fercore.training.inputs import make_fit_inputs
from fercore.training.model import TrainingModel

KATKAR = AugmentationConfig(rotation=30, shear=0.2, horizontal_flip=True)
EVERYTHING = KATKAR.model_copy(
    update={"crop": 0.1, "brightness": 0.2, "contrast": 0.2, "blur": 1, "noise": 0.05}
    | {"erasing": 0.5, "zoom": 0.1, "width_shift": 0.1, "height_shift": 0.1}
)


def ours(config: AugmentationConfig, images: np.ndarray, batch: int) -> Callable[[], None]:
    """One pass over the images by our layer, compiled and fed as in the trainer."""
    augment = Augment(config)
    stored = keras.Variable(images.astype(np.uint8), dtype="uint8", trainable=False)

    def changed(positions: np.ndarray) -> object:
        pixels = keras.ops.cast(keras.ops.take(stored, positions, axis=0), "float32")
        return augment(pixels)

    call, wait = changed, lambda result: result.block_until_ready()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # On a CPU the call returns when the pixels are there.
        call, wait = tf.function(changed), lambda result: None
    positions = np.arange(len(images), dtype=np.int32)

    def run() -> None:
        for start in range(0, len(images), batch):
            wait(call(positions[start : start + batch]))

    return run


def generator(images: np.ndarray, batch: int) -> Callable[[], None]:
    """One pass by Keras's generator."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    policy = ImageDataGenerator(rotation_range=30, shear_range=0.2, horizontal_flip=True)

    def run() -> None:
        flow = policy.flow(images, batch_size=batch, shuffle=False)
        for number in range(len(flow)):
            flow[number]

    return run


def step_seconds(images: np.ndarray, rounds: int) -> tuple[float, float]:
    """Median seconds of an epoch of Katkar's Model 2, without and with the policy."""
    labels = np.arange(len(images), dtype=np.int64) % 7
    pixels = images[..., 0].astype(np.uint8)
    trainees = []
    with device.use_dtype_policy(device.resolve_precision("auto")):
        for policy in (AugmentationConfig(), KATKAR):
            config = ExperimentConfig(
                name="bench",
                title="",
                dataset="",
                model="katkar2021",
                epochs=1,
                augmentation=policy,
            )
            network = models.build("katkar2021", (48, 48, 1), 7, {"variant": "model2"})
            trainees.append(TrainingModel(network, config, pixels))
    times: list[list[float]] = [[], []]
    positions = np.arange(len(images), dtype=np.int32)
    for _ in range(rounds + 1):
        for trainee, found in zip(trainees, times, strict=True):
            began = time.perf_counter()
            trainee.fit(**make_fit_inputs(positions, labels, 64), shuffle=False, verbose=0)
            found.append(time.perf_counter() - began)
    without, with_policy = (statistics.median(found[1:]) for found in times)
    return without, with_policy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=256)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (arguments.images, 48, 48, 1)).astype(np.float32)
    ways = {
        "ImageDataGenerator": generator(images, arguments.batch),
        "ours": ours(KATKAR, images, arguments.batch),
        "ours, everything": ours(EVERYTHING, images, arguments.batch),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds + 1):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    rates = {name: len(images) / statistics.median(found[1:]) for name, found in times.items()}
    table = Table(
        "way", "images/s", "ratio", title=f"{machine.cpu_name()}, {arguments.rounds} rounds"
    )
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / rates['ImageDataGenerator']:.1f}")
    Console().print(table)
    without, with_policy = step_seconds(images, arguments.rounds)
    print(f"a step of Katkar's Model 2 takes {with_policy / without - 1:+.0%} with the policy")


if __name__ == "__main__":
    main()
