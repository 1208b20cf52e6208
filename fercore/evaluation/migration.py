"""Bring runs of earlier versions to the present format, without training or predicting."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from fercore.config.upgrade import upgrade_fields
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.evaluation.protocol import build_protocol
from fercore.evaluation.results import evaluate_predictions, predictions_of
from fercore.io.files import atomic_write
from fercore.runs import damage
from fercore.runs.reader import Run
from fercore.runs.schema import FORMAT_VERSION, Results, SplitResult
from fercore.runs.writer import hold_lock


def has_old_format(run: Run) -> bool:
    """Return whether a readable run is of an earlier format version."""
    return run.config is not None and bool(_upgraded_files(run))


def upgrade_format(run: Run) -> None:
    """Write the records of a run of an earlier format version in the present one.

    The fields of `config.json` get their present names, and `format_version` is raised in the other
    records. No value changes; files of the present format are left alone.

    Raises:
        UserError: if the run is in use, or its files cannot be written.
    """
    try:
        with hold_lock(run.path):
            for name, fields in _upgraded_files(run).items():
                with atomic_write(run.path / name) as file:
                    file.write(_as_json(fields))
    except OSError as error:
        raise UserError(f"cannot write {run.path} ({error.strerror})") from None


def _upgraded_files(run: Run) -> dict[str, dict[str, Any]]:
    """Return the content in the present format of the records that are of an earlier one."""
    changed = {}
    config = json.loads(damage.read_record(run.path / "config.json"))
    upgraded = upgrade_fields(config)
    if upgraded != config:
        changed["config.json"] = upgraded
    records = {"environment.json": run.environment, "results.json": run.results}
    for name, record in records.items():
        if record is not None and record.format_version < FORMAT_VERSION:
            fields = json.loads(damage.read_record(run.path / name))
            changed[name] = fields | {"format_version": FORMAT_VERSION}
    return changed


def is_outdated(run: Run) -> bool:
    """Return whether a finished run lacks what `update` adds."""
    if run.results is None or run.config is None:
        return False
    stored = run.predictions("test")
    return run.groups_unknown or (stored is not None and stored.unique is None)


def update(run: Run, splits: Splits) -> Results:
    """Add groups and repeated images to a run of an earlier version.

    Both follow from its dataset and its protocol. `predictions.npz` gains the groups of dependent
    images, and which test images do not occur in training. With groups, `results.json` gains their
    number, and its intervals change. Everything else stays as it is, bit for bit.

    Args:
        run: finished, with predictions.
        splits: the run's dataset.

    Returns:
        The new results.

    Raises:
        UserError: if the run is not finished, the dataset or its samples are not those that the run
            was evaluated on, or the files cannot be written. The run is unchanged then.
    """
    if run.config is None or run.results is None or run.is_active:
        raise UserError(f"{run.id} is {run.state}; expected a finished run")
    fingerprint = run.environment.dataset_fingerprint if run.environment else splits.fingerprint
    if fingerprint != splits.fingerprint:
        raise UserError(
            f"{run.id} was evaluated on another {splits.name} (fingerprint {fingerprint}, here "
            f"{splits.fingerprint}); add the dataset again from the same files"
        )
    protocol = build_protocol(run.config, splits)
    probabilities = {}
    for role, split in protocol.eval_splits.items():
        stored = run.predictions(role)
        if stored is None and role == "validation" and role not in run.results.splits:
            continue
        if stored is None:
            raise UserError(f"{run.id} has no readable {role} predictions in predictions.npz")
        same = np.array_equal(stored.ids, split.ids) and np.array_equal(stored.labels, split.labels)
        if not same:
            raise UserError(
                f"{run.id} stores {role} predictions for other samples than its protocol gives on "
                f"{splits.name} now ({len(stored.ids):,}, here {len(split):,})"
            )
        probabilities[role] = stored.probabilities
    predictions = predictions_of(protocol, probabilities)
    views = {name: view for name, view in protocol.views.items() if view.role in predictions}
    evaluated = evaluate_predictions(replace(protocol, views=views), predictions)
    results = json.loads((run.path / "results.json").read_bytes())
    for name, fields in results["splits"].items():
        _add_intervals(run, name, fields, evaluated.get(name))
    with np.load(run.path / "predictions.npz", allow_pickle=False) as file:
        arrays = dict(file)
    for role, part in predictions.items():
        # Equal splits are stored once, as "test".
        if f"{role}_ids" in arrays and part.groups is not None:
            arrays[f"{role}_groups"] = part.groups
            arrays[f"{role}_group_kind"] = np.array(part.group_kind)
        if part.unique is not None:
            arrays[f"{role}_unique"] = part.unique
    content = _as_json(results)
    changed = Results.model_validate_json(content)
    try:
        with hold_lock(run.path), atomic_write(run.path / "predictions.npz") as target:
            np.savez_compressed(target, **arrays)
            with atomic_write(run.path / "results.json") as changed_results:
                changed_results.write(content)
    except OSError as error:
        raise UserError(f"cannot write {run.path} ({error.strerror})") from None
    return changed


def _as_json(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields, indent=1, allow_nan=False) + "\n").encode()


def _add_intervals(run: Run, name: str, fields: dict[str, Any], result: SplitResult | None) -> None:
    """Copy the intervals and groups of an evaluation of the same samples, if it has groups."""
    if result is None or result.confusion != fields["confusion"]:
        raise UserError(
            f"{run.id}: its predictions on {name} give another confusion matrix than results.json; "
            f"see: fercore runs check {run.id}"
        )
    if result.groups is None:
        return
    new_fields = result.model_dump(mode="json")
    for key in ("accuracy_low", "accuracy_high", "groups", "group_kind"):
        fields[key] = new_fields[key]
    for entry, new_entry in zip(fields["classes"], new_fields["classes"], strict=True):
        for key in ("recall_low", "recall_high", "groups"):
            entry[key] = new_entry[key]
