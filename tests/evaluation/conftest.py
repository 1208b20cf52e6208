import shutil
from pathlib import Path

import pytest

from fercore.runs.reader import Run, read_run

COMMITTED = Path(__file__).parents[2] / "runs"
NAMES = {
    "le2019-deep": "le2019-deep-s0-20261121T052505",
    "le2019-shallow": "le2019-shallow-s0-20261121T083245",
    # Leaves out disgust.
    "katkar2021-model1-original": "katkar2021-model1-original-s0-20261121T024357",
    # On another dataset, with groups.
    "rath2021-fold": "rath2021-original-subjects-s0-f0-20261121T063628",
}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    """Copies of committed runs, by experiment, under a runs root of the test's own."""
    root = tmp_path / "runs"
    monkeypatch.setenv("FERCORE_RUNS", str(root))
    for name in NAMES.values():
        shutil.copytree(COMMITTED / name, root / name)
    return {key: read_run(root / name) for key, name in NAMES.items()}
