"""Test dividing a dataset into splits, and that an honest protocol has no leaks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fercore import metrics
from fercore.config.loading import parse_config
from fercore.config.protocol import ImageConfig
from fercore.data.splits import UNSPLIT, DatasetVersion, Split, Splits
from fercore.data.splitting import fit_images, split_dataset
from fercore.errors import UserError
from fercore.evaluation.protocol import build_protocol, require_same_splits
from fercore.evaluation.results import evaluate_predictions, predictions_of
from fercore.runs.provenance import describe_environment
from fercore.runs.reader import Run
from tests.tiny import make_splits, tiny_config

CLASSES = ("angry", "happy", "sad")


def make_pool(subjects: int = 20, frames: int = 6) -> Splits:
    """Each subject shows one expression, in two sequences."""
    rng = np.random.default_rng(0)
    n = subjects * frames
    labels = np.repeat(np.arange(subjects) % 3, frames).astype(np.uint8)
    ids = [f"S{s:03d}_{f % 2}_{f}" for s in range(subjects) for f in range(frames)]
    subject = np.array([name[:4] for name in ids])
    images = rng.integers(0, 256, (n, 12, 12), dtype=np.uint8)
    groups = {"subject": subject, "sequence": np.array([name[:6] for name in ids])}
    return Splits("posed", CLASSES, {UNSPLIT: Split(images, labels, np.array(ids), groups)})


def config(**changes):
    fields = {"name": "t", "title": "t", "dataset": "posed", "model": "katkar2021", "epochs": 1}
    return parse_config(fields | changes, "test")


def by_role(splits: Splits) -> dict[str, set[str]]:
    return {role: set(part.ids.tolist()) for role, part in splits.parts.items()}


@pytest.mark.parametrize("seed", [0, 1])
def test_folds_by_subject_test_everybody_once_and_share_nobody(seed: int):
    pool = make_pool()
    tested: list[str] = []
    for fold in range(5):
        protocol = {"split": "subjects", "folds": 5, "fold": fold, "split_seed": seed}
        divided = split_dataset(config(protocol=protocol), pool)
        people = [set(part.groups["subject"].tolist()) for part in divided.parts.values()]
        assert not people[0] & people[1]
        assert not people[0] & people[2]
        assert not people[1] & people[2]
        assert set().union(*by_role(divided).values()) == set(pool[UNSPLIT].ids.tolist())
        tested += divided["test"].ids.tolist()
        assert divided.title("test") == f"Fold {fold + 1} of 5 by subject"
    assert sorted(tested) == sorted(pool[UNSPLIT].ids.tolist())


def test_a_random_split_has_the_sizes_asked_for_and_hangs_on_its_own_seed():
    pool = make_pool()
    protocol = {"split": "random", "leak_free": False, "test_fraction": 0.25}
    divided = split_dataset(config(protocol=protocol), pool)
    assert {role: len(part) for role, part in divided.parts.items()} == {
        "train": 78,
        "validation": 12,
        "test": 30,
    }
    again = split_dataset(config(protocol=protocol, seed=5), pool)
    assert by_role(again) == by_role(divided)
    other = split_dataset(config(protocol=protocol | {"split_seed": 1}), pool)
    assert by_role(other) != by_role(divided)


def test_the_independent_unit_is_the_coarsest_that_is_known():
    part = make_pool()[UNSPLIT]
    names, kind = part.units()
    assert (kind, names.tolist()) == ("subject", part.groups["subject"].tolist())
    sequences = replace(part, groups={"sequence": part.groups["sequence"]})
    names, kind = sequences.units()
    assert (kind, len(set(names.tolist()))) == ("sequence", 40)
    assert replace(part, groups={}).units() is None


def test_copies_and_equal_images_are_one_unit():
    pool = make_pool()
    images = pool[UNSPLIT].images.copy()
    images[1] = images[0]
    part = replace(pool[UNSPLIT], images=images, groups={})
    augmentation = {"mode": "balanced", "class_multipliers": {"angry": 3, "sad": 2}, "rotation": 5}
    protocol = {
        "split": "random",
        "leak_free": False,
        "copies": "before_split",
        "test_fraction": 0.5,
    }
    divided = split_dataset(
        config(protocol=protocol, augmentation=augmentation), replace(pool, parts={UNSPLIT: part})
    )
    names, kind = divided["test"].units()
    assert kind == "image"
    originals = [name.split("#")[0] for name in divided["test"].ids.tolist()]
    pair = set(part.ids[:2].tolist())
    assert pair & set(originals)
    for unit, own in zip(names.tolist(), originals, strict=True):
        assert unit == own or {unit, own} == pair
    assert len({name for name in names.tolist() if name in pair}) == 1
    # Where the copies stand in the training alone, each tested image stands for itself.
    after = config(protocol=protocol | {"copies": "after_split"}, augmentation=augmentation)
    assert split_dataset(after, replace(pool, parts={UNSPLIT: part}))["test"].units() is None


def test_figures_of_dependent_images_have_intervals_by_group():
    layout = build_protocol(config(protocol={"split": "subjects"}), make_pool())
    said = {role: make_probabilities(part.labels, 3) for role, part in layout.eval_splits.items()}
    stored = predictions_of(layout, said)
    assert stored["test"].group_kind == "subject"
    np.testing.assert_array_equal(
        stored["test"].groups, layout.eval_splits["test"].groups["subject"]
    )
    result = evaluate_predictions(layout, stored)["test"]
    assert (result.groups, result.group_kind) == (4, "subject")
    assert result.grouping == "by subject, 4 groups"
    right = said["test"].argmax(axis=1) == stored["test"].labels
    assert (result.accuracy_low, result.accuracy_high) == metrics.clustered_interval(
        right, stored["test"].groups
    )
    assert sum(entry.groups for entry in result.classes) == 4
    plain = build_protocol(tiny_config(), make_splits())
    free = predictions_of(
        plain,
        {role: make_probabilities(part.labels, 7) for role, part in plain.eval_splits.items()},
    )
    assert free["test"].groups is None
    alone = evaluate_predictions(plain, free)["test"]
    assert (alone.groups, alone.group_kind, alone.grouping) == (None, None, "")
    assert alone.classes[0].groups is None


def make_probabilities(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return probabilities with an accuracy of three in four."""
    said = np.where(np.arange(len(labels)) % 4 > 0, labels, (labels + 1) % classes)
    return np.where(np.eye(classes)[said] > 0, 0.9, 0.1 / (classes - 1)).astype(np.float32)


