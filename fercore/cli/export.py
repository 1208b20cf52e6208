"""`fercore export`: write the `model.onnx` of a finished run anew."""

from typing import TYPE_CHECKING, Annotated

import typer

from fercore.cli._native_output import suppress_native_stderr
from fercore.cli._options import DataRoot, RunsRoot
from fercore.config.experiment import ExperimentConfig
from fercore.errors import UserError
from fercore.paths import data_root, runs_root
from fercore.runs.listing import find_run
from fercore.runs.reader import Run, read_run
from fercore.runs.recreate import require_checkpoint

if TYPE_CHECKING:
    pass
from fercore.cli._overrides import require_experiment


def export(
    run: Annotated[str, typer.Argument(help="A run's name or path.")],
    data: DataRoot = None,
    runs: RunsRoot = None,
) -> None:
    """Write a run's model.onnx from its checkpoint, and compare it with Keras.

    Training does this by itself where Keras computes on TensorFlow; a run that was trained on JAX
    is exported afterwards, without KERAS_BACKEND.

    Example: fercore export RUN
    """
    from fercore.data.registry import load_dataset
    from fercore.data.splitting import split_dataset
    from fercore.runs.writer import hold_lock

    found = find_run(runs_root(runs), run)
    _exportable(found)
    with hold_lock(found.path):  # a resumption would change the checkpoint meanwhile
        found = read_run(found.path)
        config = _exportable(found)
        splits = split_dataset(config, load_dataset(config.dataset, data_root(data)))
        with suppress_native_stderr():
            from fercore.training.onnx_export import export_finished_run
        onnx = export_finished_run(found, splits["test"].images)
    typer.echo(
        f"{found.path / 'model.onnx'}: {onnx.bytes / 1e6:.2f} MB, kernels in {onnx.weights}, "
        f"probabilities equal to Keras's within {onnx.max_difference:.1e} over {onnx.n} images"
    )


def _exportable(run: Run) -> ExperimentConfig:
    config = require_experiment(run)
    if run.results is None:
        raise UserError(f"{run.id} is {run.state}, expected a finished run")
    require_checkpoint(run)
    return config
