"""How long an exported network takes here, a face at a time and in batches."""

import time
from pathlib import Path

import numpy as np

from fercore import machine
from fercore.errors import UserError
from fercore.inference.onnx_session import OnnxNetwork
from fercore.runs.provenance import now
from fercore.runs.reader import Run
from fercore.runs.recreate import require_network
from fercore.runs.schema import Latency
from fercore.runs.writer import RunWriter

BATCH = 64
_WARM_UP = 20
_FACES = 300
_SECONDS = 1.5


def measure(run: Run) -> Latency:
    """Time a run's `model.onnx` on ONNX Runtime, and store it with the run.

    The faces are noise: what an image shows does not change how long a convolution takes. An entry
    of the same machine is replaced.

    Raises:
        UserError: if the run has no network, or its folder cannot be written.
    """
    latency = _measure(require_network(run))
    kept = [entry for entry in run.latency if entry.device != latency.device]
    entries = [entry.model_dump(mode="json") for entry in (*kept, latency)]
    try:
        RunWriter(run.path).write_json("latency.json", entries)
    except OSError as error:
        raise UserError(f"cannot write into {run.path}: {error.strerror}") from None
    return latency


def _measure(file: Path) -> Latency:
    import onnxruntime

    single, batched = OnnxNetwork(file, threads=1), OnnxNetwork(file, threads=0)
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (BATCH, *single.image_shape), dtype=np.uint8)
    for _ in range(_WARM_UP):
        single(faces[:1])
    times = [_seconds(single, faces[i % BATCH][None]) for i in range(_FACES)]
    batched(faces)
    batches = [_seconds(batched, faces)]
    while sum(batches) < _SECONDS:
        batches.append(_seconds(batched, faces))
    return Latency(
        device=machine.cpu_name(),
        cores=machine.count_cores(),
        onnxruntime=onnxruntime.__version__,
        face_ms=1e3 * float(np.median(times)),
        face_p95_ms=1e3 * float(np.quantile(times, 0.95)),
        faces_per_second=BATCH / float(np.median(batches)),
        measured=now(),
    )


def _seconds(network: OnnxNetwork, faces: np.ndarray) -> float:
    start = time.perf_counter()
    network(faces)
    return time.perf_counter() - start
