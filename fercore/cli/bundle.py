"""`fercore bundle`: collect the files that a GPU machine without internet access needs to train."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated

import typer

from fercore.cli._options import DataRoot, RunsRoot
from fercore.data import registry as datasets
from fercore.data import store
from fercore.errors import UserError
from fercore.paths import data_root, runs_root
from fercore.runs.listing import find_run, list_runs
from fercore.runs.provenance import commit

# Not imported by a training on JAX: the dashboard, label issues, and the export to model.onnx.
NOT_NEEDED = {
    "aiortc",
    "av",
    "cleanlab",
    "pi-heif",
    "plotly",
    "streamlit",
    "streamlit-webrtc",
    "tensorflow",
    "tf2onnx",
}
# A wheel's platform is the oldest C library that it supports.
PLATFORMS = [
    f"manylinux{version}_x86_64"
    for version in ("2014", *(f"_2_{minor}" for minor in (17, 24, 26, 27, 28, 31, 34)))
]
SCRIPT = """#!/usr/bin/env bash
# Train on a machine with Python {python} and without internet access:
#   bash train.sh goals --train --minutes 60
# The finished runs are in runs/, beside this file.
set -euo pipefail
cd "$(dirname "${{BASH_SOURCE[0]}}")"
if [ ! -e venv/installed ]; then
  python{python} -m venv --clear venv
  venv/bin/python -m pip install --quiet --no-index --find-links wheels {requirements}
  touch venv/installed
fi
export KERAS_BACKEND=jax FERCORE_COMMIT={commit}
export JAX_COMPILATION_CACHE_DIR="$PWD/jax-cache" FERCORE_DATA="$PWD/data" FERCORE_RUNS="$PWD/runs"
exec venv/bin/python -m fercore "$@"
"""


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command()(bundle)


def bundle(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    dataset: Annotated[
        list[str] | None, typer.Option(help="An installed dataset; can be repeated.")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            help="A run to include with its network and checkpoint, such as a teacher; can be "
            "repeated."
        ),
    ] = None,
    python: Annotated[
        str, typer.Option(help="Python version of the GPU machine, such as 3.12.")
    ] = f"{sys.version_info.major}.{sys.version_info.minor}",
    jax: Annotated[
        str, typer.Option(help="The JAX wheel: jax[cuda12] for NVIDIA GPUs, or jax for CPUs.")
    ] = "jax[cuda12]",
    data: DataRoot = None,
    runs: RunsRoot = None,
) -> None:
    """Collect code, wheels, datasets and a script for a GPU machine without internet access.

    The finished runs are included without their networks, so that nothing is trained twice.

    The wheels are for Linux on x86-64. Copy the folder to the GPU machine, and run
    `bash train.sh goals --train --minutes 60` there. Copy its runs/ back afterwards.

    Example: fercore bundle gpu --dataset fer2013 --python 3.12
    """
    if not re.fullmatch(r"3\.1[1-3]", python):
        raise UserError(f"received --python {python}, expected 3.11, 3.12 or 3.13")
    if folder.exists():
        raise UserError(f"{folder} exists already, expected the name of a new folder")
    root = data_root(data)
    names = dataset or ["fer2013"]
    for name in names:
        if not datasets.dataset_status(name, root).installed:
            raise UserError(
                f"{name} is not installed under {root}; add it: fercore data add {name} PATH"
            )
    with_networks = {find_run(runs_root(runs), name).id for name in run or ()}
    requirements = training_requirements(jax)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _download(requirements, python, partial / "wheels")
        with resources.as_file(resources.files("fercore")) as package:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(package, partial / "fercore", ignore=ignored)
        for name in names:
            if (root / name).is_dir():  # a dataset that is drawn by code has no files
                _copy_dataset(root, name, partial / "data" / name)
        (partial / "runs").mkdir()
        for finished in list_runs(runs_root(runs)):
            if finished.results is not None:
                excluded = () if finished.id in with_networks else ("checkpoints", "model.onnx")
                copy = partial / "runs" / finished.id
                shutil.copytree(finished.path, copy, ignore=shutil.ignore_patterns(*excluded))
        quoted = shlex.join(requirements)
        script = SCRIPT.format(python=python, requirements=quoted, commit=commit() or "''")
        (partial / "train.sh").write_text(script, encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    typer.echo(f"{folder} holds {size / 1e6:,.0f} MB; on the GPU machine: bash train.sh --help")


def _copy_dataset(root: Path, name: str, target: Path) -> None:
    """Copy the installed version of a dataset, without the previous version in the same folder."""
    manifest = store.read_manifest(root, name)
    if manifest is not None:
        target.mkdir(parents=True)
        for file in (store.MANIFEST, manifest.file):
            shutil.copy2(root / name / file, target / file)


def training_requirements(jax: str) -> list[str]:
    """Return the requirements of training on JAX: those of this package in use, and JAX itself.

    Args:
        jax: the requirement for JAX itself.
    """
    requirements = [text for text in metadata.requires("fercore") or () if "extra ==" not in text]
    names = {text: re.split(r"[^A-Za-z0-9-]", text)[0].lower() for text in requirements}
    return [*(text for text in requirements if names[text] not in NOT_NEEDED), jax]


def _download(requirements: Sequence[str], python: str, folder: Path) -> None:
    options = [word for name in PLATFORMS for word in ("--platform", name)]
    command = [*_pip_command(), "download", "--quiet", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--implementation", "cp", "--python-version", python, *options, *requirements]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        errors = [line for line in process.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else f"status {process.returncode}"
        raise UserError(f"pip could not download the wheels for Python {python}: {reason}")


def _pip_command() -> list[str]:
    """Return a command that runs pip, which may not be in an environment created by uv."""
    for command in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
        if shutil.which(command[0]) is None:
            continue
        probe = subprocess.run([*command, "--version"], capture_output=True, check=False)
        if probe.returncode == 0:
            return command
    raise UserError("found no pip, which downloads the wheels; install it: python3 -m ensurepip")
