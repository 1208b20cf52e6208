"""What git tracks: small enough to clone, with a few networks that are worth trying."""

import subprocess
from pathlib import Path

import pytest

from fercore.runs.reader import read_run

ROOT = Path(__file__).parents[1]
# Each is added with `git add -f`; at most eight, and together with the rest under 30 MB.
NETWORKS = {
    "facet-tiny-s0-20261121T151906",
    "facet-tiny-tta-s0-20261121T161328",
    "katkar2021-model2-original-s0-20261121T024609",
    "ranjan2023-model1-fer2013-s0-20261121T064611",
    "ranjan2023-model2-fer2013-s0-20261121T165519",
    "rath2021-original-s0-20261121T060913",
}


def tracked() -> list[Path]:
    """The files that git tracks; skips the test where this is no git checkout."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    if git("rev-parse", "--show-prefix") != "\n" or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout of this project")
    return [ROOT / name for name in git("ls-files", "-z").split("\0") if name]


def test_tracked_files_stay_small():
    total = sum(path.lstat().st_size for path in tracked() if path.exists())
    assert total < 30_000_000


def test_the_networks_that_come_with_a_clone():
    found = {path.parent.name for path in tracked() if path.name == "model.onnx"}
    assert found == NETWORKS
    assert len(found) <= 8
    for name in NETWORKS:
        run = read_run(ROOT / "runs" / name)
        assert run.results is not None
        assert run.onnx_path is not None
