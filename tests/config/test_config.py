import json

import pytest
from pydantic import ValidationError

from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import field_names, list_configs, load_config, parse_config
from fercore.errors import UserError
from tests.tiny import tiny_config


@pytest.mark.parametrize("name", list_configs())
def test_every_experiment_loads_and_is_named_after_its_file(name):
    config = load_config(name)
    assert config.name == name
    assert config.epochs >= 1


def test_the_katkar_recipe_is_the_papers():
    config = load_config("katkar2021-model2-generated")
    assert config.drop_classes == ("disgust",)
    assert config.class_weights
    assert (config.batch_size, config.epochs) == (64, 100)
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("adam", 1e-3)
    augmentation = config.augmentation
    assert augmentation.mode == "doubled"
    assert (augmentation.shear, augmentation.rotation) == (0.2, 30)
    assert augmentation.horizontal_flip
    assert config.early_stopping.patience > 0


def test_overrides_reach_nested_fields_and_leave_the_rest():
    config = load_config(
        "le2019-deep", {"optimizer.learning-rate": "0.01", "seed": "7", "epochs": 2}
    )
    assert config.optimizer.learning_rate == 0.01
    assert (config.seed, config.epochs) == (7, 2)
    assert config.schedule == load_config("le2019-deep").schedule


def test_a_config_is_frozen():
    config = load_config("le2019-deep")
    with pytest.raises(ValueError, match="frozen"):
        config.epochs = 3


def test_a_dumped_config_loads_again(tmp_path):
    config = load_config("khopkar2021", {"seed": 3})
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.model_dump(mode="json")))
    assert load_config(path) == config


def test_the_published_figure_stays_with_what_it_was_read_on():
    kept = {"seed": 2, "epochs": 3, "protocol.leave_out": ["repeats"], "dataset": "fer2013"}
    assert load_config("le2019-deep", kept).published == load_config("le2019-deep").published
    for change in (
        {"dataset": "navras", "protocol.split": "random"},
        {"drop_classes": ["disgust"]},
        {"protocol.split": "random"},
    ):
        assert load_config("le2019-deep", change).published is None
    fold = load_config("ranjan2023-model1-ckplus", {"protocol.split_seed": 4})
    assert fold.published is not None


def test_a_name_is_the_title_unless_there_is_another():
    assert load_config("le2019-deep", {"name": "navras"}).title == "navras"
    assert load_config("le2019-deep", {"name": "navras", "title": "Nine"}).title == "Nine"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"epoch": 3}, "unknown field 'epoch', did you mean 'epochs'?"),
        ({"augmentation.rotate": 3}, "did you mean 'augmentation.rotation'?"),
        ({"epochs": "many"}, "received epochs = 'many'"),
        ({"epochs": 0}, "received epochs = 0"),
        ({"optimizer.learning_rate": -1}, "received optimizer.learning_rate = -1"),
        ({"optimizer.nesterov": True}, "belong to sgd"),
        ({"optimizer.name": "lion"}, "received optimizer.name = 'lion'"),
        ({"name": "../escape"}, "received name = '../escape'"),
        ({"label_smoothing": 0.1, "loss": "l2_svm"}, "label_smoothing belongs to"),
        ({"schedule.minimum": 0.1}, "above optimizer.learning_rate = "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(overrides, message):
    with pytest.raises(UserError) as caught:
        load_config("le2019-deep", overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_experiment_lists_the_known_ones():
    with pytest.raises(UserError, match="katkar2021-model1-original"):
        load_config("katkar")


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe", b"[1]"])
def test_a_file_that_is_no_toml_is_refused(tmp_path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(UserError):
        load_config(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        load_config(tmp_path / "absent.toml")


def test_a_missing_field_is_named():
    with pytest.raises(UserError, match="'title' is missing"):
        parse_config({"name": "x", "dataset": "d", "model": "m", "epochs": 1}, source="x")


def test_field_names_are_dotted():
    names = field_names(ExperimentConfig)
    assert "seed" in names
    assert "optimizer.learning_rate" in names
    assert "optimizer" not in names


@pytest.mark.parametrize(
    "changes",
    [
        {"keep": "best"},
        {"schedule": {"kind": "plateau"}},
        {"early_stopping": {"patience": 3}},
        {"protocol": {"test": "validation", "select_on": "test", "leak_free": False}},
        {"protocol": {"test": "validation", "split": "random"}},
    ],
)
def test_nothing_is_chosen_on_a_validation_split_that_is_judged(changes):
    fields = {"protocol": {"test": "validation"}, "keep": "last"} | changes
    with pytest.raises(ValidationError, match='test = "validation"'):
        tiny_config(**fields)


@pytest.mark.parametrize(
    "changes",
    [{"keep": "best"}, {"schedule": {"kind": "plateau"}}, {"early_stopping": {"patience": 3}}],
)
def test_nothing_is_chosen_where_training_folds_are_tested(changes):
    with pytest.raises(ValidationError, match='test = "train_fold" selects nothing'):
        tiny_config(**{"protocol": {"test": "train_fold"}, "keep": "last"} | changes)


def test_devices_share_a_batch_evenly():
    with pytest.raises(ValidationError, match="3 devices cannot share evenly"):
        tiny_config(devices=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augmentation": {"alternating_flip": True}}, "needs horizontal_flip"),
        (
            {
                "augmentation": {
                    "alternating_flip": True,
                    "horizontal_flip": True,
                    "mode": "doubled",
                }
            },
            "and mode = 'online'",
        ),
        (
            {"progressive_resizing": {"size": 32}, "schedule": {"kind": "plateau"}},
            "no schedule by plateau",
        ),
        (
            {"progressive_resizing": {"size": 32}, "early_stopping": {"patience": 3}},
            "no early stopping",
        ),
        (
            {"progressive_resizing": {"size": 32}, "distillation": {"teachers": ["facet-tiny"]}},
            'mode = "precomputed"',
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        tiny_config(**changes)
