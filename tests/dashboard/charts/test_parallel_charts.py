import itertools
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
    assert [axis.title for axis in axes] == [
        "label smoothing",
        "optimizer",
        hyper_parameters.METRIC,
    ]
    assert {"adamw", "muon", "sgd"} >= set(axes[1].values) - {None}


def test_a_line_for_each_run_that_its_points_name():
    axes = [Axis("rate", (0.1, 0.2)), Axis("accuracy", (60.0, None))]
    labels = {"a": "A", "b": "B"}
    figure = parallel_coordinates(["a", "b"], labels, axes, ["b"], "light")
    lines = {trace.customdata[0][0]: trace for trace in figure.data}
    assert set(lines) == {"a", "b"}
    assert list(lines["b"].y) == [1, None]
    # The selected one is drawn last, and thicker.
    assert figure.data[-1].customdata[0][0] == "b"
    assert lines["b"].line.width > lines["a"].line.width


def test_the_table_has_the_values_of_the_axes(screening: list[Run]):
    axes = hyper_parameters.axes_of(screening, ["label_smoothing"])
    labels = {run.id: run.id for run in screening}
    table = hyper_parameters.settings_table(screening, labels, axes)
    assert list(table.columns) == ["Run", "label smoothing", hyper_parameters.METRIC]
    assert list(table["Run"]) == [run.id for run in screening]
    assert table["label smoothing"].tolist() == list(axes[0].values)


def test_labels_of_an_axis_do_not_overlap():
    values = tuple(50 + 0.1 * i for i in range(40))
    axes = [Axis("rate", values), Axis("accuracy", values)]
    ids = [str(i) for i in range(40)]
    figure = parallel_coordinates(ids, {i: i for i in ids}, axes, [], "light")
    for axis in (0, 1):
        places = sorted(label.y for label in figure.layout.annotations if label.x == axis)
        assert places[0] == 0
        assert places[-1] == 1
        assert min(b - a for a, b in itertools.pairwise(places)) >= 0.06
    # The whole text is shown on hover, the axis has its beginning.
    long = Axis("members", ("a" * 40, "b"))
    figure = parallel_coordinates(
        ["x", "y"], {"x": "x", "y": "y"}, [long, Axis("accuracy", (1.0, 2.0))], [], "dark"
    )
    assert figure.data[0].customdata[0][1] == f"members: {'a' * 40}"
    assert "a" * 23 + "…" in [label.text for label in figure.layout.annotations]
