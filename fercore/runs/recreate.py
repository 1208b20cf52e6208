"""Find the command that makes the network of a run that has no `model.onnx` here."""

import shlex
from contextlib import suppress
from pathlib import Path

from fercore.config.loading import list_configs, load_config
from fercore.config.run import CombinedConfig, ImportedConfig
from fercore.errors import UserError
from fercore.paths import runs_root
from fercore.runs.reader import Run


def has_network(run: Run) -> bool:
    """Return whether a run is finished, and its `model.onnx` is here and of the right size."""
    exists = run.config and run.results and run.onnx_path
    return bool(exists) and "model.onnx" not in run.damaged


def require_network(run: Run) -> Path:
    """Return the path of a finished run's `model.onnx`.

    Raises:
        UserError: if the run is not finished, or its network is not here or damaged. The message
            says which command makes the network.
    """
    if not has_network(run):
        raise UserError(missing_network(run))
    return run.path / "model.onnx"


def require_checkpoint(run: Run) -> Path:
    """Return the Keras checkpoint that a finished run's network is exported from.

    Raises:
        UserError: if the run is not finished, its checkpoint is not here, or a random forest gives
            its predictions.
    """
    if run.experiment and run.experiment.head != "network":
        raise UserError(
            f"{run.id} predicts by a random forest on its network's features, which model.onnx "
            "does not hold; expected a run whose network gives the predictions"
        )
    if run.results is None or not run.keras_path.is_file():
        raise UserError(
            f"{run.id} has no checkpoints/model.keras here, which git does not carry; export it "
            "where it was trained, or train it again and use the new run instead: "
            f"{train_command(run)}"
        )
    return run.keras_path


def missing_network(run: Run) -> str:
    """Return one line: the run has no complete network here, and how to make it."""
    if "model.onnx" in run.damaged:
        return f"{run.id}: {run.damaged['model.onnx']}; {how_to_recreate(run)}"
    return f"{run.id} has no network (model.onnx) here; {how_to_recreate(run)}"


def how_to_recreate(run: Run) -> str:
    """Describe how to make the network of a run that has none, with the command if there is one."""
    if run.config is None or run.problem:
        return f"the run cannot be read: {run.problem}"
    if run.is_active:
        return "it is written when the training ends"
    if run.results is None:
        if run.can_resume:
            return f"the run is {run.state}, resume it: fercore train --resume {_name(run)}"
        return f"the run is {run.state}, train it again: {train_command(run)}"
    if isinstance(run.config, ImportedConfig) and run.config.imported.kind == "predictions":
        return "predictions were imported, without a network"
    command = run.environment.command if run.environment else ""
    if run.origin == "imported":
        return f"import it again: {command}"
    if isinstance(run.config, CombinedConfig) and run.results.onnx is None:
        members, average = run.config.combined.members, run.config.combined.average
        words = ["fercore", "ensemble", *members]
        if average != "arithmetic":
            words += ["--mean", average]
        return (
            "it was made from stored predictions; combine its members again once each of them has "
            f"a network: {shlex.join(words)}"
        )
    if run.origin == "combined":
        return f"combine its members again, once each of them has a network: {command}"
    if run.experiment and run.experiment.head != "network":
        return "a random forest gives the predictions, and it cannot be exported"
    if run.keras_path.is_file():
        return f"export it: fercore export {_name(run)}"
    return f"train it again and use the new run instead: {train_command(run)}"


def train_command(run: Run) -> str:
    """Return the command that trains a run again, from scratch and as a new run.

    It names the experiment if the run's config is that of the committed experiment, and otherwise
    the run's own `config.json`.

    Args:
        run: trained here or elsewhere, not imported or combined.
    """
    config = run.experiment
    if config is not None and config.name in list_configs():
        options = {"seed": config.seed}
        if config.protocol.fold:
            options["protocol.fold"] = config.protocol.fold
        with suppress(UserError):  # a fold that the committed experiment does not have
            committed = load_config(config.name, options)
            if config.protocol == committed.protocol and config.is_same_experiment(committed):
                texts = ((f"--{name}", str(value)) for name, value in options.items())
                words = [word for pair in texts for word in pair]
                return shlex.join(["fercore", "train", config.name, *words])
    file, folder = run.path.absolute() / "config.json", Path.cwd()
    path = file.relative_to(folder) if file.is_relative_to(folder) else file
    return shlex.join(["fercore", "train", str(path)])


def _name(run: Run) -> str:
    # A run outside the default root has to be named by its path.
    path = run.path.absolute()
    return run.id if path.parent == runs_root() else shlex.quote(str(path))
