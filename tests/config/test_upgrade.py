"""Names of an earlier version: in files, in overrides and on the command line."""

import json

import pytest

from fercore.cli._overrides import parse_request
from fercore.config.loading import field_names, list_configs, load_config
from fercore.config.run import CombinedConfig
from fercore.config.upgrade import RENAMED_FIELDS, upgrade_fields
from fercore.errors import UserError
from tests.format_1 import downgrade_fields
from tests.tiny import tiny_config

OVERRIDES = [
    ("start_from", "a-run", "init_from", "a-run"),
    ("distillation.asked", "each_batch", "distillation.mode", "online"),
    ("distillation.asked", "once", "distillation.mode", "precomputed"),
    ("optimizer.average", 0.5, "optimizer.ema_momentum", 0.5),
    ("protocol.honest", False, "protocol.leak_free", False),
]


def value_of(config, dotted):
    for name in dotted.split("."):
        config = getattr(config, name)
    return config


@pytest.mark.parametrize("name", list_configs())
def test_the_names_of_format_1_give_the_same_experiment(tmp_path, name):
    config = load_config(name)
    fields = json.loads(config.model_dump_json())
    old = downgrade_fields(fields)
    assert set(old) ^ set(fields) == {"start_from", "init_from"}
    assert type(config).model_validate(old) == config
    assert type(config).model_validate_json(json.dumps(old)) == config
    assert upgrade_fields(old) == fields
    assert upgrade_fields(fields) == fields
    path = tmp_path / "config.json"
    path.write_text(json.dumps(old))
    assert load_config(path) == config


def test_a_toml_file_may_use_the_old_names(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ntitle = "Mine"\ndataset = "synthetic"\nmodel = "vgg"\nepochs = 1\n'
        'start_from = "a-run"\n'
        "[optimizer]\naverage = 0.5\n"
        '[distillation]\nteachers = ["t"]\nasked = "once"\n'
        "[protocol]\nhonest = false\n"
        '[augmentation]\nmode = "balanced"\nhorizontal_flip = true\ntimes = { sad = 2 }\n'
    )
    config = load_config(path, {"optimizer.ema_momentum": 0.25})
    assert config.init_from == "a-run"
    assert config.optimizer.ema_momentum == 0.25
    assert config.distillation.mode == "precomputed"
    assert not config.protocol.leak_free
    assert config.augmentation.class_multipliers == {"sad": 2}


@pytest.mark.parametrize(("old", "old_value", "new", "value"), OVERRIDES)
def test_an_override_may_use_the_old_name(old, old_value, new, value):
    assert value_of(load_config("synthetic-quick", {old: old_value}), new) == value
    table, _, field = old.rpartition(".")
    if table:
        assert value_of(load_config("facet-tiny", {table: {field: old_value}}), new) == value


@pytest.mark.parametrize(
    ("words", "new", "value", "note"),
    [
        (("--start-from", "R"), "init_from", "R", "--start-from is now --init-from"),
        (
            ("--distillation.asked", "once"),
            "distillation.mode",
            "precomputed",
            "--distillation.asked once is now --distillation.mode precomputed",
        ),
        (
            ("--distillation.asked=each_batch",),
            "distillation.mode",
            "online",
            "--distillation.asked each_batch is now --distillation.mode online",
        ),
        (
            ("--optimizer.average", "0.5"),
            "optimizer.ema_momentum",
            "0.5",
            "--optimizer.average is now --optimizer.ema-momentum",
        ),
        (
            ("--augmentation.times", '{"sad": 2}'),
            "augmentation.class_multipliers",
            {"sad": 2},
            "--augmentation.times is now --augmentation.class-multipliers",
        ),
        (
            ("--protocol.honest", "false"),
            "protocol.leak_free",
            "false",
            "--protocol.honest is now --protocol.leak-free",
        ),
    ],
)
def test_an_old_option_works_and_names_the_new_one(capsys, words, new, value, note):
    assert parse_request(("le2019-deep", *words)) == ("le2019-deep", {new: value})
    assert capsys.readouterr() == ("", f"note: {note}\n")


def test_a_present_option_gives_no_note(capsys):
    parse_request(("le2019-deep", "--init-from", "R", "--protocol.leak-free", "false"))
    assert capsys.readouterr() == ("", "")


def test_a_field_under_both_names_is_refused():
    fields = json.loads(tiny_config().model_dump_json())
    fields["protocol"]["honest"] = False
    with pytest.raises(ValueError, match=r"protocol\.honest\n  Extra inputs"):
        type(tiny_config()).model_validate(fields)


def test_an_old_name_with_a_wrong_value_names_the_present_field():
    with pytest.raises(UserError, match=r"received distillation\.mode = 'sometimes', input should"):
        load_config("facet-tiny", {"distillation.asked": "sometimes"})
    with pytest.raises(UserError, match=r"received distillation\.mode = \['once'\]"):
        load_config("facet-tiny", {"distillation.asked": ["once"]})


def test_the_old_name_of_an_ensemble_is_no_option():
    with pytest.raises(UserError, match=r"received --combined\.views, no such field"):
        parse_request(("le2019-deep", "--combined.views", "ten"))


@pytest.mark.parametrize(("views", "tta"), [("one", "none"), ("flip", "flip"), ("ten", "ten_view")])
def test_the_views_of_an_ensemble_are_its_augmentation(views, tta):
    fields = {"name": "e", "title": "E", "dataset": "tiny", "model": "mean of networks"}
    combined = {"members": ["a"], "views": views}
    assert CombinedConfig.model_validate(fields | {"combined": combined}).combined.tta == tta


def test_every_new_name_is_a_field():
    known = {*field_names(), *field_names(CombinedConfig)}
    assert set(RENAMED_FIELDS.values()) <= known
    assert not known & set(RENAMED_FIELDS)


def test_the_given_fields_stay_as_they_are():
    fields = {"optimizer": {"average": 0.5}}
    upgrade_fields(fields)
    assert fields == {"optimizer": {"average": 0.5}}
