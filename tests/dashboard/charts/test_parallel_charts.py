from pathlib import Path

import pytest

from dashboard.analysis import run_properties
from dashboard.charts.parallel_charts import Axis, parallel_coordinates, positions
from dashboard.tables import hyper_parameters
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run

RUNS = Path(__file__).parents[3] / "runs"


@pytest.fixture(scope="module")
def screening() -> list[Run]:
    return [
        run
        for run in list_runs(RUNS)
        if run.experiment and run.experiment.name.startswith("facet-screening")
    ]


def test_numbers_stand_linearly_or_by_their_logarithm():
    assert positions([0.0, 5.0, 10.0]) == [0, 0.5, 1]
    assert positions([1e-4, 1e-3, 1e-2]) == pytest.approx([0, 0.5, 1])
    assert positions([2.0, 2.0]) == [0.5, 0.5]
    assert positions([None, 1.0, 3.0]) == [None, 0, 1]
    assert positions([None, None]) == [None, None]


def test_texts_stand_evenly_in_alphabetical_order():
    assert positions(["sgd", "adamw", "muon"]) == [1, 0, 0.5]
    assert positions(["adam", "adam"]) == [0.5, 0.5]


def test_only_settings_that_differ_are_axes(screening: list[Run]):
    keys = hyper_parameters.differing_settings(screening)
    assert "optimizer.name" in keys
    assert "dataset" not in keys
    assert "epochs" not in keys
    axes = hyper_parameters.axes_of(screening)
    assert len(axes) <= hyper_parameters.MAX_AXES + 1
    assert axes[-1].title == hyper_parameters.METRIC
    expected = [100 * run_properties.result_of(run, "validation").accuracy for run in screening]
    assert list(axes[-1].values) == expected


def test_chosen_axes_are_shown_in_their_order(screening: list[Run]):
    axes = hyper_parameters.axes_of(screening, ["label_smoothing", "optimizer.name"])
    assert [axis.title for axis in axes] == ["label smoothing", "name", hyper_parameters.METRIC]
    assert {"adamw", "muon", "sgd"} >= set(axes[1].values) - {None}


def test_a_line_for_each_run_that_a_click_names():
    axes = [Axis("rate", (0.1, 0.2)), Axis("accuracy", (60.0, None))]
    labels = {"a": "A", "b": "B"}
    figure = parallel_coordinates(["a", "b"], labels, axes, ["b"], "light")
    lines = {trace.customdata[0][0]: trace for trace in figure.data}
    assert set(lines) == {"a", "b"}
    assert list(lines["b"].y) == [1, None]
    # The selected one is drawn last, and thicker.
    assert figure.data[-1].customdata[0][0] == "b"
    assert lines["b"].line.width > lines["a"].line.width
