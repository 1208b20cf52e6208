"""The same config trains on JAX, in a process of its own: a process has one Keras backend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fercore.runs import check_run, read_run

pytestmark = [pytest.mark.keras, pytest.mark.jax]

SCRIPT = """
import json, sys

# As on a GPU machine that has JAX alone.
import importlib.machinery, importlib.util


class WithoutTensorFlow(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] == "tensorflow"
        return None if hidden else super().find_spec(name, path, target)


sys.meta_path[:] = [
    WithoutTensorFlow if finder is importlib.machinery.PathFinder else finder
    for finder in sys.meta_path
]
assert importlib.util.find_spec("tensorflow") is None

from pathlib import Path
from tests.tiny import make_splits, tiny_config
from fercore.recorder import RunWriter
from fercore.train import train
changes = {"rotation": 10, "horizontal_flip": True}
average = {"average": 0.9}
config = tiny_config(augmentation=changes, steps_per_execution=2, optimizer=average)
writer = RunWriter.create(Path(sys.argv[1]), config)
results = train(config, make_splits(), writer, command="test")
outcome = {"path": str(writer.path), "onnx": bool(results.onnx)}

# Every operation there is.
everything = {"crop": 0.1, "brightness": 0.1, "contrast": 0.1, "blur": 0.5, "noise": 0.02}
everything |= {"erasing": 0.3, "mixup": 0.2, "cutmix": 1.0, "rotation": 5}
config = tiny_config(name="all", augmentation=everything, steps_per_execution=2, epochs=3)
mixed = train(config, make_splits(), RunWriter.create(Path(sys.argv[1]), config), command="test")
outcome["mixed"] = mixed.splits["test"].accuracy
print(json.dumps(outcome))
"""


def run_script(tmp_path, backend):
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_training_on_jax_needs_no_tensorflow(tmp_path):
    outcome = run_script(tmp_path, "jax")
    assert not outcome["onnx"]
    run = read_run(Path(outcome["path"]))
    assert check_run(run.path) == []
    assert run.environment.backend == "jax"
    assert run.results.splits["test"].accuracy > 0.5
    assert run.onnx_path is None
    assert outcome["mixed"] > 0.25

    # Exported afterwards, on TensorFlow, from the checkpoint that JAX wrote.
    from fercore.export import export_finished
    from tests.tiny import make_splits

    onnx = export_finished(run, make_splits()["test"].images)
    assert onnx.max_difference < 1e-4
    assert read_run(run.path).results.onnx == onnx
    from fercore.onnx_session import OnnxNetwork

    images, stored = make_splits()["test"].images, run.predictions("test").probabilities
    assert np.abs(OnnxNetwork(run.path / "model.onnx")(images) - stored).max() < 2e-3
