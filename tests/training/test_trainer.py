"""The trainer: one training from its config to its run directory."""

from pathlib import Path

import numpy as np
import pytest

from fercore.errors import UserError
from fercore.evaluation.protocol import build_protocol
from fercore.evaluation.results import evaluate_predictions
from fercore.inference.dataset_evaluation import evaluate_onnx
from fercore.runs.checks import check_run
from fercore.runs.reader import read_run
from fercore.runs.writer import RunWriter
from tests.tiny import make_splits, small_config, tiny_config

pytestmark = pytest.mark.keras

AUGMENTED = {"rotation": 10, "horizontal_flip": True}


def train(config, splits, writer, **options):
    from fercore.training.trainer import train

    return train(config, splits, writer, command="fercore train tiny", **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run, trained once for all tests that only read it."""

    data = make_splits()
    config = tiny_config(
        augmentation=AUGMENTED, class_weights=True, drop_classes=["disgust"], epochs=4
    )
    writer = RunWriter.create(tmp_path_factory.mktemp("runs"), config)
    results = train(config, data, writer)
    return config, data, writer, results


def test_a_finished_run_is_complete_and_consistent_and_has_learnt(finished):
    config, _, writer, results = finished
    assert check_run(writer.path) == []
    run = read_run(writer.path)
    assert run.state == "finished"
    assert run.config == config
    assert run.results == results
    assert [row.epoch for row in run.log()] == [1, 2, 3, 4]
    assert results.splits["test"].accuracy > 0.6
    assert results.stopped_by == "epochs"
    assert run.environment.dataset_counts["Training"]["disgust"] == 0


def test_the_results_can_be_computed_from_the_stored_predictions(finished):
    config, data, writer, results = finished
    run = read_run(writer.path)
    stored = {role: run.predictions(role) for role in ("validation", "test")}
    assert evaluate_predictions(build_protocol(config, data), stored) == results.splits
    assert list(stored["test"].ids) == list(data["test"].ids)


def test_the_checkpoint_is_that_of_the_best_validation_accuracy(finished):
    _, _, writer, results = finished
    log = read_run(writer.path).log()
    best = max(row.val_accuracy for row in log)
    assert results.selection.value == best
    assert results.selection.epoch == next(r.epoch for r in log if r.val_accuracy == best)
    # In single precision, with kernels in half: close to what training saw in bfloat16.
    assert results.splits["validation"].accuracy == pytest.approx(best, abs=0.03)


@pytest.mark.usefixtures("no_export")
def test_training_with_mixed_images_learns_and_is_reproducible(tmp_path):

    policy = {"mixup": 0.2, "cutmix": 1.0, "erasing": 0.2, "noise": 0.02, "crop": 0.05}
    config = small_config(augmentation=policy, class_weights=True, epochs=4)
    logs = []
    for _ in range(2):
        writer = RunWriter.create(tmp_path, config)
        results = train(config, make_splits(), writer)
        logs.append([(row.loss, row.val_accuracy) for row in read_run(writer.path).log()])
        assert results.splits["test"].accuracy > 0.3
    assert logs[0] == logs[1]


def test_several_devices_require_jax(tmp_path):
    config = small_config(devices=2)
    writer = RunWriter.create(tmp_path, config)

    with pytest.raises(UserError, match=r"devices = 2 on tensorflow; .* set KERAS_BACKEND=jax"):
        train(config, make_splits(), writer)
    assert read_run(writer.path).state == "failed"


def test_an_exception_without_a_message_is_recorded_by_its_type(tmp_path, monkeypatch):

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("fercore.models.build", fail)
    writer = RunWriter.create(tmp_path, small_config())
    with pytest.raises(MemoryError):
        train(small_config(), make_splits(), writer)
    run = read_run(writer.path)
    assert (run.state, run.status.message) == ("failed", "MemoryError")


@pytest.mark.usefixtures("no_export")
def test_the_last_epoch_is_selected_if_the_config_requires_it(tmp_path):

    # At this rate the validation accuracy falls in the last epoch.
    config = tiny_config(keep="last", optimizer={"learning_rate": 0.02}, epochs=3, seed=1)
    writer = RunWriter.create(tmp_path, config)
    results = train(config, make_splits(), writer)
    log = read_run(writer.path).log()
    assert (results.selection.epoch, results.selection.metric) == (3, "epoch")
    assert results.selection.value == log[-1].val_accuracy
    close = pytest.approx(log[-1].val_accuracy, abs=0.03)
    assert results.splits["validation"].accuracy == close


@pytest.mark.usefixtures("no_export")
def test_averaged_weights_are_evaluated_and_do_not_change_the_training(tmp_path):
    """Compare no average, a short one, and one over more steps than the training has."""
    import keras

    from fercore import models
    from fercore.training import checkpoints

    optimizer = {"name": "sgd", "learning_rate": 0.05}
    data = make_splits()
    trained = {}
    for average in (0.0, 0.9, 0.999):
        optimizer["ema_momentum"] = average
        config = tiny_config(epochs=2, precision="float32", optimizer=optimizer, keep="last")
        writer = RunWriter.create(tmp_path, config)
        train(config, data, writer)
        network = models.build("katkar2021", (48, 48, 1), 7, {"variant": "model2"})
        checkpoints.load(writer.checkpoints / "best.npz", network.variables)
        with np.load(writer.checkpoints / "last.npz") as last:
            arrays = [last[name] for name in sorted(set(last.files) - {"epoch"})]
        trained[average] = (
            [keras.ops.convert_to_numpy(w) for w in network.trainable_weights],
            arrays[: len(network.variables)],
        )
    (_, plain), (averages, weights), (long_averages, _) = (
        trained[average] for average in (0.0, 0.9, 0.999)
    )
    # The average does not change the training.
    for one, other in zip(plain, weights, strict=True):
        np.testing.assert_array_equal(one, other)
    # It is a different set of weights, close to the last ones.
    kernels = [array for array in weights if array.ndim == 4]
    averaged = [array for array in averages if array.ndim == 4]
    for weight, mean in zip(kernels, averaged, strict=True):
        assert 0 < np.abs(weight - mean).max() < 0.2
    # An average over more steps than the training has equals the weights.
    for weight, mean in zip(kernels, (w for w in long_averages if w.ndim == 4), strict=True):
        np.testing.assert_array_equal(weight, mean)


def test_the_exported_network_predicts_the_same_as_keras(finished):
    import keras

    from fercore.inference.onnx_session import OnnxNetwork
    from fercore.training.prediction import predict

    _, data, writer, results = finished
    network = keras.models.load_model(writer.path / "checkpoints" / "model.keras", compile=False)
    expected = predict(network, data["test"].images, 64)
    exported = OnnxNetwork(writer.path / "model.onnx")(data["test"].images, batch_size=33)
    assert np.abs(exported - expected).max() < 1e-5
    assert results.onnx.max_difference < 1e-4
    assert results.onnx.weights == "float16"
    assert results.onnx.bytes < 0.55 * 4 * results.parameters


def test_the_exported_network_has_the_recorded_accuracy(finished):
    _, data, writer, results = finished
    again = evaluate_onnx(read_run(writer.path), data, "test")
    assert again.n == results.splits["test"].n
    assert again.accuracy == results.splits["test"].accuracy


def test_the_layer_table_sums_up_to_the_parameters(finished):
    _, _, writer, results = finished
    layers = read_run(writer.path).layers()
    assert sum(layer.parameters for layer in layers) == results.parameters == 318_407
    assert layers[1].kind == "Conv2D"
    assert layers[1].detail == "3x3, valid, relu"
    assert layers[1].output_shape == [46, 46, 32]


@pytest.mark.usefixtures("no_export")
def test_a_training_is_reproducible_by_its_seed(splits, tmp_path):
    logs = []
    for seed in (1, 1, 2):
        writer = RunWriter.create(tmp_path, small_config(seed=seed, epochs=2))
        train(small_config(seed=seed, epochs=2), splits, writer)
        logs.append([(row.loss, row.val_loss) for row in read_run(writer.path).log()])
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]


SHORT_TRAINING = {
    "model": "vgg",
    "model_options": {"variant": "tiny", "whitening": True, "initializer": "dirac"},
    "image": {"size": 24},
    "augmentation": {"horizontal_flip": True, "alternating_flip": True},
    "optimizer": {"name": "adamw", "ema_momentum": 0.9, "batch_norm_bias_rate": 4},
    "progressive_resizing": {"size": 16, "fraction": 0.67},
}


@pytest.mark.usefixtures("no_export")
def test_progressive_resizing_grows_the_images_and_can_be_resumed(splits, tmp_path, monkeypatch):
    # Two narrow stages have all that the four of a real variant have, and take a third of the time.
    monkeypatch.setattr("fercore.models.vgg._VARIANTS", {"tiny": (8, 16)})
    config = tiny_config(**SHORT_TRAINING)
    uninterrupted, interrupted = (
        RunWriter.create(tmp_path, config),
        RunWriter.create(tmp_path, config),
    )
    results = train(config, splits, uninterrupted)
    log = read_run(uninterrupted.path).log()
    assert [row.image_size for row in log] == [16, 16, 24]
    assert results.selection.epoch == 3
    assert read_run(uninterrupted.path).layers()[0].output_shape[:2] == [24, 24]
    assert check_run(uninterrupted.path) == []

    def interrupt(progress):
        if progress.epoch == 2 and progress.step:
            raise KeyboardInterrupt

    train(config, splits, interrupted, on_progress=interrupt)
    train(config, splits, RunWriter(interrupted.path), resume=True)
    got = read_run(interrupted.path).log()
    assert [row.image_size for row in got] == [16, 16, 24]
    for left, right in zip(log, got, strict=True):
        assert right.loss == pytest.approx(left.loss, rel=1e-6)
        assert right.val_loss == pytest.approx(left.val_loss, rel=1e-6)


@pytest.mark.usefixtures("no_export")
def test_whitening_uses_only_training_images(splits, tmp_path, monkeypatch):
    import fercore.training.preparation

    seen = []
    monkeypatch.setattr(
        fercore.training.preparation, "adapt_whitening", lambda network, images: seen.append(images)
    )
    config = small_config(epochs=1)
    train(config, splits, RunWriter.create(tmp_path, config))
    assert [len(images) for images in seen] == [len(splits["train"])]


def test_progressive_resizing_must_start_with_a_smaller_size(splits):
    config = tiny_config(**SHORT_TRAINING | {"progressive_resizing": {"size": 24}})
    with pytest.raises(UserError, match="size = 24, but the images are 24 pixels wide"):
        build_protocol(config, splits)


def test_progressive_resizing_needs_weights_independent_of_the_size(splits, tmp_path):
    config = tiny_config(progressive_resizing={"size": 32})
    with pytest.raises(UserError, match="katkar2021 depend on the image size"):
        train(config, splits, RunWriter.create(tmp_path, config))


def diverged(writer):
    """Check that a run is recorded as diverged and has no export, and return it."""
    run = read_run(writer.path)
    assert (run.state, run.results, run.can_resume) == ("diverged", None, False)
    assert not (run.path / "model.onnx").exists()
    assert "\n" not in run.status.message
    return run


def test_a_loss_that_is_not_finite_in_the_first_epoch_ends_the_run(splits, tmp_path):
    config = small_config(optimizer={"name": "sgd", "learning_rate": 1e12})
    writer = RunWriter.create(tmp_path, config)
    with pytest.raises(UserError, match=r"diverged: the .* loss of epoch 1 is .* rate 1e\+12"):
        train(config, splits, writer)
    assert diverged(writer).log() == []


def test_a_loss_that_is_not_finite_later_keeps_the_log(splits, tmp_path, monkeypatch):
    rates = {0: 1e-3, 1: 1e30}
    monkeypatch.setattr(
        "fercore.training.trainer.schedules.learning_rate", lambda config, log: rates[len(log)]
    )
    writer = RunWriter.create(tmp_path, small_config())
    with pytest.raises(UserError, match=r"loss of epoch 2 is .*; its log is kept"):
        train(small_config(), splits, writer)
    assert [row.epoch for row in diverged(writer).log()] == [1]


def test_a_validation_loss_that_is_not_finite_ends_the_run(splits, tmp_path, monkeypatch):
    scores = {"loss": float("nan"), "nll": float("nan"), "accuracy": 0.1}
    monkeypatch.setattr(
        "fercore.training.trainer.TrainingModel.evaluate", lambda self, **options: scores
    )
    writer = RunWriter.create(tmp_path, small_config())
    with pytest.raises(UserError, match="the validation loss of epoch 1 is nan"):
        train(small_config(), splits, writer)
    diverged(writer)


@pytest.mark.parametrize("head", ["network", "random_forest"])
def test_outputs_that_are_not_finite_are_not_evaluated(splits, tmp_path, monkeypatch, head):
    """A weight may exceed the range of half precision, in which the network is stored."""
    nan = {"predict": (140, 7), "random_forest_head.forward": (600, 64)}
    for name, shape in nan.items():
        outputs = np.full(shape, np.nan, np.float32)
        monkeypatch.setattr(f"fercore.training.trainer.{name}", lambda *_, outputs=outputs: outputs)
    config = small_config(head=head, epochs=1)
    writer = RunWriter.create(tmp_path, config)
    with pytest.raises(UserError, match=r"outputs for .* images are not finite numbers"):
        train(config, splits, writer)
    assert [row.epoch for row in diverged(writer).log()] == [1]


@pytest.mark.parametrize("mode", ["precomputed", "online"])
def test_a_teacher_whose_outputs_are_not_finite_is_refused(
    splits, tmp_path, monkeypatch, finished, mode
):
    teacher = read_run(finished[2].path)
    nan = np.full((600, 7), np.nan, np.float32)
    monkeypatch.setattr("fercore.training.preparation.resolve_teachers", lambda *_: (teacher,))
    monkeypatch.setattr(
        "fercore.training.preparation.ensemble.ensemble_probabilities", lambda *_, **__: nan
    )
    monkeypatch.setattr("fercore.training.preparation.checkpoints.load_teacher", lambda *_: None)
    monkeypatch.setattr("fercore.training.preparation.forward", lambda *_: nan)
    field = {"teachers": [teacher.id], "mode": mode, "weight": 0.5, "temperature": 2}
    config = tiny_config(distillation=field)
    with pytest.raises(UserError, match=f"the teacher {teacher.id}, whose outputs for 600 of 600"):
        train(config, splits, RunWriter.create(tmp_path, config))


@pytest.mark.usefixtures("no_export")
def test_early_stopping_ends_a_run(splits, tmp_path):
    config = small_config(
        epochs=30,
        optimizer={"name": "sgd", "learning_rate": 1e-30},
        early_stopping={"monitor": "val_loss", "patience": 2},
    )
    writer = RunWriter.create(tmp_path, config)
    results = train(config, splits, writer)
    assert results.stopped_by == "early stopping"
    assert results.epochs_run == 3


@pytest.mark.usefixtures("no_export")
def test_doubled_augmentation_trains_on_originals_and_one_copy_of_each(splits, tmp_path):
    steps = set()
    config = small_config(augmentation=AUGMENTED | {"mode": "doubled"}, epochs=1)
    writer = RunWriter.create(tmp_path, config)
    train(config, splits, writer, on_progress=lambda progress: steps.add(progress.steps))
    assert max(steps) == -(-2 * 600 // 32)


@pytest.mark.usefixtures("no_export")
def test_a_training_with_the_svm_loss_logs_that_loss(tmp_path: Path):
    from fercore.training.trainer import train

    config = small_config(loss="l2_svm", epochs=2)
    writer = RunWriter.create(tmp_path, config)
    train(config, make_splits(), writer, command="test")
    first = read_run(writer.path).log()[0]
    # Seven scores near zero: half of six squared margins of one.
    assert 0 < first.val_loss < 6
    assert check_run(writer.path) == []
