"""Weights and optimizer state on disk, as plain NumPy archives.

Independent of the Keras version and backend: the arrays stand in the order of the variables.
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
    """Replace a checkpoint of variables, or of copies of their values.

    Args:
        path: an `.npz` file.
        variables: what to store.
        epoch: whole epochs that led to them.

    Raises:
        OSError: if the disk refuses; the old file is intact.
    """
    _write(path, {"epoch": np.int64(epoch), **_numbered("", variables)})


def save_training(path: Path, state: State, best: Weights, log: Sequence[EpochLog]) -> None:
    """Replace the checkpoint that a training goes on from.

    Everything that a resumption needs is in this one file, so that no moment at which the process
    or the machine dies leaves weights, best weights and log of different epochs.

    Args:
        path: an `.npz` file.
        state: of the network and its optimizer.
        best: the weights that were the best so far.
        log: the whole epochs that led to the state.

    Raises:
        OSError: if the disk refuses; the old file is intact.
    """
    lines = "\n".join(row.model_dump_json() for row in log)
    _write(
        path,
        {
            "epoch": np.int64(len(log)),
            "log": np.frombuffer(lines.encode(), np.uint8),
            "best_epoch": np.int64(best.epoch),
            **_numbered("best_", best.arrays),
            **_numbered("", state),
        },
    )


def _numbered(prefix: str, variables: State) -> dict[str, NDArray[Any]]:
    return {
        f"{prefix}{number:04d}": keras.ops.convert_to_numpy(variable)
        for number, variable in enumerate(variables)
    }


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(path: Path, variables: Sequence[keras.Variable]) -> int:
    """Set the variables to a checkpoint's values.

    Returns:
        Whole epochs that led to it.

    Raises:
        UserError: if the checkpoint is absent, damaged, or of another network or optimizer.
    """
    with _opened(path) as stored:
        arrays, epoch = _arrays(stored, ""), int(stored["epoch"])
    _require_fit(path, arrays, variables)
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return epoch


def load_training(
    run: Path, state: Sequence[keras.Variable], weights: Sequence[keras.Variable]
) -> tuple[list[EpochLog], Weights]:
    """Set the state of a training to what `save_training` stored.

    Args:
        run: the run directory.
        state: variables of the network and its optimizer.
        weights: those of the network.

    Returns:
        The log of the epochs that led to the state, and the best weights.

    Raises:
        UserError: if the checkpoint is absent, damaged, or of another network or optimizer; of a
            run of an earlier version, if its log or its best weights are of other epochs.
    """
    path = run / "checkpoints" / "last.npz"
    epoch = load(path, state)
    with _opened(path) as stored:
        if "log" not in stored:
            return _load_earlier(run, epoch, weights)
        lines = bytes(stored["log"]).splitlines()
        log = [EpochLog.model_validate_json(line) for line in lines]
        best = Weights(int(stored["best_epoch"]), _arrays(stored, "best_"))
    _require_fit(path, best.arrays, weights)
    return log, best


def _load_earlier(
    run: Path, epoch: int, weights: Sequence[keras.Variable]
) -> tuple[list[EpochLog], Weights]:
    """Log and best weights of a run that stored them apart from the state."""
    log = read_log(run)[:epoch]
    if [row.epoch for row in log] != list(range(1, epoch + 1)):
        raise UserError(
            f"{run / 'log.jsonl'} is damaged: expected the epochs 1 to {epoch}, of which the "
            f"checkpoint is, found {len(log)} in order; restore the file, or train anew"
        )
    path = run / "checkpoints" / "best.npz"
    with _opened(path) as stored:
        best = Weights(int(stored["epoch"]), _arrays(stored, ""))
    if best.epoch > epoch:
        raise UserError(
            f"{path} is of epoch {best.epoch}, but last.npz of epoch {epoch}: the process died "
            "between the two; train anew"
        )
    _require_fit(path, best.arrays, weights)
    return log, best


def _arrays(stored: Any, prefix: str) -> list[NDArray[Any]]:
    names = [name for name in stored.files if name.removeprefix(prefix).isdigit()]
    return [stored[name] for name in sorted(names) if name.startswith(prefix)]


def _require_fit(
    path: Path, arrays: Sequence[NDArray[Any]], variables: Sequence[keras.Variable]
) -> None:
    expected = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != expected:
        raise UserError(
            f"the checkpoint {path} holds {len(arrays)} arrays that do not fit the "
            f"{len(expected)} of this config; a run is resumed with the config it began with"
        )


def epoch_of(path: Path) -> int:
    """Return how many whole epochs led to a checkpoint.

    Raises:
        UserError: if the checkpoint is absent or damaged.
    """
    with _opened(path) as stored:
        return int(stored["epoch"])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            yield stored
    except FileNotFoundError:
        raise UserError(
            f"there is no checkpoint {path}: the run ended before its first epoch did, or its "
            "checkpoints were not kept; train it anew"
        ) from None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"the checkpoint {path} is damaged ({error}); train anew") from None


def load_initial_weights(run: Run, network: keras.Model) -> None:
    """Give a network the best weights of a run, but for the last layer, which fits the classes.

    Args:
        run: one that `fercore.training.warm_start.resolve_initial_run` gave; its label set may be
            another.
        network: freshly built.

    Raises:
        UserError: if the checkpoint is damaged, of another image size, or diverged.
    """
    known = _rebuilt(run, network.input_shape[1:])
    for layer in network.layers[:-1]:
        layer.set_weights(known.get_layer(layer.name).get_weights())


def load_teacher(run: Run, input_shape: tuple[int, int, int]) -> keras.Model:
    """The network of a run with its best weights, which are never trained.

    Args:
        run: one that `fercore.training.warm_start.resolve_teachers` gave.
        input_shape: `(height, width, 1)`.

    Raises:
        UserError: if the checkpoint is damaged, of another image size, or diverged.
    """
    network = _rebuilt(run, input_shape)
    network.trainable = False
    return network


def _rebuilt(run: Run, input_shape: tuple[int, int, int]) -> keras.Model:
    config = run.experiment
    assert config is not None  # fercore.training.warm_start
    assert run.results is not None
    network = models.build(
        config.model, input_shape, len(run.results.class_names), config.model_options
    )
    load(run.best_path, network.variables)
    if not all(np.isfinite(weight).all() for weight in network.get_weights()):
        raise UserError(f"the weights of {run.id} are not finite numbers; expected another run")
    return network
