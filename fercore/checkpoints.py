"""Weights and optimizer state on disk, as plain NumPy archives.

Independent of the Keras version and backend: the arrays stand in the order of the variables.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from fercore.errors import UserError
from fercore.recorder import replacing


def save(path: Path, variables: Sequence[keras.Variable], epoch: int) -> None:
    """Replace a checkpoint atomically.

    Args:
        path: of the `.npz` file.
        variables: what to store.
        epoch: whole epochs that led to it.
    """
    arrays = {
        f"{number:04d}": keras.ops.convert_to_numpy(variable.value)
        for number, variable in enumerate(variables)
    }
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, epoch=np.int64(epoch), **arrays)


def load(path: Path, variables: Sequence[keras.Variable]) -> int:
    """Set the variables to a checkpoint's values.

    Returns:
        Whole epochs that led to it.

    Raises:
        UserError: if the checkpoint is absent, damaged, or of another network or optimizer.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = [stored[name] for name in sorted(set(stored.files) - {"epoch"})]
            epoch = int(stored["epoch"])
    except FileNotFoundError:
        raise UserError(
            f"there is no checkpoint {path}: the run ended before its first epoch did, or its "
            "checkpoints were not kept; train it anew"
        ) from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"the checkpoint {path} is damaged ({error}); train anew") from None
    expected = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != expected:
        raise UserError(
            f"the checkpoint {path} holds {len(arrays)} arrays that do not fit the "
            f"{len(expected)} of this config; a run is resumed with the config it began with"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return epoch
