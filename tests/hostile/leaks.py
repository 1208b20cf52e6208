"""Build datasets with the images of another dataset, and runs that were trained on them."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fercore.config.experiment import ExperimentConfig
from fercore.data import store
from fercore.data.labels import FER2013
from fercore.data.quality import Audit
from fercore.data.registry import load_dataset
from fercore.data.splits import UNSPLIT, Split
from fercore.evaluation.protocol import build_protocol
from fercore.runs.provenance import describe_environment
from fercore.runs.reader import Run, read_run
from fercore.runs.writer import RunWriter

Images = NDArray[np.uint8]


def smooth_images(n: int, seed: int) -> Images:
    """Return different images that are as smooth as faces: `(n, 48, 48)`."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (n, 8, 8)).astype(np.uint8)
    return np.stack([cv2.resize(i, (48, 48), interpolation=cv2.INTER_CUBIC) for i in small])


def mirrored(images: Images) -> Images:
    return np.ascontiguousarray(images[:, :, ::-1])


def enlarged(images: Images) -> Images:
    return np.stack([cv2.resize(i, (96, 96), interpolation=cv2.INTER_LINEAR) for i in images])


def reduced(images: Images) -> Images:
    return np.stack([cv2.resize(i, (32, 32), interpolation=cv2.INTER_AREA) for i in images])


def recompressed(images: Images) -> Images:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 75]
    return np.stack([cv2.imdecode(cv2.imencode(".jpg", i, quality)[1], 0) for i in images])


def rotated(images: Images) -> Images:
    """Rotate images; copies that `find_copies` does not find."""
    return np.ascontiguousarray(np.rot90(images, axes=(1, 2)))


def install(
    root: Path, name: str, images: Images, derived_from: store.Derivation | None = None
) -> str:
    """Install a custom dataset; return its fingerprint."""
    labels = (np.arange(len(images)) % 7).astype(np.uint8)
    ids = np.array(
        [
            f"{name if derived_from is None else derived_from.dataset}-{i:04d}"
            for i in range(len(images))
        ]
    )
    parts = {UNSPLIT: Split(images, labels, ids)}
    store.write(
        root,
        name,
        FER2013,
        parts,
        (),
        validation_from_train=False,
        audit=Audit(),
        **({"derived_from": derived_from} if derived_from else {}),
    )
    return load_dataset(name, root).fingerprint


def trained(runs: Path, data: Path, config: ExperimentConfig) -> Run:
    """Write a run that states that it was trained with this config."""
    splits = load_dataset(config.dataset, data)
    writer = RunWriter.create(runs, config)
    found = {"backend": "none", "device": "none", "precision": "float32"}
    writer.write_record(
        describe_environment("test", splits, build_protocol(config, splits), **found)
    )
    writer.set_status(state="finished")
    return read_run(writer.path)
