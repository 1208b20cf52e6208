"""`fercore bundle` for a GPU machine without internet access."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fercore.cli import app
from fercore.cli.bundle import training_requirements
from fercore.data import registry
from fercore.errors import UserError
from fercore.runs.listing import list_runs
from tests.hostile.datasets import layout, write_zip

RUN = "facet-tiny-s0-20261121T151906"
RUNS = Path(__file__).parents[2] / "runs"


@pytest.fixture
def downloads(monkeypatch):
    """Replace pip by a download of one empty wheel, and return the calls."""
    commands = []

    def download(requirements, python, folder):
        commands.append((requirements, python))
        folder.mkdir(parents=True)
        (folder / "keras.whl").touch()

    monkeypatch.setattr("fercore.cli.bundle._download", download)
    return commands


def bundle(*words):
    return CliRunner().invoke(app, ["bundle", *map(str, words)])


def test_a_bundle_holds_code_data_runs_wheels_and_a_script(downloads, tmp_path):
    folder = tmp_path / "gpu"
    words = ("--dataset", "synthetic", "--run", RUN, "--python", "3.12", "--runs-root", RUNS)
    done = bundle(folder, *words)
    assert done.exit_code == 0, done.output
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["fercore", "runs", "train.sh", "wheels"]
    assert (folder / "fercore" / "configs" / "speedrun.toml").is_file()
    assert not list(folder.rglob("__pycache__"))
    assert (folder / "runs" / RUN / "model.onnx").is_file()
    # The other finished runs come along without their networks.
    others = [run for run in list_runs(folder / "runs") if run.id != RUN]
    assert len(others) > 50
    assert not any(run.onnx_path for run in others)
    script = (folder / "train.sh").read_text()
    assert "python3.12 -m venv" in script
    assert subprocess.run(["bash", "-n", folder / "train.sh"], check=False).returncode == 0
    ((requirements, python),) = downloads
    assert python == "3.12"
    assert all(requirement in script for requirement in requirements)


def test_a_bundle_holds_only_the_installed_version_of_a_dataset(downloads, tmp_path):
    root = tmp_path / "data"
    for number, folders in enumerate((("happy", "sad"), ("fear", "sad"))):
        path = write_zip(tmp_path / f"{number}.zip", layout(*folders))
        registry.add_dataset("mine", [path], root, new=True)
    words = ("--dataset", "mine", "--data-root", root, "--runs-root", tmp_path / "runs")
    done = bundle(tmp_path / "gpu", *words)
    assert done.exit_code == 0, done.output
    copied = tmp_path / "gpu" / "data"
    assert len(list((copied / "mine").iterdir())) == 2
    assert (
        registry.load_dataset("mine", copied).fingerprint
        == registry.load_dataset("mine", root).fingerprint
    )


def test_the_requirements_are_those_of_the_package_without_the_dashboard():
    stated = training_requirements("jax[cuda12]")
    assert stated[-1] == "jax[cuda12]"
    names = {re.split(r"[^a-z-]", requirement)[0] for requirement in stated}
    assert {"keras", "numpy", "onnxruntime", "pydantic", "jax"} <= names
    assert not {"tensorflow", "streamlit", "plotly", "mtcnn", "cleanlab"} & names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--python", "3.8"), "received --python 3.8, expected 3.11, 3.12 or 3.13"),
        (("--dataset", "ckplus"), "ckplus is not installed"),
        (("--dataset", "synthetic", "--run", "nope"), "nope"),
    ],
)
def test_invalid_requests_are_refused_before_anything_is_written(
    downloads, tmp_path, words, message
):
    roots = ("--data-root", tmp_path / "data", "--runs-root", RUNS)
    done = bundle(tmp_path / "gpu", *words, *roots)
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)
    assert downloads == []
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_leaves_nothing(monkeypatch, tmp_path):
    def run(command, **options):
        failed = "download" in command
        error = "ERROR: No matching distribution found for jax" if failed else ""
        return subprocess.CompletedProcess(command, int(failed), "", error)

    monkeypatch.setattr("fercore.cli.bundle.subprocess.run", run)
    done = bundle(tmp_path / "gpu", "--dataset", "synthetic")
    assert "No matching distribution found for jax" in str(done.exception)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "gpu").mkdir()
    assert "exists already" in str(bundle(tmp_path / "gpu").exception)
