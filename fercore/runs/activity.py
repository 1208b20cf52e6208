"""Decide whether the process that writes a run is still alive."""

import os.path
from pathlib import Path
from typing import Literal

from fercore.runs import locks
from fercore.runs.schema import Status

# A trainer writes `status.json` every 5 seconds; a network file system may show that a minute late.
SILENT_SECONDS = 120.0
# A file that was written so long after the heartbeat in it is a copy.
_COPY_SECONDS = 3600.0
# The states of a run that is being trained, and those of a stopped run that can be resumed.
ACTIVE_STATES = ("starting", "running")
HALTED_STATES = ("interrupted", "stalled", "failed")


def claims_activity(status: Status) -> bool:
    """Return whether `status.json` states that a run is starting or running; it may be outdated."""
    return status.state in ACTIVE_STATES


def is_alive(path: Path, status: Status) -> bool:
    """Return whether the process of a run that is starting or running is alive.

    Args:
        path: the run directory.
        status: content of its `status.json`.
    """
    if not claims_activity(status):
        return False
    if status.locked:
        held = locks.is_held(path)
        if held:
            return True
        if held is False and lock_decides(status):
            return False
    return gives_signs_of_life(path, status)


def gives_signs_of_life(path: Path, status: Status) -> bool:
    """Return whether a run's `status.json` was written within the last two minutes.

    This counts where the lock of the run cannot be checked.

    The clock of the machine that trains may be wrong, so only the clock of the file system is used.
    """
    file = path / "status.json"
    try:
        copied = os.stat(file).st_mtime - status.heartbeat > _COPY_SECONDS
        return not copied and locks.seconds_since_written(file) < SILENT_SECONDS
    except OSError:
        return False


def lock_decides(status: Status) -> bool:
    """Return whether a free lock means that the process has ended.

    It does not for a process on another machine: some network file systems do not share locks
    between machines.
    """
    return status.locked and status.host == locks.HOST


def active_state(status: Status) -> Literal["starting", "running"]:
    """Return the state of a run whose process is alive."""
    # Earlier versions began as "running".
    return "starting" if "starting" in (status.state, status.phase) else "running"


def lacks_environment(path: Path, status: Status) -> bool:
    """Return whether a run has no `environment.json` because it has not written one yet."""
    names = ("environment.json", "results.json")
    if any(os.path.isfile(path / name) for name in names):
        return False
    has_begun = status.state in {"running", "finished"} and status.phase != "starting"
    return not has_begun
