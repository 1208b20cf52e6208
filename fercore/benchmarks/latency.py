"""Latency and throughput of an exported network on this machine."""

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
_WARM_UP_CALLS = 20
_SINGLE_CALLS = 300
_MIN_BATCH_SECONDS = 1.5


def measure_latency(run: Run) -> Latency:
    """Time a run's `model.onnx` on ONNX Runtime, and store the result with the run.

    The images are noise, because the content of an image does not change the time of a convolution.
    An existing entry of the same machine is replaced.

    Raises:
        UserError: if the run has no network, or its folder cannot be written.
    """
    latency = _measure(require_network(run))
    others = [entry for entry in run.latency if entry.device != latency.device]
    entries = [entry.model_dump(mode="json") for entry in (*others, latency)]
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
    for _ in range(_WARM_UP_CALLS):
        single(faces[:1])
    single_seconds = [_call_seconds(single, faces[i % BATCH][None]) for i in range(_SINGLE_CALLS)]
    batched(faces)
    batch_seconds = [_call_seconds(batched, faces)]
    while sum(batch_seconds) < _MIN_BATCH_SECONDS:
        batch_seconds.append(_call_seconds(batched, faces))
    return Latency(
        device=machine.cpu_name(),
        cores=machine.count_cores(),
        onnxruntime=onnxruntime.__version__,
        face_ms=1e3 * float(np.median(single_seconds)),
        face_p95_ms=1e3 * float(np.quantile(single_seconds, 0.95)),
        faces_per_second=BATCH / float(np.median(batch_seconds)),
        measured=now(),
    )


def _call_seconds(network: OnnxNetwork, faces: np.ndarray) -> float:
    start = time.perf_counter()
    network(faces)
    return time.perf_counter() - start
