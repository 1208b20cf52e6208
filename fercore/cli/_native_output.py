"""Keep the notes that TensorFlow prints while it is imported off the user's screen."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def suppress_native_stderr() -> Iterator[None]:
    """Send what native code writes to standard error nowhere while the body runs.

    TensorFlow announces its instruction sets and missing GPU drivers before its own log level takes
    effect. Python's errors are raised, not printed, and so are not lost.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
