"""Compare the training speed of the VGG and Facet families, size by size.

    uv run python tests/benchmarks/network_speed.py --variants tiny small

Both networks of a size train on the same noise of 48x48, in turn, in one process. Printed are the
medians in images a second and the median of the paired ratios; the first round warms up.
"""

import argparse
import statistics
import time

import numpy as np

from fercore import models
from fercore.config.loading import load_config
from fercore.training import device
from fercore.training.inputs import make_fit_inputs
from fercore.training.model import TrainingModel

BATCH, STEPS = 128, 8
FAMILIES = ("vgg", "facet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--variants", nargs="+", default=["tiny", "small", "base"])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    n = BATCH * STEPS
    images = rng.integers(0, 256, (n, 48, 48)).astype(np.uint8)
    labels = rng.integers(0, 7, n).astype(np.int32)
    for variant in arguments.variants:
        trainees = {family: build(family, variant, images) for family in FAMILIES}
        speeds: dict[str, list[float]] = {family: [] for family in FAMILIES}
        for _ in range(arguments.rounds + 1):
            for family, trainee in trainees.items():
                began = time.perf_counter()
                epoch = make_fit_inputs(np.arange(n, dtype=np.int32), labels, BATCH)
                trainee.fit(**epoch, shuffle=False, verbose=0)
                speeds[family].append(n / (time.perf_counter() - began))
        vgg, facet = (speeds[family][1:] for family in FAMILIES)
        ratio = statistics.median(one / other for one, other in zip(vgg, facet, strict=True))
        print(
            f"{variant}: vgg {statistics.median(vgg):,.0f}, facet {statistics.median(facet):,.0f} "
            f"images/s, ratio {ratio:.2f}"
        )


def build(family: str, variant: str, images: np.ndarray) -> TrainingModel:
    fields = {"model": family, "model_options": {"variant": variant}, "batch_size": BATCH}
    config = load_config("facet-tiny", fields)
    with device.use_dtype_policy(device.resolve_precision("auto")):
        network = models.build(family, (48, 48, 1), 7, config.model_options)
        return TrainingModel(network, config, images)


if __name__ == "__main__":
    main()
