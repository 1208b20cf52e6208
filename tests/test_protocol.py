import numpy as np
import pytest

from fercore.errors import UserError
from fercore.protocol import plan
from tests.tiny import tiny_config


def test_all_classes_give_three_views(splits):
    protocol = plan(tiny_config(), splits)
    assert list(protocol.views) == ["validation", "test", "test_unique"]
    assert protocol.views["test"].keep.sum() == 140
    # Three test images stand in training.
    assert protocol.views["test_unique"].keep.sum() == 137
    assert not protocol.views["test_unique"].keep[:3].any()
    assert protocol.train is splits["train"]


def test_dropped_classes_leave_training_and_selection_but_not_the_predictions(splits):
    protocol = plan(tiny_config(drop_classes=["disgust"]), splits)
    assert 1 not in protocol.train.labels
    assert 1 not in protocol.validation.labels
    assert len(protocol.judged["test"]) == 140
    assert protocol.views["test_all"].keep.all()
    kept = protocol.views["test"].keep
    assert np.array_equal(kept, splits["test"].labels != 1)
    assert protocol.counts()["Training"]["disgust"] == 0
    assert protocol.counts()["PrivateTest, all classes"]["disgust"] > 0


def test_an_unknown_class_and_too_few_classes_are_refused(splits):
    with pytest.raises(UserError, match="contempt"):
        plan(tiny_config(drop_classes=["contempt"]), splits)
    with pytest.raises(UserError, match="fewer than two"):
        plan(tiny_config(drop_classes=list(splits.class_names[1:])), splits)
