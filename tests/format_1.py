"""Run directories of format 1, as version 0.1 wrote them."""

import json
from pathlib import Path
from typing import Any

# Old name by new name, and old value by new value.
_OLD_NAMES = {
    "": {"init_from": "start_from"},
    "distillation": {"mode": "asked"},
    "optimizer": {"ema_momentum": "average"},
    "augmentation": {"class_multipliers": "times"},
    "protocol": {"leak_free": "honest"},
    "combined": {"tta": "views"},
}
_OLD_VALUES = {
    ("distillation", "mode"): {"online": "each_batch", "precomputed": "once"},
    ("combined", "tta"): {"none": "one", "ten_view": "ten"},
}


def downgrade_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a `config.json` with the names and values of format 1."""
    return {
        _OLD_NAMES[""].get(name, name): (
            _downgrade_table(name, value) if isinstance(value, dict) else value
        )
        for name, value in fields.items()
    }


def downgrade_run(path: Path) -> None:
    """Rewrite the records of a run directory of the present format in format 1."""
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(downgrade_fields(config), indent=1) + "\n")
    for name in ("environment.json", "results.json"):
        if (path / name).is_file():
            fields = json.loads((path / name).read_text()) | {"format_version": 1}
            (path / name).write_text(json.dumps(fields, indent=1) + "\n")


def _downgrade_table(table: str, fields: dict[str, Any]) -> dict[str, Any]:
    names = _OLD_NAMES.get(table, {})
    return {
        names.get(name, name): _OLD_VALUES.get((table, name), {}).get(value, value)
        if isinstance(value, str)
        else value
        for name, value in fields.items()
    }
