"""Test that a network which takes too much, or ends its process, leaves one line and no run."""

import sys
import textwrap

import pytest

from fercore.data.labels import FER2013
from fercore.errors import UserError
from fercore.importers.import_run import OnnxOptions
from fercore.importers.limited_process import run_isolated
from tests.hostile import networks as make
from tests.hostile.imports import refused


def test_a_constant_folding_bomb_is_ended(tmp_path):
    path = make.folding_bomb(tmp_path / "bomb.onnx")
    assert path.stat().st_size < 100_000
    message = refused(tmp_path, path)
    assert "GiB of memory" in message
    assert "--memory-limit" in message


def test_a_small_file_that_takes_two_gigabytes_is_ended(tmp_path):
    path = make.folding_bomb(tmp_path / "bomb.onnx", 250_000_000)
    assert "GiB of memory" in refused(tmp_path, path)


@pytest.mark.parametrize("growing", [False, True])
def test_an_endless_loop_is_ended(tmp_path, growing):
    path = make.endless_loop(tmp_path / "loop.onnx", growing)
    options = OnnxOptions(class_names=FER2013, grey_range="0-1", seconds=4)
    message = refused(tmp_path, path, options)
    assert "no answer within 4 seconds" in message or "GiB of memory" in message


@pytest.mark.parametrize(
    "write",
    [
        make.huge_input,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x08\x08" * 1000),
        lambda path: path.write_bytes(make.classifier(path).read_bytes()[:2000]),
        lambda path: make.classifier(path, shape=("n", 2, 48, 48)),
        lambda path: make.classifier(path, shape=("n", 1, 1, 48, 48)),
        lambda path: make.classifier(path, shape=("n", 5, 48)),
        lambda path: path.mkdir(),
    ],
)
def test_what_is_no_classifier_of_images_is_refused(tmp_path, write):
    path = tmp_path / "theirs.onnx"
    write(path)
    refused(tmp_path, path)


def test_a_process_that_dies_leaves_one_line(tmp_path, monkeypatch):
    (tmp_path / "dies_at_once.py").write_text(
        textwrap.dedent(
            """
            import os
            os.abort()
            """
        )
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^theirs\.onnx ended the process[^\n]*$"):
        run_isolated("dies_at_once", tmp_path, "theirs.onnx", 30, 1 << 30)
    assert sys.executable
