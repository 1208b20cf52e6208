"""Modules that are imported when a test first uses them."""

import importlib
from typing import Any


class LazyModule:
    """A module by its name, such as Keras, whose import takes 10 s.

    Where a test module imports it directly, every process that collects the tests has to wait.
    """

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
