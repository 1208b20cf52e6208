"""Suppression of the messages that TensorFlow prints while it is imported."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def suppress_native_stderr() -> Iterator[None]:
    """Discard the standard error of native code while the body runs.

    TensorFlow prints its instruction sets and missing GPU drivers before its own log level takes
    effect. Python's errors are not lost, because they are raised, not printed.
    """
    sys.stderr.flush()
    original = os.dup(2)
    null_device = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null_device, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(null_device)
        os.close(original)
