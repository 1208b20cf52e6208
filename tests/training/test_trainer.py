import errno
import json

import numpy as np
import pytest

from fercore.errors import UserError
from fercore.evaluation.protocol import build_protocol
from fercore.evaluation.results import evaluate_predictions
from fercore.inference.dataset_evaluation import evaluate_onnx
from fercore.runs.checks import check_run
from fercore.runs.locks import HOST
from fercore.runs.reader import read_run
from fercore.runs.schema import FORMAT_VERSION
from fercore.runs.writer import RunWriter
from tests.format_1 import downgrade_run
from tests.tiny import tiny_config

pytestmark = pytest.mark.keras

AUGMENTED = {"rotation": 10, "horizontal_flip": True}


def train(config, splits, writer, **options):
    from fercore.training.trainer import train

    return train(config, splits, writer, command="fercore train tiny", **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run, trained once for all tests that only read it."""
    from tests.tiny import make_splits

    data = make_splits()
    config = tiny_config(
        augmentation=AUGMENTED, class_weights=True, drop_classes=["disgust"], epochs=4
    )
    writer = RunWriter.create(tmp_path_factory.mktemp("runs"), config)
    results = train(config, data, writer)
    return config, data, writer, results


def test_a_run_is_complete_consistent_and_has_learnt(finished):
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


def test_figures_can_be_computed_again_from_the_stored_predictions(finished):
    config, data, writer, results = finished
    run = read_run(writer.path)
    stored = {role: run.predictions(role) for role in ("validation", "test")}
    assert evaluate_predictions(build_protocol(config, data), stored) == results.splits
    assert list(stored["test"].ids) == list(data["test"].ids)


def test_the_checkpoint_is_the_best_epoch_on_validation(finished):
    _, _, writer, results = finished
    log = read_run(writer.path).log()
    best = max(row.val_accuracy for row in log)
    assert results.selection.value == best
    assert results.selection.epoch == next(r.epoch for r in log if r.val_accuracy == best)
    # In single precision, with kernels in half: close to what training saw in bfloat16.
    assert results.splits["validation"].accuracy == pytest.approx(best, abs=0.03)


def test_mixed_images_are_learnt_from_and_a_seed_repeats_it(tmp_path):
    from tests.tiny import make_splits

    policy = {"mixup": 0.2, "cutmix": 1.0, "erasing": 0.2, "noise": 0.02, "crop": 0.05}
    config = tiny_config(augmentation=policy, class_weights=True, epochs=4)
    logs = []
    for _ in range(2):
        writer = RunWriter.create(tmp_path, config)
        results = train(config, make_splits(), writer)
        logs.append([(row.loss, row.val_accuracy) for row in read_run(writer.path).log()])
        assert results.splits["test"].accuracy > 0.3
    assert logs[0] == logs[1]


def test_several_devices_are_a_matter_of_jax(tmp_path):
    config = tiny_config(devices=2)
    writer = RunWriter.create(tmp_path, config)
    from tests.tiny import make_splits

    with pytest.raises(UserError, match=r"devices = 2 on tensorflow; .* set KERAS_BACKEND=jax"):
        train(config, make_splits(), writer)
    assert read_run(writer.path).state == "failed"


def test_a_failure_without_words_is_named(tmp_path, monkeypatch):
    from tests.tiny import make_splits

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("fercore.models.build", fail)
    writer = RunWriter.create(tmp_path, tiny_config())
    with pytest.raises(MemoryError):
        train(tiny_config(), make_splits(), writer)
    run = read_run(writer.path)
    assert (run.state, run.status.message) == ("failed", "MemoryError")


def test_the_last_epoch_is_kept_where_the_config_says_so(tmp_path):
    from tests.tiny import make_splits

    # At this rate the validation accuracy falls in the last epoch.
    config = tiny_config(keep="last", optimizer={"learning_rate": 0.02}, epochs=3, seed=1)
    writer = RunWriter.create(tmp_path, config)
    results = train(config, make_splits(), writer)
    log = read_run(writer.path).log()
    assert (results.selection.epoch, results.selection.metric) == (3, "epoch")
    assert results.selection.value == log[-1].val_accuracy
    close = pytest.approx(log[-1].val_accuracy, abs=0.03)
    assert results.splits["validation"].accuracy == close


def test_the_average_of_the_weights_is_what_is_judged_and_training_goes_on_from_its_own(tmp_path):
    """Three averages of one training: none, a short one, and one longer than the training."""
    import keras

    from fercore import models
    from fercore.training import checkpoints
    from tests.tiny import make_splits

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
    (_, plain), (judged, own), (young, _) = (trained[average] for average in (0.0, 0.9, 0.999))
    # The average changes nothing in how the weights move...
    for one, other in zip(plain, own, strict=True):
        np.testing.assert_array_equal(one, other)
    # ...but is another set of weights, near them.
    kernels = [array for array in own if array.ndim == 4]
    averaged = [array for array in judged if array.ndim == 4]
    for weight, mean in zip(kernels, averaged, strict=True):
        assert 0 < np.abs(weight - mean).max() < 0.2
    # One that looks back on more steps than there were is the weights themselves.
    for weight, mean in zip(kernels, (w for w in young if w.ndim == 4), strict=True):
        np.testing.assert_array_equal(weight, mean)


def test_the_exported_network_says_what_keras_says(finished):
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


def test_evaluating_the_exported_network_gives_the_headline_figure(finished):
    _, data, writer, results = finished
    again = evaluate_onnx(read_run(writer.path), data, "test")
    assert again.n == results.splits["test"].n
    assert again.accuracy == results.splits["test"].accuracy


def test_the_layer_table_adds_up(finished):
    _, _, writer, results = finished
    layers = read_run(writer.path).layers()
    assert sum(layer.parameters for layer in layers) == results.parameters == 318_407
    assert layers[1].kind == "Conv2D"
    assert layers[1].detail == "3x3, valid, relu"
    assert layers[1].output_shape == [46, 46, 32]


def test_the_same_seed_gives_the_same_run_and_another_does_not(splits, tmp_path):
    logs = []
    for seed in (1, 1, 2):
        writer = RunWriter.create(tmp_path, tiny_config(seed=seed, epochs=2))
        train(tiny_config(seed=seed, epochs=2), splits, writer)
        logs.append([(row.loss, row.val_loss) for row in read_run(writer.path).log()])
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]


def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(splits, tmp_path):
    optimizer = {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9, "nesterov": True}
    config = tiny_config(
        augmentation=AUGMENTED,
        schedule={"kind": "cosine"},
        optimizer=optimizer | {"ema_momentum": 0.9},
    )
    whole = RunWriter.create(tmp_path, config)
    train(config, splits, whole)

    parts = RunWriter.create(tmp_path, config)

    def interrupt(progress):
        if progress.epoch == 2 and progress.step > 5:
            raise KeyboardInterrupt

    results = train(config, splits, parts, on_progress=interrupt)
    assert results.stopped_by == "interrupt"
    assert results.epochs_run == 1
    assert check_run(parts.path) == []

    results = train(config, splits, RunWriter(parts.path), resume=True)
    assert results.stopped_by == "epochs"
    sessions = read_run(parts.path).environment.sessions
    assert [(own.first_epoch, own.host) for own in sessions] == [(1, HOST), (2, HOST)]
    expected, got = read_run(whole.path).log(), read_run(parts.path).log()
    assert [row.epoch for row in got] == [1, 2, 3]
    for left, right in zip(expected, got, strict=True):
        assert right.learning_rate == left.learning_rate
        assert right.loss == pytest.approx(left.loss, rel=1e-6)
        assert right.val_loss == pytest.approx(left.val_loss, rel=1e-6)
    assert check_run(parts.path) == []


SHORT_TRAINING = {
    "model": "vgg",
    "model_options": {"variant": "tiny", "whitening": True, "initializer": "dirac"},
    "image": {"size": 24},
    "augmentation": {"horizontal_flip": True, "alternating_flip": True},
    "optimizer": {"name": "adamw", "ema_momentum": 0.9, "batch_norm_bias_rate": 4},
    "progressive_resizing": {"size": 16, "fraction": 0.67},
}


def test_progressive_resizing_grows_the_images_and_can_be_resumed(splits, tmp_path):
    config = tiny_config(**SHORT_TRAINING)
    whole, parts = RunWriter.create(tmp_path, config), RunWriter.create(tmp_path, config)
    results = train(config, splits, whole)
    log = read_run(whole.path).log()
    assert [row.image_size for row in log] == [16, 16, 24]
    assert results.selection.epoch == 3
    assert read_run(whole.path).layers()[0].output_shape[:2] == [24, 24]
    assert check_run(whole.path) == []

    def interrupt(progress):
        if progress.epoch == 2 and progress.step:
            raise KeyboardInterrupt

    train(config, splits, parts, on_progress=interrupt)
    train(config, splits, RunWriter(parts.path), resume=True)
    got = read_run(parts.path).log()
    assert [row.image_size for row in got] == [16, 16, 24]
    for left, right in zip(log, got, strict=True):
        assert right.loss == pytest.approx(left.loss, rel=1e-6)
        assert right.val_loss == pytest.approx(left.val_loss, rel=1e-6)


def test_whitening_sees_training_images_alone(splits, tmp_path, monkeypatch):
    import fercore.training.preparation

    seen = []
    monkeypatch.setattr(
        fercore.training.preparation, "adapt_whitening", lambda network, images: seen.append(images)
    )
    config = tiny_config(epochs=1)
    train(config, splits, RunWriter.create(tmp_path, config))
    assert [len(images) for images in seen] == [len(splits["train"])]


def test_progressive_resizing_needs_a_smaller_size_first(splits):
    config = tiny_config(**SHORT_TRAINING | {"progressive_resizing": {"size": 24}})
    with pytest.raises(UserError, match="size = 24, but the images are 24 pixels wide"):
        build_protocol(config, splits)


def test_progressive_resizing_needs_weights_that_fit_every_size(splits, tmp_path):
    config = tiny_config(progressive_resizing={"size": 32})
    with pytest.raises(UserError, match="katkar2021 depend on the image size"):
        train(config, splits, RunWriter.create(tmp_path, config))


def test_epochs_that_were_not_saved_are_trained_again(splits, tmp_path, monkeypatch):
    """As on a GPU, where saving every epoch would take as long as training it."""
    config = tiny_config(keep="last", epochs=4)
    writer = RunWriter.create(tmp_path, config)
    monkeypatch.setattr("fercore.training.trainer.SAVE_SECONDS", 1000)

    def interrupt(progress):
        if progress.epoch == 3 and progress.step > 5:
            raise KeyboardInterrupt

    results = train(config, splits, writer, on_progress=interrupt)
    assert (results.epochs_run, results.selection.epoch) == (1, 1)
    stopped = read_run(writer.path)
    assert [row.epoch for row in stopped.log()] == [1]
    assert stopped.status.epoch == 1
    assert check_run(writer.path) == []
    results = train(config, splits, RunWriter(writer.path), resume=True)
    assert (results.epochs_run, results.selection.epoch) == (4, 4)
    assert [row.epoch for row in read_run(writer.path).log()] == [1, 2, 3, 4]
    monkeypatch.setattr("fercore.training.trainer.SAVE_SECONDS", 0)
    every = RunWriter.create(tmp_path, config)
    assert train(config, splits, every, on_progress=interrupt).epochs_run == 2


def test_a_log_line_without_its_checkpoint_is_trained_again(splits, tmp_path):
    """What a kill between the two writes leaves behind."""
    config = tiny_config()
    writer = RunWriter.create(tmp_path, config)
    train(config.model_copy(update={"epochs": 2}), splits, writer)
    log = writer.path / "log.jsonl"
    orphan = json.loads(log.read_text().splitlines()[-1]) | {"epoch": 3, "val_accuracy": 1.0}
    log.write_text(log.read_text() + json.dumps(orphan) + "\n" + '{"epoch": 4, "lo')
    results = train(config, splits, RunWriter(writer.path), resume=True)
    rows = read_run(writer.path).log()
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert rows[2].val_accuracy == pytest.approx(results.selection.value) or (
        rows[2].val_accuracy < results.selection.value < 1
    )


def test_an_interrupt_after_the_last_epoch_stops_nothing(splits, tmp_path):
    config = tiny_config(epochs=2)
    writer = RunWriter.create(tmp_path, config)

    def interrupt(progress):
        if progress.row and progress.row.epoch == 2:
            raise KeyboardInterrupt

    results = train(config, splits, writer, on_progress=interrupt)
    assert (results.stopped_by, results.epochs_run) == ("epochs", 2)
    assert read_run(writer.path).completed


def test_an_interrupt_before_the_first_epoch_leaves_a_run_that_says_so(splits, tmp_path):
    config = tiny_config()
    writer = RunWriter.create(tmp_path, config)

    def interrupt(progress):
        if progress.step > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, splits, writer, on_progress=interrupt)
    run = read_run(writer.path)
    assert (run.state, run.can_resume, run.has_no_progress) == ("interrupted", True, True)
    (writer.path / "log.jsonl").write_text('{"epoch": 1, "lo')
    longer = tiny_config(epochs=4)
    train(longer, splits, RunWriter.claim(writer.path), resume=True)
    assert check_run(writer.path) == []
    run = read_run(writer.path)
    assert (run.config, [row.epoch for row in run.log()]) == (longer, [1, 2, 3, 4])


def diverged(writer):
    """A run that diverged, after checking that it says so and exports nothing."""
    run = read_run(writer.path)
    assert (run.state, run.results, run.can_resume) == ("diverged", None, False)
    assert not (run.path / "model.onnx").exists()
    assert "\n" not in run.status.message
    return run


def test_a_loss_that_is_not_finite_in_the_first_epoch(splits, tmp_path):
    config = tiny_config(optimizer={"name": "sgd", "learning_rate": 1e12})
    writer = RunWriter.create(tmp_path, config)
    with pytest.raises(UserError, match=r"diverged: the .* loss of epoch 1 is .* rate 1e\+12"):
        train(config, splits, writer)
    assert diverged(writer).log() == []


def test_a_loss_that_is_not_finite_later_keeps_the_log(splits, tmp_path, monkeypatch):
    rates = {0: 1e-3, 1: 1e30}
    monkeypatch.setattr(
        "fercore.training.trainer.schedules.learning_rate", lambda config, log: rates[len(log)]
    )
    writer = RunWriter.create(tmp_path, tiny_config())
    with pytest.raises(UserError, match=r"loss of epoch 2 is .*; its log is kept"):
        train(tiny_config(), splits, writer)
    assert [row.epoch for row in diverged(writer).log()] == [1]


def test_a_validation_loss_that_is_not_finite(splits, tmp_path, monkeypatch):
    scores = {"loss": float("nan"), "nll": float("nan"), "accuracy": 0.1}
    monkeypatch.setattr(
        "fercore.training.trainer.TrainingModel.evaluate", lambda self, **options: scores
    )
    writer = RunWriter.create(tmp_path, tiny_config())
    with pytest.raises(UserError, match="the validation loss of epoch 1 is nan"):
        train(tiny_config(), splits, writer)
    diverged(writer)


@pytest.mark.parametrize("head", ["network", "random_forest"])
def test_outputs_that_are_not_finite_are_not_evaluated(splits, tmp_path, monkeypatch, head):
    """As where a weight is too large for the half precision that the network is stored in."""
    nan = {"predict": (140, 7), "random_forest_head.forward": (600, 64)}
    for name, shape in nan.items():
        outputs = np.full(shape, np.nan, np.float32)
        monkeypatch.setattr(f"fercore.training.trainer.{name}", lambda *_, outputs=outputs: outputs)
    config = tiny_config(head=head, epochs=1)
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


@pytest.fixture
def interrupted(splits, tmp_path, monkeypatch):
    """A run of three epochs that was stopped in the third."""
    monkeypatch.setattr("fercore.training.trainer.SAVE_SECONDS", 0)

    def interrupt(progress):
        if progress.epoch == 3 and progress.step > 3:
            raise KeyboardInterrupt

    writer = RunWriter.create(tmp_path, tiny_config())
    train(tiny_config(), splits, writer, on_progress=interrupt)
    return writer.path


def damage(path, line):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = b'{"epoch": 1, "los\x00\n'
    path.write_bytes(b"".join(lines))


def test_a_log_that_was_damaged_is_restored_from_the_checkpoint(splits, interrupted):
    path = interrupted
    before = read_run(path).log()
    damage(path / "log.jsonl", 0)
    # Weights of another epoch, as a kill between two files used to leave.
    (path / "checkpoints" / "best.npz").unlink()
    notes = []
    results = train(
        tiny_config(),
        splits,
        RunWriter.claim(path),
        resume=True,
        on_progress=lambda progress: notes.append(progress.note),
    )
    assert [note for note in notes if note] == [
        "log.jsonl is damaged; its rows are restored from the checkpoint"
    ]
    log = read_run(path).log()
    assert log[:2] == before
    assert [row.epoch for row in log] == [1, 2, 3]
    best = max(log, key=lambda row: (row.val_accuracy, -row.epoch))
    assert results.selection.epoch == best.epoch
    assert check_run(path) == []


def test_a_checkpoint_of_an_earlier_version_needs_its_log_and_its_best_weights(splits, interrupted):
    """They lay in files of their own."""
    path = interrupted
    last, best = (path / "checkpoints" / f"{name}.npz" for name in ("last", "best"))
    with np.load(last) as stored:
        arrays = {name: stored[name] for name in stored.files if name[0] in "0e"}
    np.savez(last, **arrays)
    whole = (path / "log.jsonl").read_bytes()
    damage(path / "log.jsonl", 0)
    with pytest.raises(UserError, match=r"received 0 epochs in order, expected the epochs 1 to 2"):
        train(tiny_config(), splits, RunWriter.claim(path), resume=True)
    (path / "log.jsonl").write_bytes(whole)
    with np.load(best) as stored:
        np.savez(best, **dict(stored) | {"epoch": np.int64(3)})
    with pytest.raises(UserError, match=r"is of epoch 3, but last\.npz is of epoch 2"):
        train(tiny_config(), splits, RunWriter.claim(path), resume=True)
    with np.load(best) as stored:
        np.savez(best, **dict(stored) | {"epoch": np.int64(1)})
    train(tiny_config(), splits, RunWriter.claim(path), resume=True)
    assert check_run(path) == []


def test_a_run_of_format_1_is_resumed_and_written_in_the_present_format(splits, interrupted):
    path = interrupted
    present = (path / "config.json").read_text()
    downgrade_run(path)
    assert '"honest": true' in (path / "config.json").read_text()
    run = read_run(path)
    assert run.experiment.is_same_experiment(tiny_config())
    train(run.experiment, splits, RunWriter.claim(path), resume=True)
    again = read_run(path)
    assert [row.epoch for row in again.log()] == [1, 2, 3]
    assert (path / "config.json").read_text() == present
    assert again.environment.format_version == again.results.format_version == FORMAT_VERSION
    assert check_run(path) == []


def test_a_full_disk_loses_nothing_that_was_written(splits, tmp_path, monkeypatch):
    config = tiny_config()
    writer = RunWriter.create(tmp_path, config)
    append = writer.append_log

    def fill(row):
        if row.epoch == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(row)

    monkeypatch.setattr(writer, "append_log", fill)
    with pytest.raises(OSError, match="No space left"):
        train(config, splits, writer)
    run = read_run(writer.path)
    assert run.state == "failed"
    assert [row.epoch for row in run.log()] == [1]
    results = train(config, splits, RunWriter(writer.path), resume=True)
    assert results.epochs_run == 3
    assert check_run(writer.path) == []


def test_early_stopping_ends_a_run(splits, tmp_path):
    config = tiny_config(
        epochs=30,
        optimizer={"name": "sgd", "learning_rate": 1e-30},
        early_stopping={"monitor": "val_loss", "patience": 2},
    )
    writer = RunWriter.create(tmp_path, config)
    results = train(config, splits, writer)
    assert results.stopped_by == "early stopping"
    assert results.epochs_run == 3


def test_doubling_trains_on_the_originals_and_one_copy_of_each(splits, tmp_path):
    steps = set()
    config = tiny_config(augmentation=AUGMENTED | {"mode": "doubled"}, epochs=1)
    writer = RunWriter.create(tmp_path, config)
    train(config, splits, writer, on_progress=lambda progress: steps.add(progress.steps))
    assert max(steps) == -(-2 * 600 // 32)


def test_label_smoothing_and_its_gradient_free_value():
    import keras

    from fercore.training.losses import CrossEntropy

    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 7, 20), rng.normal(size=(20, 7)).astype(np.float32)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    plain = -log_p[np.arange(20), labels]
    assert np.asarray(CrossEntropy().call(labels, logits)) == pytest.approx(plain, rel=1e-5)
    targets = np.eye(7)[labels] * 0.9 + 0.1 / 7
    expected = keras.losses.categorical_crossentropy(targets, logits, from_logits=True)
    smoothed = np.asarray(CrossEntropy(0.1).call(labels, logits))
    assert smoothed == pytest.approx(np.asarray(expected), rel=1e-5)


@pytest.mark.parametrize("decay", [0.5, 0.0])
@pytest.mark.parametrize("name", ["adam", "sgd", "adamw", "muon"])
def test_weight_decay_shrinks_kernels_and_nothing_else(name, decay):
    import keras

    from fercore.config.training import OptimizerConfig
    from fercore.training.optimizers import build_optimizer

    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(2, 3, bias_initializer="ones"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(3, bias_initializer="ones"),
        ]
    )
    optimizer = build_optimizer(OptimizerConfig(name=name, learning_rate=0.1, weight_decay=decay))
    weights = network.trainable_variables
    before = [np.array(keras.ops.convert_to_numpy(weight)) for weight in weights]
    optimizer.build(weights)
    optimizer.apply([keras.ops.zeros_like(weight) for weight in weights], weights)
    for weight, value in zip(weights, before, strict=True):
        wanted = value * (1 - 0.1 * decay) if weight.name == "kernel" else value
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_biases_of_batch_normalisation_can_learn_faster(name):
    import keras

    from fercore.config.training import OptimizerConfig
    from fercore.training.optimizers import build_optimizer

    def changes(factor):
        config = OptimizerConfig(name=name, learning_rate=0.01, batch_norm_bias_rate=factor)
        layer = keras.layers.BatchNormalization()
        layer.build((None, 4))
        weights = layer.trainable_variables
        before = [np.array(keras.ops.convert_to_numpy(weight)) for weight in weights]
        optimizer = build_optimizer(config)
        optimizer.build(weights)
        optimizer.apply([keras.ops.ones_like(weight) for weight in weights], weights)
        after = [keras.ops.convert_to_numpy(weight) for weight in weights]
        names = [weight.name for weight in weights]
        return dict(zip(names, np.subtract(after, before), strict=True))

    plain, scaled = changes(1), changes(8)
    np.testing.assert_allclose(scaled["beta"], 8 * plain["beta"], rtol=1e-4)
    np.testing.assert_allclose(scaled["gamma"], plain["gamma"], rtol=1e-6)


def test_a_gpu_that_the_backend_does_not_see_is_noticed(monkeypatch):
    from fercore import machine
    from fercore.training import device

    monkeypatch.setattr(device, "has_gpu", lambda: False)
    monkeypatch.setattr(machine, "has_nvidia_gpu", lambda: True)
    assert device.has_unused_gpu()
    monkeypatch.setattr(machine, "has_nvidia_gpu", lambda: False)
    assert not device.has_unused_gpu()
    monkeypatch.setattr(device, "has_gpu", lambda: True)
    monkeypatch.setattr(machine, "has_nvidia_gpu", lambda: True)
    assert not device.has_unused_gpu()


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (3, 3, 2, 24), (6, 40)])
def test_muon_gives_kernels_of_convolutions_orthogonal_updates(shape):
    import keras

    from fercore.config.training import OptimizerConfig
    from fercore.training.optimizers import build_optimizer

    weight = keras.Variable(np.zeros(shape, np.float32), name="kernel")
    optimizer = build_optimizer(OptimizerConfig(name="muon", learning_rate=0.1, weight_decay=0.0))
    optimizer.build([weight])
    gradient = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    optimizer.apply([gradient], [weight])
    update = keras.ops.convert_to_numpy(weight.value).reshape(-1, shape[-1])
    # Moonlight's scale, and Newton-Schulz iterations, which end near one.
    singular = np.linalg.svd(update, compute_uv=False) / (0.1 * 0.2 * max(update.shape) ** 0.5)
    assert singular.min() > 0.6
    assert singular.max() < 1.3
    assert np.sum(update * gradient.reshape(update.shape)) < 0


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_young_average_begins_with_the_weights_of_the_epoch(precision):
    import keras

    from fercore import models
    from fercore.training import device
    from fercore.training.model import TrainingModel

    config = tiny_config(optimizer={"ema_momentum": 0.99})
    images = np.zeros((8, 48, 48), np.uint8)
    with device.use_dtype_policy(precision):
        network = models.build("katkar2021", (48, 48, 1), 7, {"variant": "model2"})
        trainee = TrainingModel(network, config, images)
    kernel = network.trainable_variables[0]
    kernel.assign(keras.ops.ones_like(kernel))

    def seen() -> float:
        with trainee.ema_weights(np.arange(8, dtype=np.int32)):
            return float(keras.ops.max(keras.ops.abs(kernel - 1)))

    trainee.reset_ema_during_warmup(epoch=3, steps=50)  # 150 steps: old enough to go on
    assert seen() > 0.5
    trainee.reset_ema_during_warmup(epoch=1, steps=50)
    assert seen() == 0
    assert float(keras.ops.max(keras.ops.abs(kernel - 1))) == 0


def test_batch_normalisation_goes_by_what_it_sees_with_averaged_weights():
    """Weights that swing about their mean: none of them spreads what it sees as little as that."""
    import keras

    from fercore.models._layers import BatchNormalization
    from fercore.training.model import TrainingModel

    images = np.random.default_rng(0).integers(0, 256, (96, 8, 8), np.uint8)
    pixels = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 1, use_bias=False, name="kernel")(pixels)
    x = BatchNormalization(momentum=0.5, name="normal")(x)
    x = keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(x))
    network = keras.Model(pixels, x)
    trainee = TrainingModel(
        network, tiny_config(optimizer={"ema_momentum": 0.9}, batch_size=16), images
    )
    kernel, normal = network.get_layer("kernel").kernel, network.get_layer("normal")
    kernel.assign(keras.ops.full_like(kernel, 0.1))
    trainee.reset_ema_during_warmup(epoch=1, steps=1)
    kernel.assign(keras.ops.ones_like(kernel))
    normal.moving_variance.assign(keras.ops.full((4,), 5000.0))

    order = np.arange(96, dtype=np.int32)
    with trainee.ema_weights(order):
        # Six of the seven batches that would be seen, and a share of what was known before.
        seen = np.var(images.reshape(6, -1), axis=1) * 0.1**2
        expected = 5000 * 0.5**6 + sum(0.5 ** (6 - n) * v for n, v in enumerate(seen))
        np.testing.assert_allclose(normal.moving_variance, np.full(4, expected), rtol=1e-3)
    np.testing.assert_array_equal(normal.moving_variance, np.full(4, 5000.0))
    np.testing.assert_array_equal(kernel, np.ones((1, 1, 1, 4)))


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    from fercore import models
    from fercore.training import checkpoints

    small = models.build("katkar2021", (48, 48, 1), 7)
    large = models.build("le2019", (48, 48, 1), 7)
    path = tmp_path / "weights.npz"
    checkpoints.save(path, small.variables, epoch=5)
    assert checkpoints.load(path, small.variables) == 5
    with pytest.raises(UserError, match="do not fit"):
        checkpoints.load(path, large.variables)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        checkpoints.load(path, small.variables)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="damaged"):
        checkpoints.load(path, small.variables)


def test_a_checkpoint_that_does_not_fit_on_the_disk_replaces_nothing(tmp_path, monkeypatch):
    from fercore.training import checkpoints

    old, new = [np.zeros(3, np.float32)], [np.ones(3, np.float32)]
    last = tmp_path / "last.npz"
    checkpoints.save_training(last, old, checkpoints.Weights(0, old), [])
    stored = last.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save_training(last, new, checkpoints.Weights(0, new), [])
    assert last.read_bytes() == stored
    assert list(tmp_path.iterdir()) == [last]
