"""Devices and precision of a training, and its signals."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import keras

from fercore import machine
from fercore.errors import UserError


def has_gpu() -> bool:
    """Return whether the Keras backend sees a GPU."""
    # JAX raises an error if it is asked for GPUs by name and there are none.
    return any(name.startswith("gpu") for name in keras.distribution.list_devices())


def has_unused_gpu() -> bool:
    """Return whether this machine has an NVIDIA GPU that the Keras backend does not see."""
    return not has_gpu() and machine.has_nvidia_gpu()


def resolve_precision(precision: str) -> str:
    """Return the dtype policy for a configured precision; replace `"auto"` by the fastest one.

    `"auto"` is bfloat16 where the device multiplies in it: on GPUs, and on TensorFlow on CPUs with
    AMX or AVX512-BF16, which train 1.5 to 3 times faster with it. JAX emulates it on CPUs, which is
    slower than float32.
    """
    if precision != "auto":
        return precision
    if has_gpu():
        return "mixed_bfloat16"
    native = {"amx_bf16", "avx512_bf16"} & machine.cpu_flags()
    return "mixed_bfloat16" if native and keras.backend.backend() == "tensorflow" else "float32"


def jit_compile() -> bool | str:
    """Return the `jit_compile` argument of `keras.Model.compile` for this device.

    On CPUs, the convolutions of XLA are ten times slower than those of oneDNN.
    """
    return False if keras.backend.backend() == "tensorflow" and not has_gpu() else "auto"


def should_loop_on_device() -> bool:
    """Return whether several steps should be compiled into one loop by `jax_loop`.

    On TensorFlow, Keras compiles such a loop. On JAX, it loops in Python, for which a GPU would
    wait. On CPUs, XLA's convolutions are several times slower within a loop. With several devices,
    Keras places each batch by itself.
    """
    has_several_devices = keras.distribution.distribution() is not None
    return keras.backend.backend() == "jax" and has_gpu() and not has_several_devices


@contextmanager
def distribute_batches(devices: int) -> Iterator[None]:
    """Divide every batch among several devices of this machine while the body runs.

    Networks that are built in the body have their weights on all of these devices. A step computes
    the same as on one device: batch normalization sees the full batch. Outside of the body, each
    device computes everything.

    Args:
        devices: number of devices; with 1, nothing changes.

    Raises:
        UserError: see `require_devices`.
    """
    if devices == 1:
        yield
        return
    names = require_devices(devices)
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=names[:devices], auto_shard_dataset=False)
    )
    try:
        yield
    finally:
        keras.distribution.set_distribution(None)


def require_devices(devices: int) -> list[str]:
    """Return Keras's names of the devices that can train together.

    Args:
        devices: the smallest number of devices.

    Raises:
        UserError: if the backend is not JAX, or has fewer devices.
    """
    if keras.backend.backend() != "jax":
        raise UserError(
            f"received devices = {devices} on {keras.backend.backend()}; several devices train "
            "together on JAX only: set KERAS_BACKEND=jax, or devices = 1"
        )
    names: list[str] = keras.distribution.list_devices()
    if len(names) < devices:
        raise UserError(
            f"received devices = {devices}, but JAX has {len(names)} on this machine: "
            f"{', '.join(names)}"
        )
    return names


@contextmanager
def disable_tf32() -> Iterator[None]:
    """Multiply in full single precision on GPUs while the body runs; the default rounds to TF32."""
    if not has_gpu():
        yield
    elif keras.backend.backend() == "jax":
        import jax

        with jax.default_matmul_precision("float32"):
            yield
    else:
        from tensorflow import config

        was_enabled = config.experimental.tensor_float_32_execution_enabled()
        config.experimental.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            config.experimental.enable_tensor_float_32_execution(was_enabled)


@contextmanager
def use_dtype_policy(precision: str) -> Iterator[None]:
    """Set the dtype policy of layers that are created in the body."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def treat_sigterm_as_interrupt() -> None:
    """Make SIGTERM raise `KeyboardInterrupt`, so that it ends a training as cleanly as Ctrl-C.

    `kill` and job schedulers send SIGTERM.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the body has ended.

    Raises:
        KeyboardInterrupt: at the end of the body, if a signal has arrived.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []

    def record(number: int, frame: FrameType | None) -> None:
        pending.append(number)

    previous = {number: signal.signal(number, record) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if pending:
        raise KeyboardInterrupt


def describe_device(devices: int = 1) -> str:
    """Return the name of the GPUs that train, or else of the processor, such as `"NVIDIA H200"`.

    Args:
        devices: how many devices of this machine train.
    """
    if has_gpu():
        names = machine.command_output(
            "nvidia-smi", "--query-gpu=name", "--format=csv,noheader"
        ).splitlines()
        return ", ".join(names[:devices]) or "GPU"
    return machine.cpu_name()
