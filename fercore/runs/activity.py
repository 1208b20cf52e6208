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
# The states of a run whose process says that it is at work, and those of one that can go on.
ACTIVE_STATES = ("starting", "running")
HALTED_STATES = ("interrupted", "stalled", "failed")


def claims_activity(status: Status) -> bool:
    """Return whether a run says that it is starting or running, be it true or not."""
    return status.state in ACTIVE_STATES


def is_alive(path: Path, status: Status) -> bool:
    """Return whether a run that says it is starting or running is so.

    Args:
        path: the run directory.
        status: what its `status.json` holds.
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
    """Return whether a run's `status.json` was written lately, where its lock tells nothing.

    The clock of the machine that trains may be wrong, so only the file system's counts.
    """
    file = path / "status.json"
    try:
        copied = os.stat(file).st_mtime - status.heartbeat > _COPY_SECONDS
        return not copied and locks.seconds_since_written(file) < SILENT_SECONDS
    except OSError:
        return False


def lock_decides(status: Status) -> bool:
    """Whether a lock that nobody holds means that the process is gone.

    Of a process on another machine it does not: some network file systems keep locks to a machine.
    """
    return status.locked and status.host == locks.HOST


def active_state(status: Status) -> Literal["starting", "running"]:
    """Return the state of a run whose process is alive."""
    # Earlier versions began as "running".
    return "starting" if "starting" in (status.state, status.phase) else "running"


def lacks_environment(path: Path, status: Status) -> bool:
    """Whether a run has no `environment.json` because it has not got, or never got, that far."""
    names = ("environment.json", "results.json")
    if any(os.path.isfile(path / name) for name in names):
        return False
    begun = status.state in {"running", "finished"} and status.phase != "starting"
    return not begun
