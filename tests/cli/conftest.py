"""What the tests of several commands share."""

import functools
import sys

import pytest

from fercore.cli import main
from fercore.data.datasets import synthetic


@pytest.fixture
def few_faces(monkeypatch):
    """Draw 880 synthetic faces, not 3,500: the networks need not get good at them."""
    monkeypatch.setattr(synthetic, "SIZES", {"train": 600, "validation": 140, "test": 140})
    monkeypatch.setattr(synthetic, "_draw_all", functools.cache(synthetic._draw_all.__wrapped__))


@pytest.fixture
def fercore(monkeypatch, tmp_path, capsys):
    """Return a function that runs a command in this process, with temporary roots."""
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FERCORE_RUNS", str(tmp_path / "runs"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fercore", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call
