"""Rename the fields of configurations that an earlier version wrote.

Run directories of format 1, TOML files of users and options of the command line may use the old
names. To rename a field, add it to `RENAMED_FIELDS`, add its renamed values to `_RENAMED_VALUES`,
and raise `fercore.runs.schema.FORMAT_VERSION`.
"""

from collections.abc import Mapping
from typing import Any

# New names by old names, both dotted. A renamed field stays in its table.
RENAMED_FIELDS = {
    "start_from": "init_from",
    "distillation.asked": "distillation.mode",
    "optimizer.average": "optimizer.ema_momentum",
    "augmentation.times": "augmentation.class_multipliers",
    "protocol.honest": "protocol.leak_free",
    "combined.views": "combined.tta",
}
# New values by old values, for each old name.
_RENAMED_VALUES = {
    "distillation.asked": {"each_batch": "online", "once": "precomputed"},
    "combined.views": {"one": "none", "ten": "ten_view"},
}
_TABLES = {name.rpartition(".")[0] for name in RENAMED_FIELDS}


def upgrade_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parsed configuration with the present names, in the same order.

    A field that is given under its old and its new name is left as it is, for the validation to
    refuse.

    Args:
        fields: of a run's `config.json` or a TOML file, nested. It is not changed.
    """
    return _upgrade_table(fields, "")


def upgrade_override(name: str, value: Any) -> tuple[str, Any]:
    """Return the present name and value of an override.

    Args:
        name: dotted, such as `"optimizer.average"`.
        value: of the field, or of a whole table.
    """
    if name in RENAMED_FIELDS:
        return RENAMED_FIELDS[name], _upgrade_value(name, value)
    # Other tables are not visited: a hostile file may nest them thousands deep.
    if name in _TABLES and isinstance(value, Mapping):
        return name, _upgrade_table(value, f"{name}.")
    return name, value


def _upgrade_table(table: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    upgraded: dict[str, Any] = {}
    for key, value in table.items():
        new_name, new_value = upgrade_override(f"{prefix}{key}", value)
        new_key = new_name.removeprefix(prefix)
        if new_key != key and new_key in table:
            new_key, new_value = key, value
        upgraded[new_key] = new_value
    return upgraded


def _upgrade_value(old_name: str, value: Any) -> Any:
    if not isinstance(value, str):  # such as a list, which no dictionary can look up
        return value
    return _RENAMED_VALUES.get(old_name, {}).get(value, value)