def test_an_honest_protocol_refuses_shared_subjects():
    with pytest.raises(UserError, match="share 14 subjects, such as S000"):
        split_dataset(config(protocol={"split": "random"}), make_pool())


def test_an_honest_protocol_refuses_a_shared_image():
    splits = make_splits()
    train, test = splits["train"], splits["test"]
    test.ids[0] = train.ids[0]
    with pytest.raises(UserError, match=f"share 1 images, such as {train.ids[0]}"):
        split_dataset(tiny_config(), splits)


def test_an_honest_protocol_refuses_an_image_in_validation_and_test():
    splits = make_splits()
    splits["test"].ids[0] = splits["validation"].ids[0]
    with pytest.raises(UserError, match=f"share 1 images, such as {splits['test'].ids[0]}"):
        split_dataset(tiny_config(), splits)


def test_an_honest_protocol_may_test_on_validation_where_nothing_is_chosen_there():
    recipe = tiny_config(keep="last", protocol={"test": "validation"})
    divided = split_dataset(recipe, make_splits())
    assert divided["test"] is divided["validation"]


@pytest.mark.parametrize(
    "protocol",
    [{"select_on": "test"}, {"copies": "before_split"}, {"test": "merged", "select_on": "test"}],
)
def test_faults_have_to_be_named(protocol):
    with pytest.raises(UserError, match="leak_free = false"):
        config(protocol=protocol)
    config(protocol=protocol | {"leak_free": False})


def test_copies_after_the_split_are_of_training_images_alone():
    augmentation = {"mode": "balanced", "horizontal_flip": True, "class_multipliers": {"sad": 4}}
    protocol = {"split": "subjects", "folds": 4}
    divided = split_dataset(config(protocol=protocol, augmentation=augmentation), make_pool())
    train = divided["train"]
    assert divided["test"].copies is None
    assert divided["validation"].copies is None
    originals = ~train.copies
    sad = train.labels == 2
    assert (train.copies & sad).sum() == 3 * (originals & sad).sum()
    assert not (train.copies & ~sad).any()
    assert len(set(train.ids.tolist())) == len(train)
    for name, image in zip(train.ids[train.copies], train.images[train.copies], strict=True):
        (source,) = np.flatnonzero(train.ids == name.partition("#")[0])
        np.testing.assert_array_equal(image, train.images[source])


def test_copies_before_the_split_land_on_both_sides_and_are_known_as_repeats():
    augmentation = {"mode": "balanced", "horizontal_flip": True, "class_multipliers": {"angry": 30}}
    protocol = {"split": "random", "copies": "before_split", "leak_free": False}
    leaky = config(protocol=protocol, augmentation=augmentation, dataset="posed")
    divided = split_dataset(leaky, make_pool())
    faces = {
        role: {name.partition("#")[0] for name in ids} for role, ids in by_role(divided).items()
    }
    assert faces["train"] & faces["test"]
    protocol_of = build_protocol(leaky, make_pool())
    unique = protocol_of.views["test_unique"].keep
    trained = {name.partition("#")[0] for name in protocol_of.train.ids.tolist()}
    tested = [name.partition("#")[0] for name in protocol_of.eval_splits["test"].ids.tolist()]
    np.testing.assert_array_equal(unique, [name not in trained for name in tested])


