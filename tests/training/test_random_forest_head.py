"""A random forest in place of the last layer."""

from pathlib import Path

import numpy as np
import pytest

from fercore.errors import UserError
from fercore.runs.checks import check_run
from fercore.runs.reader import read_run
from fercore.runs.writer import RunWriter
from tests.tiny import make_splits, tiny_config

pytestmark = pytest.mark.keras


def test_a_random_forest_head_predicts_the_probabilities(tmp_path: Path):
    from fercore.training.onnx_export import export_finished_run
    from fercore.training.trainer import train

    config = tiny_config(epochs=2, head="random_forest", drop_classes=["disgust"])
    writer = RunWriter.create(tmp_path, config)
    results = train(config, make_splits(), writer, command="test")
    run = read_run(writer.path)
    assert check_run(writer.path) == []
    assert results.onnx is None
    assert results.splits["test"].accuracy > 0.5
    probabilities = run.predictions("test").probabilities
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=2e-3)
    assert not probabilities[:, 1].any()  # no tree has seen disgust
    # The network beneath would answer otherwise than the figures say.
    with pytest.raises(UserError, match="random forest"):
        export_finished_run(run, make_splits()["test"].images)
    assert not (run.path / "model.onnx").exists()
