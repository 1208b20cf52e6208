"""Weights and optimizer state on disk, as plain NumPy archives.

Independent of the Keras version and backend: the arrays stand in the order of the variables.
"""

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fercore import models
from fercore.errors import UserError
from fercore.files import replacing
from fercore.runs import Run

State = Sequence[keras.Variable] | Sequence[NDArray[Any]]


def save(states: Mapping[Path, State], epoch: int) -> None:
    """Replace checkpoints, all of them or none.

    Args:
        states: what to store, or copies of their values, by `.npz` file.
        epoch: whole epochs that led to them.

    Raises:
        OSError: if the disk refuses; the old ones are intact.
    """
    with ExitStack() as files:  # which take their names at its end, the last one first
        for path, variables in states.items():
            arrays = {
                f"{number:04d}": keras.ops.convert_to_numpy(variable)
                for number, variable in enumerate(variables)
            }
            file = files.enter_context(replacing(path))
            np.savez(file, allow_pickle=False, epoch=np.int64(epoch), **arrays)
            file.flush()


def load(path: Path, variables: Sequence[keras.Variable]) -> int:
    """Set the variables to a checkpoint's values.

    Returns:
        Whole epochs that led to it.

    Raises:
        UserError: if the checkpoint is absent, damaged, or of another network or optimizer.
    """
    with _opened(path) as stored:
        arrays = [stored[name] for name in sorted(set(stored.files) - {"epoch"})]
        epoch = int(stored["epoch"])
    expected = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != expected:
        raise UserError(
            f"the checkpoint {path} holds {len(arrays)} arrays that do not fit the "
            f"{len(expected)} of this config; a run is resumed with the config it began with"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return epoch


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


def start_from(run: Run, network: keras.Model) -> None:
    """Give a network the best weights of a run, but for the last layer, which fits the classes.

    Args:
        run: one that `fercore.lineage.find_start` gave; its label set may be another.
        network: freshly built.

    Raises:
        UserError: if the checkpoint is damaged, or of another image size.
    """
    known = _rebuilt(run, network.input_shape[1:])
    for layer in network.layers[:-1]:
        layer.set_weights(known.get_layer(layer.name).get_weights())


def teacher(run: Run, input_shape: tuple[int, int, int]) -> keras.Model:
    """The network of a run with its best weights, which are never trained.

    Args:
        run: one that `fercore.lineage.find_teachers` gave.
        input_shape: `(height, width, 1)`.

    Raises:
        UserError: if the checkpoint is damaged, or of another image size.
    """
    network = _rebuilt(run, input_shape)
    network.trainable = False
    return network


def _rebuilt(run: Run, input_shape: tuple[int, int, int]) -> keras.Model:
    config = run.experiment
    assert config is not None  # fercore.lineage
    assert run.results is not None
    network = models.build(
        config.model, input_shape, len(run.results.class_names), config.model_options
    )
    load(run.best_path, network.variables)
    return network