def test_without_copies_nothing_is_copied_before_the_split():
    online = {"mode": "online", "horizontal_flip": True, "class_multipliers": {}}
    protocol = {"split": "random", "copies": "before_split", "leak_free": False}
    divided = split_dataset(config(protocol=protocol, augmentation=online), make_pool())
    assert sum(map(len, divided.parts.values())) == 120
    assert all(part.copies is None for part in divided.parts.values())


def test_doubling_copies_every_training_image_once():
    doubled = tiny_config(augmentation={"mode": "doubled", "rotation": 10})
    train = split_dataset(doubled, make_splits())["train"]
    assert len(train) == 1200
    np.testing.assert_array_equal(train.copies, np.arange(1200) >= 600)
    np.testing.assert_array_equal(train.images[:600], train.images[600:])
    assert train.ids[600].endswith("#1")


def test_a_merged_test_steers_the_training():
    merged = tiny_config(protocol={"test": "merged", "select_on": "test", "leak_free": False})
    divided = split_dataset(merged, make_splits())
    assert divided["test"] is divided["validation"]
    assert len(divided["test"]) == 280
    assert divided.title("test") == "PublicTest + PrivateTest"


def test_protocols_say_whether_they_test_the_same_samples():
    changes = [
        {"split": "subjects"},
        {"split": "subjects", "fold": 1},
        {"split": "subjects", "split_seed": 1},
        {"split": "subjects", "folds": 4},
        {"split": "random", "leak_free": False},
        {"split": "random", "leak_free": False, "validation_fraction": 0.3},
        {"split": "random", "leak_free": False, "select_on": "test"},
        {"split": "random", "leak_free": False, "test_fraction": 0.3},
        {"split": "random", "leak_free": False, "split_seed": 1},
    ]
    pool = make_pool()
    configs = [config(protocol=change) for change in changes]
    tested = [by_role(split_dataset(one, pool))["test"] for one in configs]
    for i, one in enumerate(configs):
        for j, other in enumerate(configs):
            same = one.protocol.has_same_test_set(other.protocol)
            assert same == (tested[i] == tested[j]), (changes[i], changes[j])

    own = tiny_config()
    assert own.protocol.has_same_test_set(tiny_config(protocol={"leave_out": ["repeats"]}).protocol)
    merged = tiny_config(protocol={"test": "merged", "select_on": "test", "leak_free": False})
    assert not own.protocol.has_same_test_set(merged.protocol)


def test_folds_are_those_of_the_original_images():
    """The same fold of other pixels would have other images."""
    derived = replace(make_splits(), name="aligned", source=DatasetVersion("tiny", "0" * 16))
    with pytest.raises(UserError, match="aligned, which is derived from tiny"):
        split_dataset(train_fold(0), derived)


def train_fold(fold: int, **protocol):
    return tiny_config(
        keep="last", protocol={"test": "train_fold", "folds": 3, "fold": fold} | protocol
    )


def test_folds_of_the_training_split_test_each_of_its_images_once():
    data = make_splits()
    train = data["train"]
    train.images[20], train.images[21] = train.images[30], train.images[30]
    train.labels[20] = (train.labels[30] + 1) % 7
    tested: list[str] = []
    for fold in range(3):
        divided = split_dataset(train_fold(fold), data)
        ids = by_role(divided)
        assert ids["train"] | ids["test"] == set(train.ids.tolist())
        assert not ids["train"] & ids["test"]
        # The official test split is not used, the validation split stays what it is.
        assert divided["validation"] is data["validation"]
        assert divided.title("validation") == "PublicTest"
        assert divided.title("test") == f"Training fold {fold + 1} of 3"
        # Identical images are in one fold, whatever their labels.
        equal = set(train.ids[[20, 21, 30]].tolist())
        assert equal <= ids["train"] or equal <= ids["test"]
        counts = np.bincount(divided["test"].labels, minlength=7)
        np.testing.assert_allclose(counts, np.bincount(train.labels) / 3, atol=2)
        tested += divided["test"].ids.tolist()
    assert sorted(tested) == sorted(train.ids.tolist())


def test_folds_of_the_training_split_depend_on_the_split_seed_alone():
    data = make_splits()
    first = by_role(split_dataset(train_fold(0), data))
    for same in (
        train_fold(0).model_copy(update={"seed": 3}),
        train_fold(0).model_copy(update={"image": ImageConfig(size=8)}),
    ):
        assert by_role(split_dataset(same, data)) == first
    assert by_role(split_dataset(train_fold(0, split_seed=1), data)) != first


