"""Test the exclusion of training images by a CSV file."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from fercore.config.loading import list_configs, load_config
from fercore.data import exclusion
from fercore.errors import UserError
from fercore.evaluation.protocol import build_protocol, require_same_exclusion
from fercore.runs.reader import Run
from tests.data.test_splitting import config, make_pool
from tests.tiny import make_splits, tiny_config


def table(path, ids) -> str:
    path.write_text("".join(f"{name},happy\n" for name in ["id", *ids]), encoding="utf-8-sig")
    return str(path)


def test_named_images_are_left_out_of_training_alone(tmp_path):
    data = make_splits()
    names = data["train"].ids[[3, 40, 41]].tolist()
    name = table(tmp_path / "x.csv", names)
    whole, found = (
        build_protocol(tiny_config(), data),
        build_protocol(tiny_config(protocol={"exclude": name}), data),
    )
    assert set(data["train"].ids.tolist()) - set(found.train.ids.tolist()) == {*names}
    assert found.eval_splits == whole.eval_splits
    assert len(found.validation) == len(whole.validation)
    # What stands in training is counted before anything is left out of it.
    np.testing.assert_array_equal(found.views["test_unique"].keep, whole.views["test_unique"].keep)
    assert found.excluded_images == 3
    assert found.excluded_sha256 == hashlib.sha256((tmp_path / "x.csv").read_bytes()).hexdigest()
    assert (whole.excluded_images, whole.excluded_sha256) == (None, None)


def test_a_file_without_ids_excludes_nothing(tmp_path):
    found = build_protocol(
        tiny_config(protocol={"exclude": table(tmp_path / "x.csv", [])}), make_splits()
    )
    assert (len(found.train), found.excluded_images) == (600, 0)


def test_copies_go_with_their_originals(tmp_path):
    data = make_splits()
    name = table(tmp_path / "x.csv", data["train"].ids[:2].tolist())
    doubled = {"mode": "doubled", "rotation": 10}
    found = build_protocol(tiny_config(protocol={"exclude": name}, augmentation=doubled), data)
    assert len(found.train) == 2 * 598
    assert found.excluded_images == 2


def test_the_tested_fold_stays_whole(tmp_path):
    data = make_splits()
    ids = data["train"].ids.tolist()
    name = table(tmp_path / "x.csv", ids[:60])
    protocol = {"test": "train_fold", "folds": 3, "exclude": name}
    found = build_protocol(tiny_config(protocol=protocol, keep="last"), data)
    tested = set(found.eval_splits["test"].ids.tolist())
    assert len(tested) == 200
    assert found.excluded_images == len(set(ids[:60]) - tested)
    assert not set(ids[:60]) & set(found.train.ids.tolist())


def test_a_dataset_that_the_protocol_divides_may_name_any_image(tmp_path):
    pool = make_pool()
    name = table(tmp_path / "x.csv", pool["all"].ids.tolist()[::2])
    divided = {"split": "subjects", "folds": 4, "exclude": name}
    found, whole = (
        build_protocol(config(protocol=divided | change), pool)
        for change in ({}, {"exclude": None})
    )
    assert len(found.train) == len(whole.train) // 2
    assert len(found.eval_splits["test"]) == len(whole.eval_splits["test"])


def test_ids_that_are_not_training_images_are_refused(tmp_path):
    data = make_splits()
    one = data["train"].ids[0]
    for names, message in (
        ([one, "PrivateTest_00003"], r"1 of its ids are not among .* such as 'PrivateTest_00003'"),
        (["a", "b"], "none of its 2 ids .* another edition of the dataset"),
    ):
        name = table(tmp_path / "x.csv", names)
        with pytest.raises(UserError, match=message):
            build_protocol(tiny_config(protocol={"exclude": name}), data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"image,label\n1,2\n", "with the columns image, label; expected a column id"),
        (b"", "with the columns none; expected a column id"),
        (b"id\n\xff\xfe\n", "not a CSV file in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "x.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        exclusion.read(str(path))
    assert "\n" not in str(caught.value)


def test_a_name_without_a_slash_is_a_shipped_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "doubtful.csv", ["b"])
    with pytest.raises(UserError, match=r"path with a slash, such as \./doubtful\.csv"):
        exclusion.read("doubtful.csv")
    assert exclusion.read("./doubtful.csv").ids == {"b"}
    shipped = tmp_path / "configs"
    shipped.mkdir()
    table(shipped / "doubtful.csv", ["a"])
    (shipped / "some.toml").touch()
    monkeypatch.setattr(exclusion, "_folder", lambda: shipped)
    assert exclusion.list_shipped() == ("doubtful.csv",)
    assert exclusion.read("doubtful.csv").ids == {"a"}


def test_shipped_files_can_be_read_and_are_no_experiments():
    for name in exclusion.list_shipped():
        assert exclusion.read(name).ids
    assert not any(name.endswith(".csv") for name in list_configs())
    assert load_config("vgg-crossfit").protocol.test == "train_fold"


def test_a_run_is_not_resumed_with_another_file(tmp_path):
    from fercore.runs.provenance import describe_environment

    data = make_splits()
    name = table(tmp_path / "x.csv", data["train"].ids[:2].tolist())
    config = tiny_config(protocol={"exclude": name})
    environment = describe_environment(
        "test", data, build_protocol(config, data), backend="", device="", precision="float32"
    )
    assert environment.excluded_images == 2
    run = Run(tmp_path / "run", "interrupted", config, environment=environment)
    require_same_exclusion(run)
    require_same_exclusion(replace(run, config=tiny_config()))
    table(tmp_path / "x.csv", data["train"].ids[:3].tolist())
    with pytest.raises(UserError, match=r"run began with another .*x\.csv"):
        require_same_exclusion(run)
