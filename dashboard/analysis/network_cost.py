"""The computation that one prediction of a run takes."""

from collections.abc import Callable
from functools import lru_cache

from fercore.config.run import CombinedConfig
from fercore.runs.macs import count_macs
from fercore.runs.reader import Run

# Views of each image that every member of an ensemble predicts.
_VIEWS = {"none": 1, "flip": 2, "ten_view": 10}


def count_prediction_macs(run: Run, find: Callable[[str], Run | None]) -> int | None:
    """Return the multiply-accumulate operations of one prediction: of all members and views.

    Args:
        run: any.
        find: returns a run by its name, for the members of an ensemble.

    Returns:
        The count; `None` where a layer table is missing.
    """
    if not isinstance(run.config, CombinedConfig):
        return _macs_of_layers(run)
    combined = run.config.combined
    total = 0
    for name in combined.members:
        member = find(name)
        macs = count_prediction_macs(member, find) if member else None
        if macs is None:
            return None
        total += macs
    return total * _VIEWS[combined.tta]


# Runs are compared by identity: a run that was read again has no entry yet.
@lru_cache(maxsize=4096)
def _macs_of_layers(run: Run) -> int | None:
    return count_macs(run.layers())
