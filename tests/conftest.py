"""What all tests share."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from fercore.data.splits import Splits
from tests.tiny import make_splits


@pytest.fixture
def splits() -> Splits:
    """A dataset whose test split repeats three training images."""
    return make_splits()
