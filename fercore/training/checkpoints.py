"""Save and load weights and optimizer states as NumPy archives.

The files do not depend on the Keras version or backend: the arrays are numbered in the order of the
variables.
"""

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fercore import models
from fercore.errors import UserError
from fercore.io.files import atomic_write
from fercore.runs.reader import Run, read_log
from fercore.runs.schema import EpochLog

State = Sequence[keras.Variable] | Sequence[NDArray[Any]]


@dataclass(frozen=True)
class Weights:
    """The weights of a network after one epoch, in the order of its variables."""

    epoch: int
    arrays: Sequence[NDArray[Any]]


def save(path: Path, variables: State, epoch: int) -> None:
    """Save variables, or copies of their values; replace an existing file atomically.

    Args:
        path: an `.npz` file.
        variables: what to store.
        epoch: number of complete epochs of training.

    Raises:
        OSError: if the file cannot be written. An existing file is then unchanged.
    """
    _write_archive(path, {"epoch": np.int64(epoch), **_number_arrays("", variables)})


def save_training(path: Path, state: State, best: Weights, log: Sequence[EpochLog]) -> None:
    """Save the checkpoint from which a training is resumed; replace an existing one atomically.

    Everything that a resumption needs is in this one file. If the process or the machine dies at
    any moment, the state, the best weights and the log are still of the same epoch.

    Args:
        path: an `.npz` file.
        state: the variables of the network and its optimizer.
        best: the best weights so far.
        log: the log rows of all complete epochs.

    Raises:
        OSError: if the file cannot be written. An existing file is then unchanged.
    """
    lines = "\n".join(row.model_dump_json() for row in log)
    _write_archive(
        path,
        {
            "epoch": np.int64(len(log)),
            "log": np.frombuffer(lines.encode(), np.uint8),
            "best_epoch": np.int64(best.epoch),
            **_number_arrays("best_", best.arrays),
            **_number_arrays("", state),
        },
    )


def _number_arrays(prefix: str, variables: State) -> dict[str, NDArray[Any]]:
    return {
        f"{prefix}{number:04d}": keras.ops.convert_to_numpy(variable)
        for number, variable in enumerate(variables)
    }


def _write_archive(path: Path, arrays: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(path: Path, variables: Sequence[keras.Variable]) -> int:
    """Load a checkpoint into variables.

    Returns:
        The number of complete epochs of training.

    Raises:
        UserError: if the checkpoint is absent or damaged, or is of another network or optimizer.
    """
    with _open_checkpoint(path) as archive:
        arrays, epoch = _read_arrays(archive, ""), int(archive["epoch"])
    _require_matching_shapes(path, arrays, variables)
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return epoch


def load_training(
    run: Path, state: Sequence[keras.Variable], weights: Sequence[keras.Variable]
) -> tuple[list[EpochLog], Weights]:
    """Load what `save_training` stored.

    Args:
        run: the run directory.
        state: the variables of the network and its optimizer, which are set.
        weights: the variables of the network; only their shapes are used.

    Returns:
        The log rows of all complete epochs, and the best weights.

    Raises:
        UserError: if the checkpoint is absent or damaged, or is of another network or optimizer. If
            the run has the format of an earlier version: if its log or its best weights are of
            other epochs.
    """
    path = run / "checkpoints" / "last.npz"
    epoch = load(path, state)
    with _open_checkpoint(path) as archive:
        if "log" not in archive:
            return _load_earlier_format(run, epoch, weights)
        lines = bytes(archive["log"]).splitlines()
        log = [EpochLog.model_validate_json(line) for line in lines]
        best = Weights(int(archive["best_epoch"]), _read_arrays(archive, "best_"))
    _require_matching_shapes(path, best.arrays, weights)
    return log, best


def _load_earlier_format(
    run: Path, epoch: int, weights: Sequence[keras.Variable]
) -> tuple[list[EpochLog], Weights]:
    """Load log and best weights from files of their own, where earlier versions stored them."""
    log = read_log(run)[:epoch]
    if [row.epoch for row in log] != list(range(1, epoch + 1)):
        raise UserError(
            f"{run / 'log.jsonl'} is damaged: received {len(log)} epochs in order, expected the "
            f"epochs 1 to {epoch} of the checkpoint; restore the file, or train again from the "
            "start"
        )
    path = run / "checkpoints" / "best.npz"
    with _open_checkpoint(path) as archive:
        best = Weights(int(archive["epoch"]), _read_arrays(archive, ""))
    if best.epoch > epoch:
        raise UserError(
            f"{path} is of epoch {best.epoch}, but last.npz is of epoch {epoch}: the process died "
            "between the two writes; train again from the start"
        )
    _require_matching_shapes(path, best.arrays, weights)
    return log, best


def _read_arrays(archive: Any, prefix: str) -> list[NDArray[Any]]:
    names = [name for name in archive.files if name.removeprefix(prefix).isdigit()]
    return [archive[name] for name in sorted(names) if name.startswith(prefix)]


def _require_matching_shapes(
    path: Path, arrays: Sequence[NDArray[Any]], variables: Sequence[keras.Variable]
) -> None:
    expected = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != expected:
        raise UserError(
            f"the checkpoint {path} holds {len(arrays)} arrays that do not fit the "
            f"{len(expected)} variables of this config; resume a run with the config that it "
            "began with"
        )


def epoch_of(path: Path) -> int:
    """Return the number of complete epochs of a checkpoint.

    Raises:
        UserError: if the checkpoint is absent or damaged.
    """
    with _open_checkpoint(path) as archive:
        return int(archive["epoch"])


@contextmanager
def _open_checkpoint(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            yield archive
    except FileNotFoundError:
        raise UserError(
            f"there is no checkpoint {path}: the run ended before its first epoch did, or its "
            "checkpoints were deleted; train again from the start"
        ) from None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"the checkpoint {path} is damaged ({error}); train again from the start"
        ) from None


def load_initial_weights(run: Run, network: keras.Model) -> None:
    """Copy the best weights of a run into a network, except for those of the last layer.

    The last layer depends on the classes, which may differ.

    Args:
        run: a run that `fercore.training.warm_start.resolve_initial_run` returned.
        network: freshly built.

    Raises:
        UserError: if the checkpoint is damaged, of another image size, or diverged.
    """
    source = _rebuild_network(run, network.input_shape[1:])
    for layer in network.layers[:-1]:
        layer.set_weights(source.get_layer(layer.name).get_weights())


def load_teacher(run: Run, input_shape: tuple[int, int, int]) -> keras.Model:
    """Return the network of a run with its best weights, frozen.

    Args:
        run: a run that `fercore.training.warm_start.resolve_teachers` returned.
        input_shape: `(height, width, 1)`.

    Raises:
        UserError: if the checkpoint is damaged, of another image size, or diverged.
    """
    network = _rebuild_network(run, input_shape)
    network.trainable = False
    return network


def _rebuild_network(run: Run, input_shape: tuple[int, int, int]) -> keras.Model:
    config = run.experiment
    assert config is not None  # fercore.training.warm_start has checked it
    assert run.results is not None
    network = models.build(
        config.model, input_shape, len(run.results.class_names), config.model_options
    )
    load(run.best_path, network.variables)
    if not all(np.isfinite(weight).all() for weight in network.get_weights()):
        raise UserError(
            f"the weights of {run.id} contain values that are not finite; choose another run"
        )
    return network
