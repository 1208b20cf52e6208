import numpy as np
import pytest

from dashboard.charts import (
    accuracy_charts,
    calibration_charts,
    class_charts,
    dataset_charts,
    theme,
)
from dashboard.charts import base as figure_module
from dashboard.reports import html
from fercore.data.labels import FER2013
from fercore.metrics import reliability
from fercore.runs.reader import Run


def test_recall_bars_carry_their_intervals(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    (bar,) = class_charts.class_metric_bars([("A", "#0059a1", result)]).data
    fear = result.classes[2]
    assert bar.x == FER2013
    assert bar.y[2] == fear.recall
    assert bar.error_y.array[2] == pytest.approx(fear.recall_high - fear.recall)
    assert bar.error_y.arrayminus[2] == pytest.approx(fear.recall - fear.recall_low)


def test_class_recall_in_the_colors_of_the_classes(runs: dict[str, Run]):
    result = runs["katkar2021-model1-original"].results.splits["test"]
    colors = theme.EMOTION_COLORS["light"]
    (bar,) = class_charts.class_recall(result, colors).data
    assert list(bar.marker.color) == [colors[name] for name in FER2013 if name != "disgust"]


def test_distribution_sums_rows_and_columns(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    true, said = dataset_charts.class_distribution(
        result, FER2013, theme.EMOTION_COLORS["dark"]
    ).data
    assert sum(true.y) == sum(said.y) == result.n
    assert true.y[3] == 879


def test_forest_has_a_whisker_a_run(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    figure = accuracy_charts.accuracy_forest(
        [("A", "#0059a1", result), ("B", "#ab3400", result)], 0.663
    )
    assert [trace.y[0] for trace in figure.data] == ["B", "A"]
    assert figure.data[0].error_x.array[0] == pytest.approx(result.accuracy_high - result.accuracy)
    assert figure.layout.shapes[0].x0 == 0.663


def test_reliability_diagram_counts_every_sample(runs: dict[str, Run]):
    found = runs["le2019-deep"].predictions("test")
    points = reliability(found.probabilities, found.labels)
    figure = calibration_charts.reliability_diagram(points, "#0059a1", "#888888")
    bins = figure.data[1]
    assert sum(bins.customdata) == sum(figure.data[2].y) == 3589
    assert np.all(np.array(bins.error_y.array) >= 0)
    # The area of a point follows its number of images, down to a smallest visible one.
    sizes, counts = np.array(bins.marker.size), np.array(bins.customdata)
    assert sizes[counts.argmax()] == 14
    assert np.all(np.diff(sizes[counts.argsort()]) >= 0)
    assert sizes.min() >= 4
    assert figure.layout.xaxis.range[1] > 1
    assert figure.layout.xaxis.tickvals[-1] == 1


def test_the_frontier_joins_what_nothing_beats(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]

    def cost(name: str, value: float, accuracy: float) -> accuracy_charts.CostPoint:
        return accuracy_charts.CostPoint(
            name, "#0059a1", value, result.model_copy(update={"accuracy": accuracy})
        )

    costs = [
        cost("small", 1e5, 0.60),
        cost("beaten", 2e5, 0.58),
        cost("large", 1e6, 0.66),
        cost("same but dearer", 2e6, 0.66),
    ]
    frontier, *points = accuracy_charts.cost_scatter(costs, "Parameters").data
    assert list(frontier.x) == [1e5, 1e6]
    assert [point.name for point in points] == [entry.label for entry in costs]


def test_a_figure_is_drawn_once_for_the_same_content():
    counts = {"Training": [3, 4]}
    figure = dataset_charts.class_counts(counts, ["happy", "sad"], {"Training": "#123456"})
    assert dataset_charts.class_counts(
        {"Training": [3, 4]}, ["happy", "sad"], {"Training": "#123456"}
    ) is (figure)
    assert figure.to_dict() is figure.to_dict()
    counts["Training"].append(5)  # the same list with other content
    other = dataset_charts.class_counts(counts, ["happy", "sad", "fear"], {"Training": "#123456"})
    assert other is not figure
    assert list(other.data[0].y) == [3, 4, 5]
    assert list(figure.data[0].y) == [3, 4]


def test_a_report_leaves_the_figures_of_the_page_as_they_are():
    figure = dataset_charts.class_counts({"Test": [3, 4]}, ["happy", "sad"], {"Test": "#123456"})
    before = figure.to_json()
    html.charts([figure])
    assert figure.to_json() == before


def test_kept_figures_are_bounded(monkeypatch):
    monkeypatch.setattr(figure_module, "_MAX_CACHED", 3)
    drawn = []

    @figure_module.cached_figure
    def draw(number: int):
        drawn.append(number)
        return figure_module.empty_figure(number + 10)

    for number in (1, 2, 3, 1, 4, 1, 2):
        assert draw(number).layout.height == number + 10
    assert drawn == [1, 2, 3, 4, 2]


def test_a_saved_figure_has_its_legend(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    pair = [("A", "#0059a1", result), ("B", "#ab3400", result)]
    costs = [accuracy_charts.CostPoint(*one[:2], 1e5, result) for one in pair]
    for metric in ("recall", "precision", "f1"):
        figure = class_charts.class_metric_bars(pair, metric)
        assert [trace.name for trace in figure.data] == ["A", "B"]
        assert figure.layout.showlegend
        assert list(figure.data[0].y) == [getattr(entry, metric) for entry in result.classes]
    figure = accuracy_charts.cost_scatter(costs, "Parameters")
    assert figure.layout.showlegend
    # The plot of many runs is as high as that of two.
    many = class_charts.class_metric_bars([(f"run {i}", "#0059a1", result) for i in range(8)])
    two = class_charts.class_metric_bars(pair)
    assert many.layout.height - many.layout.margin.b == two.layout.height - two.layout.margin.b
    assert not class_charts.class_metric_bars(pair[:1]).layout.showlegend
