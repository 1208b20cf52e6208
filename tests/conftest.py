"""What all tests share."""

import os
import signal

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from fercore.data.splits import Splits
from tests.tiny import make_splits

# A shell that puts the tests into the background lets them ignore Ctrl-C, and all they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def splits() -> Splits:
    """A dataset whose test split repeats three training images."""
    return make_splits()
