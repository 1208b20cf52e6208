"""Where a run's numbers come from: versions, device, commit, data."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata

from fercore import machine
from fercore.data.splits import Splits
from fercore.protocol import Protocol
from fercore.records import Ancestor, Environment

PACKAGES = ("fercore", "keras", "tensorflow", "jax", "numpy", "onnx", "onnxruntime", "tf2onnx")


def describe(
    command: str,
    splits: Splits,
    protocol: Protocol,
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
    if not _git("ls-files", "--error-unmatch", "fercore/provenance.py"):
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
