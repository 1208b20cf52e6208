"""What git tracks, small enough to clone, and the sketch of the architecture."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fercore.runs.provenance import remove_local_folders
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


def architecture() -> str:
    """Draw the layers of the import-linter contracts in Mermaid."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    lines = ["flowchart LR"]
    for contract in contracts:
        if contract["type"] != "layers":
            continue
        root = contract["layers"][0].partition(".")[0]
        lines += [f"  subgraph {root}", "    direction TB"]
        for number, layer in enumerate(contract["layers"], start=1):
            packages = layer.replace(f"{root}.", "").replace(" | ", " · ")
            lines.append(f'    {root}{number}["{packages}"]')
        order = (f"{root}{number}" for number in range(1, len(contract["layers"]) + 1))
        lines += ["    " + " --> ".join(order), "  end"]
    (forbidden,) = (c for c in contracts if c["name"] == "The library does not import the app")
    (app,), (library,) = forbidden["forbidden_modules"], forbidden["source_modules"]
    lines.append(f"  {app} ----> {library}")
    return "\n".join(lines)


def test_the_sketch_of_the_architecture_equals_the_contracts():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    sketches = re.findall(r"^```mermaid\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)
    # The first line sets the spacing.
    assert [sketch.partition("\n")[2] for sketch in sketches] == [architecture()]
    assert "(CONTRIBUTING.md)" in (ROOT / "README.md").read_text()


def test_no_committed_record_holds_a_path_of_a_machine():
    records = [path for path in tracked() if path.parts[-3] == "runs" and path.suffix == ".json"]
    assert len(records) > 500
    for record in records:
        for text in texts_of(json.loads(record.read_bytes())):
            assert remove_local_folders(text) == text, record


def texts_of(value: object) -> Iterator[str]:
    """Yield every text in a JSON value that looks like a command."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from texts_of(part)
    elif isinstance(value, str) and value.startswith("fercore "):
        yield value
