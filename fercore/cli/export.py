"""`fercore export`: write the `model.onnx` of a finished run."""

from typing import Annotated

import typer

from fercore.cli._native_output import suppress_native_stderr
from fercore.cli._options import DataRoot, RunsRoot
from fercore.cli._overrides import require_experiment
from fercore.config.experiment import ExperimentConfig
from fercore.errors import UserError
from fercore.paths import data_root, runs_root
from fercore.runs.listing import find_run
from fercore.runs.reader import Run, read_run
from fercore.runs.recreate import require_checkpoint


def export(
    run: Annotated[str, typer.Argument(help="A run's name or path.")],
    data: DataRoot = None,
    runs: RunsRoot = None,
) -> None:
    """Write a run's model.onnx from its checkpoint, and compare its predictions with Keras.

    A training on TensorFlow writes it by itself. Export a run that was trained on JAX afterwards,
    without KERAS_BACKEND.

    Example: fercore export RUN
    """
    from fercore.data.registry import load_dataset
    from fercore.data.splitting import split_dataset
    from fercore.runs.writer import hold_lock

    finished = find_run(runs_root(runs), run)
    _require_exportable(finished)
    with hold_lock(finished.path):  # a resumption would change the checkpoint
        finished = read_run(finished.path)
        config = _require_exportable(finished)
        splits = split_dataset(config, load_dataset(config.dataset, data_root(data)))
        with suppress_native_stderr():
            from fercore.training.onnx_export import export_finished_run
        onnx = export_finished_run(finished, splits["test"].images)
    typer.echo(
        f"{finished.path / 'model.onnx'}: {onnx.bytes / 1e6:.2f} MB, kernels in {onnx.weights}, "
        f"largest difference from Keras: {onnx.max_difference:.1e} on {onnx.n} images"
    )


def _require_exportable(run: Run) -> ExperimentConfig:
    """Return the config of a run that can be exported.

    Raises:
        UserError: if it is not finished, was not trained here, or lacks its checkpoint.
    """
    config = require_experiment(run)
    if run.results is None:
        raise UserError(f"received {run.id}, which is {run.state}; expected a finished run")
    require_checkpoint(run)
    return config
