"""Parse the options that override fields of an experiment's configuration."""

import json
from collections.abc import Sequence
from typing import Any

import typer

from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import did_you_mean, field_names
from fercore.config.upgrade import RENAMED_FIELDS, upgrade_override
from fercore.errors import UserError
from fercore.runs.reader import Run

# Of an experiment; `combined.views` belongs to ensembles.
_OLD_OPTIONS = {old for old, new in RENAMED_FIELDS.items() if new in field_names()}


def parse_request(words: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """An experiment and its changed fields, in any order: `le2019-deep --epochs 20 --seed=1`.

    A value that begins with a bracket, a brace or a quote is read as JSON, anything else as text
    that the config converts; options of a network are numbers and truth values where they look like
    them. A JSON object replaces a whole table: `--model-options '{"variant": "small"}'`. An option
    of an earlier version is accepted; a note on the standard error names the present one.

    Returns:
        The experiment, if one is named, and values by dotted field.

    Raises:
        UserError: if an option has no value or names no field, or two experiments are named.
    """
    config: str | None = None
    overrides: dict[str, Any] = {}
    rest = list(words)
    while rest:
        option = rest.pop(0)
        if not option.startswith("--"):
            if config is not None:
                raise UserError(
                    f"received {option!r} after {config!r}, expected one experiment and options "
                    "such as --epochs 20"
                )
            config = option
            continue
        name, equals, value = option[2:].partition("=")
        name = name.replace("-", "_")
        given = value if equals else next(iter(rest), "")
        table = given.startswith("{") and name in ExperimentConfig.model_fields
        is_option = name in field_names() or name in _OLD_OPTIONS
        if not (table or name.startswith("model_options.") or is_option):
            raise UserError(f"received --{option[2:]}, no such field{did_you_mean(name)}")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise UserError(f"received {option} without a value, expected {option} VALUE")
            value = rest.pop(0)
        new_name, new_value = upgrade_override(name, _value(option, name, value))
        overrides[new_name] = new_value
        if new_name != name:
            _print_renaming(name, value, new_name, new_value)
    return config, overrides


def _print_renaming(old_name: str, old_value: str, name: str, value: Any) -> None:
    old, new = (f"--{option.replace('_', '-')}" for option in (old_name, name))
    if isinstance(value, str) and value != old_value:
        old, new = f"{old} {old_value}", f"{new} {value}"
    typer.echo(f"note: {old} is now {new}", err=True)


def _value(option: str, name: str, text: str) -> Any:
    # Of a network's options the config knows no types: what looks like a number is one.
    free = name.startswith("model_options.")
    try:
        return json.loads(text) if free or text[:1] in {"[", "{", '"'} else text
    except ValueError:
        if free:
            return text
        raise UserError(f"received {option} {text}, which is not valid JSON") from None


def require_experiment(run: Run) -> ExperimentConfig:
    if run.config is None:
        raise UserError(f"{run.id} cannot be read: {run.problem}")
    if run.experiment is None:
        raise UserError(f"{run.id} was {run.origin}; expected a run that was trained here")
    return run.experiment
