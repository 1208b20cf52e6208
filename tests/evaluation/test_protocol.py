import numpy as np
import pytest

from fercore.errors import UserError
from fercore.evaluation.protocol import build_protocol
from tests.tiny import tiny_config


def test_all_classes_give_three_views(splits):
    protocol = build_protocol(tiny_config(), splits)
    assert list(protocol.views) == ["validation", "test", "test_unique"]
    assert protocol.views["test"].keep.sum() == 140
    # Three test images stand in training.
    assert protocol.views["test_unique"].keep.sum() == 137
    assert not protocol.views["test_unique"].keep[:3].any()
    assert protocol.train is splits["train"]


def test_dropped_classes_leave_training_and_selection_but_not_the_predictions(splits):
    protocol = build_protocol(tiny_config(drop_classes=["disgust"]), splits)
    assert 1 not in protocol.train.labels
    assert 1 not in protocol.validation.labels
    assert len(protocol.eval_splits["test"]) == 140
    assert protocol.views["test_all"].keep.all()
    kept = protocol.views["test"].keep
    assert np.array_equal(kept, splits["test"].labels != 1)
    assert protocol.counts()["Training"]["disgust"] == 0
    assert protocol.counts()["PrivateTest, all classes"]["disgust"] > 0


def test_an_unknown_class_and_too_few_classes_are_refused(splits):
    with pytest.raises(UserError, match="contempt"):
        build_protocol(tiny_config(drop_classes=["contempt"]), splits)
    with pytest.raises(UserError, match="fewer than two"):
        build_protocol(tiny_config(drop_classes=list(splits.class_names[1:])), splits)


def test_flawed_training_images_are_left_out_and_what_is_judged_stays_whole():
    from dataclasses import replace

    from tests.tiny import make_splits

    data = make_splits()
    train = data["train"]
    train.images[10] = 7  # empty
    train.images[20], train.labels[20] = train.images[30], train.labels[30]  # a repeat
    train.images[40], train.labels[40] = train.images[50], (train.labels[50] + 1) % 7  # a conflict
    whole = build_protocol(tiny_config(), data)
    for flaws, gone in (
        (["constant"], {10}),
        (["repeats"], {30, 50}),
        (["conflicts"], {40, 50}),
        (["constant", "conflicts", "repeats"], {10, 30, 40, 50}),
    ):
        found = build_protocol(tiny_config(protocol={"leave_out": flaws}), data)
        assert set(train.ids) - set(found.train.ids) == {train.ids[place] for place in gone}
        assert found.eval_splits == whole.eval_splits
        # What stands in training is counted before anything is left out of it.
        np.testing.assert_array_equal(
            found.views["test_unique"].keep, whole.views["test_unique"].keep
        )
    marked = replace(train, copies=np.arange(len(train)) == 30)
    parts = {**data.parts, "train": marked}
    found = build_protocol(
        tiny_config(protocol={"leave_out": ["repeats"]}), replace(data, parts=parts)
    )
    # A copy that is to be changed is no repeat of its original.
    assert train.ids[30] in found.train.ids
    # And it goes with one that is left out.
    ids = train.ids.astype("<U32")
    ids[60] = f"{ids[20]}#1"
    split = replace(train, ids=ids, copies=np.arange(len(train)) == 60)
    train.labels[30] = (train.labels[20] + 1) % 7
    found = build_protocol(
        tiny_config(protocol={"leave_out": ["conflicts"]}),
        replace(data, parts={**data.parts, "train": split}),
    )
    assert not {ids[20], ids[30], ids[60]} & set(found.train.ids)


def test_a_protocol_that_leaves_nothing_says_so_before_anything_is_trained():
    from dataclasses import replace

    from tests.tiny import make_splits

    data = make_splits()
    train, test = data["train"], data["test"]
    same = replace(train.take(np.arange(20)), ids=test.ids[:20])
    known = replace(data, parts={**data.parts, "test": same})
    # Every test image stands in training: there is no figure without repeats.
    assert list(build_protocol(tiny_config(), known).views) == ["validation", "test"]
    one = test.take(test.labels == 1)
    with pytest.raises(UserError, match=r"PrivateTest of \w+ is left without an image"):
        build_protocol(
            tiny_config(drop_classes=["disgust"]), replace(data, parts={**data.parts, "test": one})
        )
    train.images[:] = 7
    with pytest.raises(UserError, match=r"Training of \w+ is left without an image"):
        build_protocol(tiny_config(protocol={"leave_out": ["constant"]}), data)
