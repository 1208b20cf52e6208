import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from fercore.data import registry
from fercore.data.datasets import synthetic
from fercore.data.splits import ROLES, Split, fingerprint, is_duplicate_of
from fercore.errors import UserError


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return registry.load_dataset("synthetic", tmp_path_factory.mktemp("root"))


def test_it_is_the_same_on_every_machine(faces):
    assert faces.fingerprint == "16cf513a3ec5b6cc"
    synthetic._draw_all.cache_clear()
    assert synthetic.load(None).fingerprint == faces.fingerprint == fingerprint(faces.parts)


def test_sizes_classes_and_the_mark(faces):
    assert faces.synthetic
    assert {role: len(faces[role]) for role in faces} == synthetic.SIZES
    for role in faces:
        assert np.bincount(faces[role].labels, minlength=7).min() >= 0.05 * len(faces[role])


def test_no_image_stands_in_two_splits(faces):
    assert not is_duplicate_of(faces["test"].images, faces["train"].images).any()
    assert not is_duplicate_of(faces["validation"].images, faces["train"].images).any()


def test_a_linear_model_learns_some_of_it_and_not_all(faces):
    flat = {role: (faces[role].images.reshape(-1, 48 * 48) - 128.0) / 64 for role in faces}
    model = RidgeClassifier(alpha=3e4).fit(flat["train"], faces["train"].labels)
    assert 0.33 < model.score(flat["test"], faces["test"].labels) < 0.6


def test_what_one_caller_gets_another_cannot_change(faces):
    with pytest.raises(ValueError, match="read-only"):
        faces["train"].images[0] = 0


@pytest.mark.parametrize("name", registry.list_datasets())
def test_every_dataset_keeps_the_contract(name, tmp_path):
    status = registry.dataset_status(name, tmp_path)
    assert status.name == name
    if not status.installed:
        with pytest.raises(UserError, match=f"fercore data add {name} PATH"):
            registry.load_dataset(name, tmp_path)
        return
    splits = registry.load_dataset(name, tmp_path)
    assert set(splits) == set(ROLES)
    ids = np.concatenate([splits[role].ids for role in splits])
    assert len(set(ids)) == len(ids)
    for role in splits:
        assert splits[role].labels.max() < len(splits.class_names)
        assert sum(status.counts[role].values()) == len(splits[role])


def test_unknown_and_synthetic_datasets_cannot_be_added(tmp_path):
    known = "ckplus, fer2013, ferplus, lfw_emotion, synthetic"
    with pytest.raises(UserError, match=f"expected one of: {known}"):
        registry.load_dataset("affectnet", tmp_path)
    with pytest.raises(UserError, match="nothing to add"):
        registry.add_dataset("synthetic", [tmp_path], tmp_path)


def test_a_split_refuses_what_does_not_fit():
    images, labels, ids = np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.uint8), np.array(["a", "b"])
    with pytest.raises(ValueError, match="expected \\(n, height, width\\) uint8"):
        Split(images.astype(float), labels, ids)
    with pytest.raises(ValueError, match="one label and one id"):
        Split(images, labels[:1], ids)
