"""Networks that learn from others' answers, and who may lend its weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fercore.config.run import Combination, CombinedConfig, RunConfig
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.runs.lineage import iter_ancestors
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run, read_log, read_run
from fercore.runs.writer import RunWriter
from fercore.training.warm_start import resolve_initial_run, resolve_teachers
from tests.tiny import make_splits, tiny_config

pytestmark = pytest.mark.keras


def train(config, splits, root):
    from fercore.training.trainer import train

    writer = RunWriter.create(root, config)
    return writer.path, train(config, splits, writer, command="test")


@pytest.fixture(scope="module")
def taught(tmp_path_factory, trained) -> tuple[Path, Splits, Path]:
    """A runs root with two seeds of a teacher, the data, and the run of who learnt from them."""
    root, data = tmp_path_factory.mktemp("runs"), make_splits()
    for seed in (1, 0):
        teacher = trained(tiny_config(name="teacher", seed=seed, epochs=4))
        shutil.copytree(teacher.path, root / teacher.id)
    student = tiny_config(
        name="student",
        distillation={"teachers": ["teacher"], "weight": 1.0, "temperature": 1.5},
        augmentation={"brightness": 0.1, "mixup": 0.3},
        optimizer={"ema_momentum": 0.9},
        epochs=4,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fercore.training.onnx_export.is_available", lambda: False)
        path, _ = train(student, data, root)
    return root, data, path


def test_every_seed_of_an_experiment_teaches(taught):
    root, data, _ = taught
    config = tiny_config(distillation={"teachers": ["teacher"]})
    found = resolve_teachers(root, config, data)
    assert [run.experiment.seed for run in found] == [0, 1]
    by_id = tiny_config(distillation={"teachers": [found[1].id, found[1].id]})
    assert [run.id for run in resolve_teachers(root, by_id, data)] == [found[1].id]
    assert resolve_teachers(root, tiny_config(), data) == ()


def test_a_network_learns_from_answers_alone(taught):
    """It never sees a label here, only what two networks say of mixed images."""
    root, data, path = taught
    run = read_run(path)
    assert run.results.splits["test"].accuracy > 0.6
    losses = [row.loss for row in read_log(path)]
    assert losses[-1] < losses[0]
    teachers = resolve_teachers(root, tiny_config(distillation={"teachers": ["teacher"]}), data)
    said = np.mean([run.predictions("test").probabilities for run in teachers], axis=0)
    own = run.predictions("test").probabilities
    assert (own.argmax(axis=1) == said.argmax(axis=1)).mean() > 0.7


def test_the_loss_is_the_divergence_from_the_mean_answer_and_teachers_never_change(taught):
    import keras
    from scipy.special import rel_entr, softmax

    from fercore import models
    from fercore.training import checkpoints
    from fercore.training.model import TrainingModel

    root, data, _ = taught
    options = {"teachers": ["teacher"], "weight": 0.3, "temperature": 2.0}
    config = tiny_config(distillation=options, precision="float32", label_smoothing=0.1)
    keras.utils.set_random_seed(5)
    network = models.build(config.model, (48, 48, 1), 7, config.model_options)
    runs = resolve_teachers(root, config, data)
    teachers = [checkpoints.load_teacher(run, (48, 48, 1)) for run in runs]
    trainee = TrainingModel(network, config, data["train"].images, teachers)
    assert len(trainee.trainable_variables) == len(network.trainable_variables)

    positions, labels = np.arange(24, dtype=np.int32), data["train"].labels[:24]
    weights = np.linspace(0.5, 2, 24, dtype=np.float32)
    keras.utils.set_random_seed(6)
    trainee.reseed(0, 1)
    logits = trainee(positions, training=True)
    found = float(trainee.compute_loss(positions, labels, logits, weights, training=True))

    pixels = data["train"].images[:24, ..., None].astype(np.float32)
    logits = keras.ops.convert_to_numpy(logits).astype(np.float64)
    answers = [keras.ops.convert_to_numpy(t(pixels)).astype(np.float64) for t in teachers]
    mean = np.mean([softmax(a / 2, axis=1) for a in answers], axis=0)
    divergence = rel_entr(mean, softmax(logits / 2, axis=1)).sum(axis=1) * 4
    targets = np.eye(7)[labels] * 0.9 + 0.1 / 7
    entropy = -(targets * np.log(softmax(logits, axis=1))).sum(axis=1)
    by_hand = (weights * (0.7 * entropy + 0.3 * divergence)).mean()
    assert found == pytest.approx(by_hand, rel=1e-5)

    before = [keras.ops.convert_to_numpy(v.value) for t in teachers for v in t.variables]
    trainee.fit(positions, labels, batch_size=24, verbose=0)
    after = [keras.ops.convert_to_numpy(v.value) for t in teachers for v in t.variables]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_answers_that_were_asked_for_once_are_learnt_beside_the_labels(taught):
    """By their files alone; those of mixed images are mixed like their labels."""
    import keras
    from scipy.special import rel_entr, softmax

    from fercore import models
    from fercore.inference.ensemble import ensemble_probabilities
    from fercore.training import checkpoints
    from fercore.training.model import TrainingModel

    root, data, _ = taught
    options = {"teachers": ["teacher"], "mode": "precomputed", "weight": 0.3, "temperature": 2.0}
    mixing = {"mixup": 1.0}
    config = tiny_config(distillation=options, augmentation=mixing, precision="float32")
    runs = resolve_teachers(root, config, data)
    images, labels = data["train"].images[:24], data["train"].labels[:24]
    said = ensemble_probabilities(runs, images, mirrored=True)
    pixels = images[..., None].astype(np.float32)
    views = (pixels, pixels[:, :, ::-1])
    networks = [checkpoints.load_teacher(run, (48, 48, 1)) for run in runs]
    asked = [keras.ops.convert_to_numpy(n(v)) for n in networks for v in views]
    # Their files hold kernels in half precision.
    np.testing.assert_allclose(said, np.mean([softmax(a, 1) for a in asked], axis=0), atol=2e-3)

    keras.utils.set_random_seed(5)
    network = models.build(config.model, (48, 48, 1), 7, config.model_options)
    trainee = TrainingModel(network, config, data["train"].images, teacher_probabilities=said)
    positions = np.arange(23, -1, -1, dtype=np.int32)
    trainee.reseed(0, 1)
    logits = trainee(positions, training=True)
    partner, share = (keras.ops.convert_to_numpy(part) for part in trainee._mixing)
    found = float(trainee.compute_loss(positions, labels[positions], logits, None, training=True))

    assert share.min() < 0.9
    assert (partner != np.arange(24)).any()

    def both(of_each):
        return share[:, None] * of_each + (1 - share[:, None]) * of_each[partner]

    logits = keras.ops.convert_to_numpy(logits).astype(np.float64)
    targets = both(np.eye(7)[labels[positions]])
    entropy = -(targets * np.log(softmax(logits, axis=1))).sum(axis=1)
    warm = both(softmax(np.log(said[positions].astype(np.float64)) / 2, axis=1))
    divergence = rel_entr(warm, softmax(logits / 2, axis=1)).sum(axis=1) * 4
    assert found == pytest.approx((0.7 * entropy + 0.3 * divergence).mean(), rel=1e-5)


@pytest.mark.usefixtures("no_export")
def test_a_clone_learns_from_networks_without_their_checkpoints(taught, tmp_path):
    root, data, _ = taught
    kept = shutil.ignore_patterns("checkpoints")
    for run in list_runs(root):
        if run.config.name == "teacher":
            shutil.copytree(run.path, tmp_path / run.id, ignore=kept)
    options = {"teachers": ["teacher"], "weight": 1.0}
    by_id = options | {"teachers": [list_runs(tmp_path)[0].id]}
    for asked_always in (options, by_id):
        with pytest.raises(
            UserError, match=r'use its model\.onnx instead: distillation\.mode = "pre'
        ):
            resolve_teachers(tmp_path, tiny_config(distillation=asked_always), data)
    options |= {"mode": "precomputed"}
    half = {"precision": "mixed_bfloat16"}
    config = tiny_config(name="student", distillation=options, epochs=4, **half)
    path, results = train(config, data, tmp_path)
    assert results.splits["test"].accuracy > 0.6
    (tmp_path / by_id["teachers"][0] / "model.onnx").unlink()
    assert len(resolve_teachers(tmp_path, config, data)) == 1
    without = tiny_config(distillation=options | by_id | {"mode": "precomputed"})
    with pytest.raises(UserError, match=r"which lacks its model\.onnx; train it again and"):
        resolve_teachers(tmp_path, without, data)
    assert read_run(path).experiment.distillation.mode == "precomputed"


@pytest.mark.usefixtures("no_export")
def test_a_training_learns_what_was_said_of_each_image(monkeypatch, taught, tmp_path):
    """Of each as it stands on the device, copies included: here, always the class after its own."""

    root, data, _ = taught
    asked = []

    def wrong(teachers, images, mirrored):
        asked.append((len(teachers), mirrored))
        own = np.concatenate([data["train"].labels, data["train"].labels])
        assert len(images) == len(own)
        return np.eye(7, dtype=np.float32)[(own + 1) % 7]

    monkeypatch.setattr("fercore.training.preparation.ensemble.ensemble_probabilities", wrong)
    for run in list_runs(root):
        if run.config.name == "teacher":
            shutil.copytree(run.path, tmp_path / run.id)
    config = tiny_config(
        name="misled",
        distillation={"teachers": ["teacher"], "mode": "precomputed", "weight": 1.0},
        augmentation={"mode": "doubled", "horizontal_flip": True},
        epochs=3,
    )
    path, results = train(config, data, tmp_path)
    assert asked == [(2, True)]
    said = read_run(path).predictions("test")
    after = (said.labels + 1) % 7
    assert (said.probabilities.argmax(axis=1) == after).mean() > 0.6
    assert results.splits["test"].accuracy < 0.3


def test_who_was_taught_by_other_runs_is_another_experiment():
    runs = ["a-s0-20260101T000000", "b-s1-f2-20260101T000000"]
    one = tiny_config(distillation={"teachers": runs})
    assert one.is_same_experiment(tiny_config(distillation={"teachers": runs[::-1]}, seed=3))
    assert not one.is_same_experiment(tiny_config(distillation={"teachers": runs[:1]}))
    assert not one.is_same_experiment(tiny_config())
    # An experiment's name stands for the runs that are there.
    assert one.is_same_experiment(tiny_config(distillation={"teachers": ["a", "b"]}))
    for others in (["b"], ["a", "c"], []):
        assert not one.is_same_experiment(tiny_config(distillation={"teachers": others}))


def test_who_may_know_what_is_judged_does_not_teach(taught, tmp_path):
    root, data, _ = taught
    wanted = {"teachers": ["teacher"]}
    random = tiny_config(distillation=wanted, protocol={"split": "random"})
    with pytest.raises(UserError, match="trained on other samples and may have seen"):
        resolve_teachers(root, random, data)
    left_out = tiny_config(distillation=wanted, protocol={"leave_out": ["repeats"]})
    assert len(resolve_teachers(root, left_out, data)) == 2
    faulty = {"split": "random", "select_on": "test", "leak_free": False}
    assert len(resolve_teachers(root, tiny_config(distillation=wanted, protocol=faulty), data)) == 2
    other = Splits(data.name, data.class_names, data.parts, data.titles, "another")
    with pytest.raises(UserError, match="other samples"):
        resolve_teachers(root, tiny_config(distillation=wanted), other)


def test_who_cannot_teach_is_said_in_one_line(taught, tmp_path):
    root, data, path = taught
    wanted = tiny_config(distillation={"teachers": ["nobody"]})
    with pytest.raises(UserError, match=r"'nobody', which is neither .* expected a run under"):
        resolve_teachers(root, wanted, data)
    small = tiny_config(distillation={"teachers": [path.name]}, image={"size": 32})
    with pytest.raises(UserError, match="has other images or classes"):
        resolve_teachers(root, small, data)
    larger = Splits(
        data.name,
        data.class_names,
        {k: replace(v, images=np.pad(v.images, ((0,), (8,), (8,)))) for k, v in data.parts.items()},
        data.titles,
        data.fingerprint,
    )
    with pytest.raises(UserError, match=r"48 pixels wide, .* 64 .*; expected image\.size = 48"):
        resolve_teachers(root, tiny_config(distillation={"teachers": [path.name]}), larger)
    alone = tmp_path / path.name
    alone.mkdir()
    for file in path.iterdir():
        if file.is_file():
            (alone / file.name).write_bytes(file.read_bytes())
    assert list_runs(tmp_path)[0].results
    with pytest.raises(UserError, match="which lacks its checkpoint"):
        resolve_teachers(tmp_path, tiny_config(distillation={"teachers": [path.name]}), data)


def test_a_trial_does_not_teach_under_the_name_of_an_experiment(monkeypatch, tmp_path):
    from fercore.config.loading import load_config
    from fercore.training import warm_start
    from tests.tiny import UntrainedRun

    monkeypatch.setattr(warm_start, "_find_teacher_problems", lambda *_: iter(()))
    whole = [UntrainedRun(load_config("facet-base", {"seed": seed}), 100) for seed in range(2)]
    trial = UntrainedRun(load_config("facet-base", {"seed": 2, "epochs": 1}), 100)
    for run in (trial, *whole):
        object.__setattr__(run, "path", tmp_path / run.path)
        run.best_path.parent.mkdir(parents=True)
        run.best_path.touch()
    monkeypatch.setattr(warm_start, "list_runs", lambda root: [trial, *whole])
    wanted = tiny_config(distillation={"teachers": ["facet-base"]})
    found = warm_start.resolve_teachers(tmp_path, wanted, make_splits())
    assert [run.experiment.seed for run in found] == [0, 1]


def test_weights_that_have_seen_what_is_judged_are_not_started_from(taught):
    root, data, _ = taught
    teacher = next(run for run in list_runs(root) if run.config.name == "teacher")
    random = {"init_from": teacher.id, "protocol": {"split": "random"}}
    with pytest.raises(UserError, match="trained on other samples and may have seen"):
        resolve_initial_run(root, tiny_config(**random), data)
    # On other images, and where a published protocol says that it does.
    assert resolve_initial_run(root, tiny_config(**random, dataset="other"), data).id == teacher.id
    random["protocol"] |= {"leak_free": False}
    assert resolve_initial_run(root, tiny_config(**random), data).id == teacher.id
    started = tiny_config(init_from=teacher.id)
    assert resolve_initial_run(root, started, data).id == teacher.id
    assert resolve_initial_run(root, tiny_config(), data) is None
    other = Splits(data.name, data.class_names, data.parts, data.titles, "another")
    with pytest.raises(UserError, match="other samples"):
        resolve_initial_run(root, started, other)


def test_weights_of_another_image_size_are_not_started_from(taught):
    root, data, path = taught
    with pytest.raises(UserError, match=r"48 pixels wide, .* 32 pixels wide; expected image.size"):
        resolve_initial_run(root, tiny_config(init_from=path.name, image={"size": 32}), data)


def test_a_run_elsewhere_has_a_line_too(taught, tmp_path):
    root, data, path = taught
    teacher = next(run for run in list_runs(root) if run.config.name == "teacher")
    started = tiny_config(init_from=str(teacher.path))
    assert resolve_initial_run(tmp_path, started, data).path == teacher.path
    run = read_run(path)
    named = tiny_config(init_from="gone", distillation={"teachers": [path.name]})
    child = Run(tmp_path / "child", "finished", named, results=run.results)
    found = dict(iter_ancestors(root, child))
    assert found["child"] is child
    assert found["gone"] is None
    assert found[path.name].id == path.name
    members = Combination(members=(path.name,), tta="ten_view")
    fields = run.config.model_dump(include=set(RunConfig.model_fields))
    mean = CombinedConfig(**fields | {"model": "mean", "combined": members})
    assert path.name in dict(iter_ancestors(root, Run(tmp_path / "mean", "finished", mean)))


def test_a_network_of_training_folds_knows_none_of_the_official_tests(taught, tmp_path):
    root, data, _ = taught
    teacher = next(run for run in list_runs(root) if run.config.name == "teacher")
    folded = {"test": "train_fold", "folds": 3}
    source = tmp_path / teacher.id
    shutil.copytree(teacher.path, source)
    fields = json.loads((source / "config.json").read_text())
    fields |= {"keep": "last", "protocol": fields["protocol"] | folded}
    (source / "config.json").write_text(json.dumps(fields))

    def start(**protocol):
        config = tiny_config(init_from=teacher.id, keep="last", protocol=protocol)
        return resolve_initial_run(tmp_path, config, data)

    for protocol in ({}, {"test": "validation"}, {"exclude": "./x.csv"}, folded):
        assert start(**protocol).id == teacher.id
    for protocol in (folded | {"fold": 1}, folded | {"split_seed": 1}, {"split": "random"}):
        with pytest.raises(UserError, match="trained on other samples and may have seen"):
            start(**protocol)
    # A network that was trained on all training images knows the folds.
    with pytest.raises(UserError, match="trained on other samples and may have seen"):
        resolve_initial_run(
            root, tiny_config(init_from=teacher.id, keep="last", protocol=folded), data
        )


@pytest.mark.parametrize("tie", ["init_from", "teachers"])
def test_who_learnt_from_one_that_knows_knows_too(taught, tmp_path, tie: str):
    """The first saw what is judged, the second began with it on other images, the third asks."""
    _, data, path = taught
    known, between = (tmp_path / f"{name}-s0-20260101T00000{k}" for k, name in enumerate("ab"))
    for run in (known, between):
        shutil.copytree(path, run)

    def rewrite(run: Path, **changes) -> None:
        fields = json.loads((run / "config.json").read_text())
        fields["distillation"]["teachers"] = []
        (run / "config.json").write_text(json.dumps(fields | changes))

    stated = json.loads((path / "config.json").read_text())["protocol"]
    rewrite(known, protocol=stated | {"test": "merged", "select_on": "test", "leak_free": False})
    if tie == "init_from":
        rewrite(between, dataset="other", init_from=known.name)
    else:
        distillation = json.loads((path / "config.json").read_text())["distillation"]
        rewrite(between, dataset="other", distillation=distillation | {"teachers": [known.name]})
    wanted = tiny_config(init_from=between.name)
    with pytest.raises(UserError, match=f"{between.name}, which learnt from {known.name}"):
        resolve_initial_run(tmp_path, wanted, data)
    rewrite(known, protocol=stated)
    assert resolve_initial_run(tmp_path, wanted, data).id == between.name
    shutil.rmtree(known)
    with pytest.raises(UserError, match="a run that is absent"):
        resolve_initial_run(tmp_path, wanted, data)
