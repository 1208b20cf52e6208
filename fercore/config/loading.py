"""Load experiment configurations from TOML files, and apply overrides."""

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fercore.config.experiment import ExperimentConfig
from fercore.config.upgrade import RENAMED_FIELDS, upgrade_fields, upgrade_override
from fercore.errors import UserError
from fercore.io import bounded_json
from fercore.io.files import read_regular

_MAX_BYTES = 1 << 20


def list_configs() -> tuple[str, ...]:
    """Return the names of the committed experiments, sorted."""
    folder = resources.files("fercore") / "configs"
    files = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def load_config(
    name_or_path: str | Path, overrides: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """Load an experiment, with overrides.

    If an override changes the test images, the config has no published figure. If it changes the
    name but not the title, the title is the name. Names of earlier versions are accepted.

    Args:
        name_or_path: a name from `list_configs()`, or the path of a TOML file or of a run's
            `config.json`.
        overrides: values by dotted field, such as `{"optimizer.learning_rate": 0.01}`.

    Returns:
        The frozen configuration.

    Raises:
        UserError: if the experiment does not exist, or a field is unknown or out of range.

    Example:
        >>> config = fercore.load_config("le2019-deep", {"optimizer.learning_rate": 0.01})
        >>> config.dataset, config.optimizer.learning_rate
        ('fer2013', 0.01)
    """
    fields = upgrade_fields(_read(name_or_path))
    changes = dict(
        upgrade_override(name.replace("-", "_"), value) for name, value in (overrides or {}).items()
    )
    if "name" in changes:
        changes.setdefault("title", changes["name"])
    published = changes and fields.get("published")
    original = parse_config(fields, source=str(name_or_path)) if published else None
    for dotted, value in changes.items():
        _assign(fields, dotted.split("."), value)
    config = parse_config(fields, source=str(name_or_path))
    if original and _test_set(config) != _test_set(original):
        return config.model_copy(update={"published": None})
    return config


def _test_set(config: ExperimentConfig) -> tuple[object, ...]:
    return config.dataset, config.drop_classes, config.protocol.split, config.protocol.test


def parse_config(fields: Mapping[str, Any], source: str) -> ExperimentConfig:
    """Validate the fields of a config; error messages name their `source`.

    Raises:
        UserError: if a field is unknown, missing or out of range.
    """
    try:
        # Lax on purpose: overrides arrive from the command line as text.
        return ExperimentConfig.model_validate(fields)
    except ValidationError as error:
        raise UserError(f"{source}: {_first_problem(error)}") from None


def field_names(model: type[BaseModel] = ExperimentConfig, prefix: str = "") -> tuple[str, ...]:
    """Return the dotted names of all fields of a config, in order of declaration."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            names.extend(field_names(annotation, f"{prefix}{name}."))
        else:
            names.append(prefix + name)
    return tuple(names)


def _read(name_or_path: str | Path) -> dict[str, Any]:
    text = str(name_or_path)
    path = Path(text)
    if path.suffix in {".toml", ".json"}:
        try:
            content = read_regular(path, _MAX_BYTES)
        except OSError as error:
            raise UserError(
                f"received the config {text!r}, which cannot be read ({error.strerror}); "
                "give a TOML file or a name that `fercore configs` lists"
            ) from None
    elif text in list_configs():
        content = (resources.files("fercore") / "configs" / f"{text}.toml").read_bytes()
    else:
        raise UserError(
            f"received the config {text!r}, expected a .toml file or one of: "
            f"{', '.join(list_configs())}"
        )
    try:
        if path.suffix == ".json":
            fields = bounded_json.parse(content)
        else:
            fields = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{text} is not valid {path.suffix[1:].upper() or 'TOML'}: {error}"
        ) from None
    if not isinstance(fields, dict):
        raise UserError(f"{text}: received a {type(fields).__name__}, expected a table of fields")
    return fields


def _assign(fields: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    head, *rest = (key.replace("-", "_") for key in keys)
    if not rest:
        fields[head] = value
        return
    inner = fields.get(head)
    fields[head] = dict(inner) if isinstance(inner, Mapping) else {}
    _assign(fields[head], rest, value)


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    problem = problems[0]
    # A union adds the branch it tried to the location; only field names are of use to the reader.
    where = ".".join(str(part) for part in problem["loc"] if part not in {"bool", "int", "float"})
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        return f"unknown field {where!r}{did_you_mean(where)}{more}"
    if problem["type"] == "missing":
        return f"the field {where!r} is missing{more}"
    if problem["type"] == "value_error":
        return f"{where or 'config'}: {problem['ctx']['error']}{more}"
    expected = problem["msg"][0].lower() + problem["msg"][1:]
    return f"received {where} = {problem['input']!r}, {expected}{more}"


def did_you_mean(name: str) -> str:
    """Return the end of an error message for an unknown field: the closest field, or all."""
    from difflib import get_close_matches

    close = [RENAMED_FIELDS[name]] if name in RENAMED_FIELDS else []
    close = close or get_close_matches(name, field_names(), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else f"; fields: {', '.join(field_names())}"
