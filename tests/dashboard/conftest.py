from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from tests.dashboard import make_runs


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    yield
    st.cache_resource.clear()
