"""Import a hostile network into a folder of the test's own."""

import pytest

from fercore.config.run import RunConfig
from fercore.data.labels import FER2013
from fercore.errors import UserError
from fercore.importers.import_run import OnnxOptions, import_onnx
from fercore.runs.checks import check_run
from fercore.runs.reader import read_run
from tests.tiny import make_splits

CONFIG = RunConfig(name="theirs", title="Theirs", dataset="tiny", model="theirs")
SPLITS = make_splits()
PLAIN = OnnxOptions(class_names=FER2013, grey_range="0-1")


def imported(tmp_path, path, options=PLAIN):
    lines: list[str] = []
    made, source, tried = import_onnx(
        path, options, CONFIG, SPLITS, tmp_path / "runs", "import", report=lines.append
    )
    run = read_run(made)
    assert (run.state, check_run(made)) == ("finished", [])
    return run, source, tried, lines


def accuracy(run) -> float:
    return run.results.splits["test"].accuracy


def refused(tmp_path, path, options=PLAIN) -> str:
    with pytest.raises(UserError) as caught:
        import_onnx(path, options, CONFIG, SPLITS, tmp_path / "runs", "import")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()
    return str(caught.value)
