"""Parser of the options that override fields of an experiment's configuration."""

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
    """Parse an experiment and its changed fields, such as `le2019-deep --epochs 20 --seed=1`.

    They may be in any order. A value that begins with a bracket, a brace or a quote is read as
    JSON. Any other value is text, which the config converts. Options of a network are read as JSON
    if possible, so that numbers and truth values have their types. A JSON object replaces a whole
    table: `--model-options '{"variant": "small"}'`. An option of an earlier version is accepted; a
    note on the standard error names the present one.

    Returns:
        The name of the experiment, if there is one, and the values by dotted field.

    Raises:
        UserError: if an option has no value or names no field, or two experiments are named.
    """
    config: str | None = None
    overrides: dict[str, Any] = {}
    remaining = list(words)
    while remaining:
        option = remaining.pop(0)
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
        text = value if equals else next(iter(remaining), "")
        is_table = text.startswith("{") and name in ExperimentConfig.model_fields
        is_option = name in field_names() or name in _OLD_OPTIONS
        if not (is_table or name.startswith("model_options.") or is_option):
            raise UserError(f"received --{option[2:]}, no such field{did_you_mean(name)}")
        if not equals:
            if not remaining or remaining[0].startswith("--"):
                raise UserError(f"received {option} without a value, expected {option} VALUE")
            value = remaining.pop(0)
        new_name, new_value = upgrade_override(name, _parse_value(option, name, value))
        overrides[new_name] = new_value
        if new_name != name:
            _print_renaming(name, value, new_name, new_value)
    return config, overrides


def _print_renaming(old_name: str, old_value: str, name: str, value: Any) -> None:
    old, new = (f"--{option.replace('_', '-')}" for option in (old_name, name))
    if isinstance(value, str) and value != old_value:
        old, new = f"{old} {old_value}", f"{new} {value}"
    typer.echo(f"note: {old} is now {new}", err=True)


def _parse_value(option: str, name: str, text: str) -> Any:
    # The config has no types for a network's options, so JSON determines them.
    is_untyped = name.startswith("model_options.")
    try:
        return json.loads(text) if is_untyped or text[:1] in {"[", "{", '"'} else text
    except ValueError:
        if is_untyped:
            return text
        raise UserError(f"received {option} {text}, which is not valid JSON") from None


def require_experiment(run: Run) -> ExperimentConfig:
    """Return the config of a run.

    Raises:
        UserError: if the run cannot be read, or was not trained here.
    """
    if run.config is None:
        raise UserError(f"{run.id} cannot be read: {run.problem}")
    if run.experiment is None:
        raise UserError(f"{run.id} was {run.origin}; expected a run that was trained here")
    return run.experiment
