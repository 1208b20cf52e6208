"""Where a run's numbers come from: versions, device, commit, data."""

import os
import platform
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
    """Everything that tells one run's surroundings from another's."""
    return Environment(
        command=command,
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


def add_session(known: Environment | None, here: Environment, first_epoch: int) -> Environment:
    """Return the environment of a run with the process that trains it now among its sessions.

    Args:
        known: of the run so far, if there is one.
        here: of this process, as `describe` returns it.
        first_epoch: that this process trains, from 1.
    """
    before = known.sessions if known else ()
    if known and not before:  # a run of an earlier version
        before = (_session(known, 1, host=""),)
    # Of a process that was killed before its first epoch was saved, nothing is left.
    kept = tuple(own for own in before if own.first_epoch < first_epoch)
    sessions = (*kept, _session(here, first_epoch, host=locks.HOST))
    if known and kept:
        changes = {"sessions": sessions, "format_version": FORMAT_VERSION}
        return known.model_copy(update=changes)
    command = known.command if known else here.command
    return here.model_copy(update={"sessions": sessions, "command": command})


def _session(environment: Environment, first_epoch: int, *, host: str) -> Session:
    own = set(Session.model_fields) - {"first_epoch", "host"}
    fields = environment.model_dump(include=own)
    return Session(first_epoch=first_epoch, host=host, **fields)


def session_summary(environment: Environment) -> str:
    """Say in how many sessions a run was trained, and what changed; empty if in one."""
    sessions = environment.sessions
    if len(sessions) < 2:
        return ""
    known = all(own.host for own in sessions)
    machines = {(own.host if known else "", own.device) for own in sessions}
    count = "1 machine" if len(machines) == 1 else f"{len(machines)} machines"
    parts = [f"trained in {len(sessions)} sessions on {count}"]
    for before, after in pairwise(sessions):
        if changes := _differences(before, after):
            parts.append(f"from epoch {after.first_epoch}: {changes}")
    return "; ".join(parts)


def last_change(environment: Environment) -> str:
    """Say what the last session has otherwise than the one before it; empty if nothing."""
    sessions = environment.sessions
    return _differences(*sessions[-2:]) if len(sessions) > 1 else ""


def _differences(before: Session, after: Session) -> str:
    """What of two sessions differs that may change the figures."""
    was, is_now = (
        {name: getattr(own, name) for name in ("device", "backend", "precision", "commit")}
        | {"Python": own.python}
        | own.packages
        for own in (before, after)
    )
    return ", ".join(
        f"{name} ({was.get(name) or 'unknown'} → {is_now.get(name) or 'unknown'})"
        for name in {**was, **is_now}
        if was.get(name) != is_now.get(name)
    )


def now() -> str:
    """The time in ISO 8601, UTC, to the second."""
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

    Of a package that is installed inside another project's repository, git knows nothing. A copy
    that `fercore bundle` made names its commit in `FERCORE_COMMIT`.
    """
    if not _git("ls-files", "--error-unmatch", "fercore/runs/provenance.py"):
        return os.environ.get("FERCORE_COMMIT", "")
    head = _git("rev-parse", "HEAD")
    # A network or dataset that is not added yet changes what runs, too.
    if head and _git("status", "--porcelain", "--untracked-files=all", "--", "fercore"):
        return f"{head}+changes"
    return head


def _git(*arguments: str) -> str:
    folder = __file__.rpartition("fercore")[0]
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
