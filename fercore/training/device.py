"""What the network trains on, and which precision it gains from."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import keras

from fercore import machine
from fercore.errors import UserError


def has_gpu() -> bool:
    """Whether the Keras backend sees a GPU."""
    # Asked for GPUs by name, JAX raises where there are none.
    return any(name.startswith("gpu") for name in keras.distribution.list_devices())


def overlooks_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU that the Keras backend does not see."""
    return not has_gpu() and machine.has_nvidia_gpu()


def resolve_precision(precision: str) -> str:
    """The dtype policy that `precision = "auto"` stands for on this device.

    bfloat16 where the device multiplies in it: GPUs, and under TensorFlow the CPUs with AMX or
    AVX512-BF16, which train 1.5 to 3 times faster with it. JAX emulates it on CPUs, at a loss.
    """
    if precision != "auto":
        return precision
    if has_gpu():
        return "mixed_bfloat16"
    native = {"amx_bf16", "avx512_bf16"} & machine.cpu_flags()
    return "mixed_bfloat16" if native and keras.backend.backend() == "tensorflow" else "float32"


def jit_compile() -> bool | str:
    """How Keras should compile a step: on CPUs XLA convolves ten times slower than oneDNN."""
    return False if keras.backend.backend() == "tensorflow" and not has_gpu() else "auto"


def loops_on_device() -> bool:
    """Whether several steps should be compiled into one loop by us.

    On TensorFlow Keras does it. On JAX it loops in Python, which a GPU would wait for; on CPUs XLA
    convolves several times slower within a loop, and over several devices Keras places each batch.
    """
    several = keras.distribution.distribution() is not None
    return keras.backend.backend() == "jax" and has_gpu() and not several


@contextmanager
def sharing_batches(devices: int) -> Iterator[None]:
    """In the body, every batch of a training is divided among that many devices of this machine.

    Networks that are built in the body have their weights on all of them, and a step computes what
    it would on one: batch normalisation sees the whole batch. Outside of it each of them computes
    everything.

    Raises:
        UserError: as `require_devices`.
    """
    if devices == 1:
        yield
        return
    present = require_devices(devices)
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=present[:devices], auto_shard_dataset=False)
    )
    try:
        yield
    finally:
        keras.distribution.set_distribution(None)


def require_devices(devices: int) -> list[str]:
    """The devices that can train together, as Keras names them.

    Raises:
        UserError: if the backend is not JAX, or has fewer.
    """
    if keras.backend.backend() != "jax":
        raise UserError(
            f"received devices = {devices} on {keras.backend.backend()}; several devices train "
            "together on JAX: set KERAS_BACKEND=jax, or devices = 1"
        )
    present: list[str] = keras.distribution.list_devices()
    if len(present) < devices:
        raise UserError(
            f"received devices = {devices}, JAX has {len(present)} here: {', '.join(present)}"
        )
    return present


@contextmanager
def exact_products() -> Iterator[None]:
    """In the body, GPUs multiply single precision as such, where by default they round to TF32."""
    if not has_gpu():
        yield
    elif keras.backend.backend() == "jax":
        import jax

        with jax.default_matmul_precision("float32"):
            yield
    else:
        from tensorflow import config

        before = config.experimental.tensor_float_32_execution_enabled()
        config.experimental.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            config.experimental.enable_tensor_float_32_execution(before)


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers made in the body compute in this dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def terminate_like_interrupt() -> None:
    """Let SIGTERM, which `kill` and job schedulers send, end a training as cleanly as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let the body end before a Ctrl-C (or what counts as one) takes effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        pending.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pending:
        raise KeyboardInterrupt


def describe_device(devices: int = 1) -> str:
    """The accelerators or the processor in words, such as `"NVIDIA H200"`.

    Args:
        devices: how many of this machine's train.
    """
    if has_gpu():
        names = machine.output(
            "nvidia-smi", "--query-gpu=name", "--format=csv,noheader"
        ).splitlines()
        return ", ".join(names[:devices]) or "GPU"
    return machine.cpu_name()