def test_runs_on_folds_of_the_training_split_have_a_test_of_their_own():
    configs = [
        tiny_config(),
        tiny_config(keep="last", protocol={"test": "validation"}),
        *(train_fold(0, **change) for change in ({}, {"split_seed": 1}, {"folds": 4})),
        train_fold(1),
    ]
    for i, one in enumerate(configs):
        for j, other in enumerate(configs):
            assert one.protocol.has_same_test_set(other.protocol) == (i == j)
            assert one.protocol.has_same_splits(other.protocol) == (i == j)
    without = train_fold(0, exclude="x.csv", leave_out=["repeats"])
    assert train_fold(0).protocol.has_same_test_set(without.protocol)
    assert train_fold(0).protocol.has_same_splits(without.protocol)


def test_training_folds_need_an_official_split_and_images_of_each_class():
    cross_fitted = {"test": "train_fold", "folds": 3}
    with pytest.raises(UserError, match="no official split"):
        split_dataset(config(keep="last", protocol=cross_fitted), make_pool())
    data = make_splits()
    data["train"].labels[data["train"].labels == 1] = 0
    data["train"].labels[:2] = 1
    with pytest.raises(UserError, match="has 2 images of disgust; expected at most as many folds"):
        split_dataset(train_fold(0), data)
    for fault in ({"split": "subjects"}, {"copies": "before_split"}, {"select_on": "test"}):
        with pytest.raises(UserError, match='test = "train_fold" needs'):
            config(keep="last", protocol=cross_fitted | fault | {"leak_free": False})


def test_a_run_on_a_training_fold_is_not_judged_on_another_edition():
    data = make_splits()
    run = Run(Path("x"), "finished", train_fold(0))
    environment = describe_environment(
        "", data, build_protocol(train_fold(0), data), backend="", device="", precision=""
    )
    known = replace(run, environment=environment)
    require_same_splits(known, data)
    with pytest.raises(UserError, match="which was divided otherwise"):
        require_same_splits(known, replace(data, fingerprint="another"))


def test_what_a_dataset_cannot_give_is_said():
    with pytest.raises(UserError, match="no official split"):
        split_dataset(config(), make_pool())
    with pytest.raises(UserError, match="names no subjects"):
        split_dataset(tiny_config(protocol={"split": "subjects"}), make_splits())
    with pytest.raises(UserError, match="has 20 subjects"):
        split_dataset(config(protocol={"split": "subjects", "folds": 30}), make_pool())
    with pytest.raises(UserError, match="counted from 0"):
        config(protocol={"split": "subjects", "folds": 5, "fold": 5})


def test_images_are_resized_or_cut_and_padded():
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4) * 5
    halved = fit_images(np.repeat(np.repeat(images, 4, 1), 4, 2), ImageConfig(size=8))
    np.testing.assert_array_equal(halved, np.repeat(np.repeat(images, 2, 1), 2, 2))
    # Where an image shrinks every pixel counts, where it grows the levels lie between.
    checks = np.indices((16, 16)).sum(axis=0)[None].astype(np.uint8) % 2 * 255
    assert set(np.unique(fit_images(checks, ImageConfig(size=8)))) <= {127, 128}
    edge = np.repeat(np.array([[0, 0, 200, 200]], np.uint8), 4, axis=0)[None]
    grown = fit_images(edge, ImageConfig(size=8))[0, 0].astype(int)
    np.testing.assert_array_equal(grown, [0, 0, 0, 50, 150, 200, 200, 200])
    one_way = fit_images(np.zeros((1, 4, 12), np.uint8) + 7, ImageConfig(size=8))
    np.testing.assert_array_equal(one_way, np.full((1, 8, 8), 7))
    large = np.random.default_rng(0).integers(0, 256, (3, 20, 16), dtype=np.uint8)
    cut = fit_images(large, ImageConfig(size=10, fit="crop_or_pad"))
    np.testing.assert_array_equal(cut, large[:, 5:15, 3:13])
    padded = fit_images(large, ImageConfig(size=24, fit="crop_or_pad"))
    np.testing.assert_array_equal(padded[:, 2:22, 4:20], large)
    assert padded.sum() == large.sum()
    assert fit_images(large, ImageConfig()) is large
    odd = fit_images(large, ImageConfig(size=17, fit="crop_or_pad"))
    np.testing.assert_array_equal(odd[:, :, :16], large[:, 1:18])
    assert not odd[:, :, 16].any()


def test_the_network_sees_the_size_that_the_config_asks_for():
    sized = config(protocol={"split": "subjects", "folds": 4}, image={"size": 16})
    layout = build_protocol(sized, make_pool())
    assert layout.train.images.shape[1:] == (16, 16)
    assert layout.eval_splits["test"].images.shape[1:] == (16, 16)
