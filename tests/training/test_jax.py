"""The same config trains on JAX, in a process of its own: a process has one Keras backend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fercore.runs.checks import check_run
from fercore.runs.reader import read_run

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
from fercore.models import vgg
from fercore.runs.reader import read_log
from fercore.runs.writer import RunWriter
from fercore.training import device
from fercore.training.trainer import train
changes = {"rotation": 10, "horizontal_flip": True}
average = {"ema_momentum": 0.9}
config = tiny_config(augmentation=changes, steps_per_execution=2, optimizer=average)
writer = RunWriter.create(Path(sys.argv[1]), config)
results = train(config, make_splits(), writer, command="test")
outcome = {"path": str(writer.path), "onnx": bool(results.onnx)}

# Every operation there is, in the loop and the precision of a GPU. Ten steps an epoch leave no
# remainder, which would be a second loop to compile: a CPU compiles for longer than it trains.
device.should_loop_on_device = lambda: True
everything = {"crop": 0.1, "brightness": 0.1, "contrast": 0.1, "blur": 0.5, "noise": 0.02}
everything |= {"erasing": 0.3, "mixup": 0.2, "cutmix": 1.0, "rotation": 5}
settings = {"steps_per_execution": 2, "precision": "mixed_bfloat16", "optimizer": average}
settings |= {"batch_size": 60, "epochs": 5}
settings |= {"model": "rath2021", "model_options": {"variant": "one"}, "image": {"size": 16}}
config = tiny_config(name="all", augmentation=everything, **settings)
writer = RunWriter.create(Path(sys.argv[1]), config)
mixed = train(config, make_splits(), writer, command="test")
outcome["mixed"] = mixed.splits["test"].accuracy
settings |= {"distillation": {"teachers": [writer.path.name]}}
config = tiny_config(name="taught", **settings)
taught = train(config, make_splits(), RunWriter.create(Path(sys.argv[1]), config), command="test")
outcome["taught"] = taught.splits["test"].accuracy


# A short training: small images first, whitened, flipped in every second epoch. The stages are half
# as wide as those of the smallest variant.
vgg._VARIANTS["tiny"] = (8, 16, 32, 64)
short = {"model": "vgg", "image": {"size": 16}}
short |= {"progressive_resizing": {"size": 8, "fraction": 0.5}}
short |= {"model_options": {"variant": "tiny", "whitening": True, "initializer": "dirac"}}
short |= {"augmentation": {"horizontal_flip": True, "alternating_flip": True}}
short |= {"optimizer": average | {"batch_norm_bias_rate": 4, "learning_rate": 0.005}}
short |= {"steps_per_execution": 5, "batch_size": 30, "epochs": 2}
writer = RunWriter.create(Path(sys.argv[1]), tiny_config(name="short", **short))
train(tiny_config(name="short", **short), make_splits(), writer, command="test")
outcome["sizes"] = [row.image_size for row in read_log(writer.path)]
outcome["losses"] = [row.loss for row in read_log(writer.path)]
print(json.dumps(outcome))
"""


# One device, its steps in a loop of the device's, and several devices.
SEVERAL = """
import json, sys
from pathlib import Path
import keras
import numpy as np
from fercore.errors import UserError
from fercore.models._layers import BatchNormalization, Dropout
from fercore.runs.reader import read_log
from fercore.runs.writer import RunWriter
from fercore.training import device
from fercore.training.inputs import make_fit_inputs
from fercore.training.model import TrainingModel
from fercore.training.trainer import train
from tests.tiny import make_splits, tiny_config

fields = {
    "model": "rath2021",
    "model_options": {"variant": "one"},
    "image": {"size": 16},
    "augmentation": {"brightness": 0.1},
    "optimizer": {"name": "sgd", "learning_rate": 0.01, "ema_momentum": 0.9},
    "batch_size": 60,
    "epochs": 1,
}
data = make_splits()["train"]
order = np.arange(600, dtype=np.int32)
probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 600).astype(np.float32)
weights = np.linspace(0.5, 1.5, 600, dtype=np.float32)


def train_losses(devices=1, steps=1, **changes):
    config = tiny_config(**fields | changes, devices=devices, steps_per_execution=steps)
    keras.utils.set_random_seed(0)
    with device.distribute_batches(devices):
        pixels = keras.Input((16, 16, 1))
        x = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(pixels))
        x = Dropout(0.1)(BatchNormalization()(x))
        x = keras.layers.Dense(7, dtype="float32")(keras.layers.GlobalMaxPooling2D()(x))
        network = keras.Model(pixels, x)
        model = TrainingModel(
            network, config, data.images[:, ::3, ::3], teacher_probabilities=probabilities
        )
        inputs = make_fit_inputs(order, data.labels, config.batch_size, weights)
        losses = model.fit(**inputs, shuffle=False, verbose=0).history["loss"]
    # A last batch of 80, which does not divide by three; and the average of the weights.
    with model.ema_weights(order):
        losses.append(model.evaluate(**make_fit_inputs(order, data.labels, 130), verbose=0)[0])
    return losses


outcome = {"one": train_losses(), "shared": train_losses(devices=3)}
device.should_loop_on_device = lambda: True
# Ten steps: a loop of seven and one of three. Then one of four, and a smaller batch by itself.
outcome["fused"] = train_losses(steps=7)
outcome["whole"] = train_losses(steps=64, batch_size=130)
device.should_loop_on_device = lambda: False
outcome["by one"] = train_losses(batch_size=130)
# 515 images, which four devices cannot share evenly.
config = tiny_config(**fields, devices=4, drop_classes=["disgust"])
writer = RunWriter.create(Path(sys.argv[1]), config)
train(config, make_splits(), writer, command="test")
outcome["uneven"] = [row.loss for row in read_log(writer.path)]
try:
    device.require_devices(5)
except UserError as error:
    outcome["too many"] = str(error)
print(json.dumps(outcome))
"""


def run_script(tmp_path, backend, script=SCRIPT, **variables):
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": backend} | variables,
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
    assert outcome["taught"] > 0.25
    assert outcome["sizes"] == [8, 16]
    assert outcome["losses"][1] < outcome["losses"][0]

    # Exported afterwards, on TensorFlow, from the checkpoint that JAX wrote.
    from fercore.training.onnx_export import export_finished_run
    from tests.tiny import make_splits

    onnx = export_finished_run(run, make_splits()["test"].images)
    assert onnx.max_difference < 1e-4
    assert read_run(run.path).results.onnx == onnx
    from fercore.inference.onnx_session import OnnxNetwork

    images, stored = make_splits()["test"].images, run.predictions("test").probabilities
    assert np.abs(OnnxNetwork(run.path / "model.onnx")(images) - stored).max() < 2e-3


def test_several_devices_and_several_steps_a_call_train_as_one(tmp_path):
    flags = "--xla_force_host_platform_device_count=4"
    outcome = run_script(tmp_path, "jax", SEVERAL, XLA_FLAGS=flags)
    np.testing.assert_allclose(outcome["shared"], outcome["one"], rtol=1e-5)
    # Compiled otherwise, it rounds otherwise.
    np.testing.assert_allclose(outcome["fused"], outcome["one"], rtol=1e-4)
    np.testing.assert_allclose(outcome["whole"], outcome["by one"], rtol=1e-4)
    assert np.isfinite(outcome["uneven"]).all()
    assert outcome["too many"].startswith(
        "received devices = 5, but JAX has 4 on this machine: cpu:0"
    )
