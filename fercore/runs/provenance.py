"""Describe the environment of a run: versions, device, commit, dataset, sessions."""

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from itertools import pairwise
from typing import TYPE_CHECKING

from fercore import machine
from fercore.data.splits import Splits
from fercore.runs import locks
from fercore.runs.schema import FORMAT_VERSION, Ancestor, Environment, Session

if TYPE_CHECKING:
    from fercore.evaluation.protocol import Protocol

# The folders of an absolute path within a word of a command, but not the host of an address. The
# folder of a run's `config.json` stays: it is the name of the run.
_FOLDERS = re.compile(r"(?<![\w.:/~])/(?:(?![^/]+/config\.json)[^/\s\"'][^/\"']*/)+(?=[^/\s])")
PACKAGES = ("fercore", "keras", "tensorflow", "jax", "numpy", "onnx", "onnxruntime", "tf2onnx")


def describe_environment(
    command: str,
    splits: Splits,
    protocol: "Protocol",
    *,
    backend: str,
    device: str,
    precision: str,
    ancestors: Sequence[Ancestor] = (),
) -> Environment:
    """Describe the machine, software and data of this process.

    Args:
        command: the command that starts the run again. Absolute paths are recorded without their
            folders, which exist on this machine only.
        splits: the dataset.
        protocol: how it is divided.
        backend: Keras backend.
        device: processor or accelerator in words.
        precision: the dtype policy in use.
        ancestors: runs that the training begins with or learns from.
    """
    return Environment(
        command=remove_local_folders(command),
        started=now(),
        commit=commit(),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=_versions(),
        backend=backend,
        device=device,
        cores=machine.count_cores(),
        precision=precision,
        dataset_fingerprint=splits.fingerprint,
        dataset_counts=protocol.counts(),
        synthetic=splits.synthetic,
        excluded_images=protocol.excluded_images,
        excluded_sha256=protocol.excluded_sha256,
        source_dataset=splits.source.name if splits.source else "",
        source_fingerprint=splits.source.fingerprint if splits.source else "",
        ancestors=tuple(ancestors),
    )


def remove_local_folders(command: str) -> str:
    """Return a command with the last component of every absolute path in place of the path.

    A command that is no valid shell text is returned as it is.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    shortened = [_FOLDERS.sub("", word) for word in words]
    return command if shortened == words else shlex.join(shortened)


def add_session(
    recorded: Environment | None, current: Environment, first_epoch: int
) -> Environment:
    """Return the environment of a run with this process added to its sessions.

    Args:
        recorded: the environment that the run stores, if it does.
        current: that of this process, from `describe_environment`.
        first_epoch: the first epoch that this process trains, from 1.
    """
    earlier = recorded.sessions if recorded else ()
    if recorded and not earlier:  # a run of an earlier version
        earlier = (_session(recorded, 1, host=""),)
    # A process that was killed before it saved an epoch contributed nothing to the run.
    earlier = tuple(session for session in earlier if session.first_epoch < first_epoch)
    sessions = (*earlier, _session(current, first_epoch, host=locks.HOST))
    if recorded and earlier:
        changes = {"sessions": sessions, "format_version": FORMAT_VERSION}
        return recorded.model_copy(update=changes)
    command = recorded.command if recorded else current.command
    return current.model_copy(update={"sessions": sessions, "command": command})


def _session(environment: Environment, first_epoch: int, *, host: str) -> Session:
    names = set(Session.model_fields) - {"first_epoch", "host"}
    fields = environment.model_dump(include=names)
    return Session(first_epoch=first_epoch, host=host, **fields)


def session_summary(environment: Environment) -> str:
    """Describe the sessions that trained a run and their differences; empty for a single one."""
    sessions = environment.sessions
    if len(sessions) < 2:
        return ""
    hosts_known = all(session.host for session in sessions)
    machines = {(session.host if hosts_known else "", session.device) for session in sessions}
    count = "1 machine" if len(machines) == 1 else f"{len(machines)} machines"
    parts = [f"trained in {len(sessions)} sessions on {count}"]
    for before, after in pairwise(sessions):
        if changes := _differences(before, after):
            parts.append(f"from epoch {after.first_epoch}: {changes}")
    return "; ".join(parts)


def last_change(environment: Environment) -> str:
    """Describe how the last session differs from the one before it; empty if it does not."""
    sessions = environment.sessions
    return _differences(*sessions[-2:]) if len(sessions) > 1 else ""


def _differences(before: Session, after: Session) -> str:
    """Describe the differences of two sessions that may change the figures."""
    old, new = (
        {name: getattr(session, name) for name in ("device", "backend", "precision", "commit")}
        | {"Python": session.python}
        | session.packages
        for session in (before, after)
    )
    return ", ".join(
        f"{name} ({old.get(name) or 'unknown'} → {new.get(name) or 'unknown'})"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    )


def now() -> str:
    """Return the current time in ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def commit() -> str:
    """Return the commit of the source tree that this package runs from; empty if it is not known.

    It is not known where the package is installed inside another project's repository. A copy that
    `fercore bundle` made states its commit in `FERCORE_COMMIT`.
    """
    if not _git("ls-files", "--error-unmatch", "fercore/runs/provenance.py"):
        return os.environ.get("FERCORE_COMMIT", "")
    head = _git("rev-parse", "HEAD")
    # Files that are not added yet, such as a new network, change the code as well.
    if head and _git("status", "--porcelain", "--untracked-files=all", "--", "fercore"):
        return f"{head}+changes"
    return head


def _git(*arguments: str) -> str:
    folder = __file__.rpartition("fercore")[0]
    try:
        completed = subprocess.run(
            ["git", "-C", folder, *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return completed.stdout.strip() if completed.returncode == 0 else ""
