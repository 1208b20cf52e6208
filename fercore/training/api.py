"""Train an experiment from a script."""

from pathlib import Path
from typing import TYPE_CHECKING

from fercore import paths
from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import load_config
from fercore.runs.reader import Run, read_run
from fercore.runs.recreate import train_command
from fercore.runs.writer import RunWriter
from fercore.training.new_run import check_request, train_in

if TYPE_CHECKING:
    from fercore.training.callbacks import OnProgress


def train(
    config: str | Path | ExperimentConfig,
    runs_root: str | Path | None = None,
    data_root: str | Path | None = None,
    *,
    on_progress: "OnProgress" = lambda progress: None,
) -> Run:
    """Train an experiment and write its run directory, as `fercore train` does.

    Keras is imported on the first call, which takes ten seconds or more; `KERAS_BACKEND` selects
    TensorFlow or JAX. Nothing is printed.

    Args:
        config: the name of a shipped experiment, the path of a TOML file or of a run's
            `config.json`, or what `fercore.load_config` returns.
        runs_root: folder of the runs; `$FERCORE_RUNS` or `./runs` if absent.
        data_root: folder of the datasets; `$FERCORE_DATA` or `./data` if absent.
        on_progress: called often with a `fercore.training.callbacks.Progress`; must be quick.

    Returns:
        The finished run.

    Raises:
        UserError: if the experiment or its dataset does not exist, a field is out of range, or the
            run directory cannot be written; as `fercore.errors.DivergedError` if the loss is not a
            finite number.
        KeyboardInterrupt: if it is interrupted before the end of the first epoch, or twice. One
            interrupt after that ends the training, and what it has reached is evaluated.

    Example:
        >>> config = fercore.load_config("synthetic-quick", {"epochs": 1, "seed": 3})
        >>> run = fercore.train(config)
        >>> run.state, run.results.epochs_run
        ('finished', 1)
    """
    experiment = config if isinstance(config, ExperimentConfig) else load_config(config)
    root = paths.runs_root(None if runs_root is None else Path(runs_root))
    data = paths.data_root(None if data_root is None else Path(data_root))
    request = check_request(experiment, root, data)
    if request.config.devices > 1:
        from fercore.training.device import require_devices

        require_devices(request.config.devices)
    # Imported before the run directory exists, so that a failed import leaves none behind.
    from fercore.training import trainer  # noqa: F401

    with RunWriter.create(root, request.config) as writer:
        command = train_command(read_run(writer.path))
        train_in(writer, request, command=command, on_progress=on_progress)
    return read_run(writer.path)
