import numpy as np
import pytest

from dashboard import charts, theme
from dashboard.charts import Curve
from fercore.labels import FER2013
from fercore.metrics import reliability
from fercore.runs import Run


@pytest.fixture
def curve(runs: dict[str, Run]) -> Curve:
    run = runs["le2019-deep"]
    return Curve("A", "#0059a1", run.log(), run.results.selection.epoch)


def test_smoothing_starts_without_a_pull_to_zero():
    assert charts.smoothed([2.0, 2.0, 2.0], 0.9) == pytest.approx([2.0, 2.0, 2.0])
    assert charts.smoothed([1.0, 3.0], 0.5) == pytest.approx([1.0, (0.25 + 1.5) / 0.75])
    assert charts.smoothed([1.0, 5.0], 0.0) == [1.0, 5.0]


def test_validation_is_solid_and_training_dotted(curve: Curve):
    figure = charts.training_curves([curve], "accuracy")
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines"}
    assert lines["A, validation"].line.dash == "solid"
    assert lines["A, training"].line.dash == "dot"
    assert list(lines["A, validation"].y) == [row.val_accuracy for row in curve.rows]
    assert {trace.line.color for trace in lines.values()} == {"#0059a1"}


def test_diamond_where_the_checkpoint_was_taken(curve: Curve):
    figure = charts.training_curves([curve], "loss")
    (diamond,) = [t for t in figure.data if t.mode == "markers" and t.marker.symbol == "diamond"]
    assert diamond.x == (curve.checkpoint,)
    assert diamond.y == (curve.rows[curve.checkpoint - 1].val_loss,)


def test_smoothing_keeps_the_raw_line_behind(curve: Curve):
    plain = charts.training_curves([curve], "loss")
    smooth = charts.training_curves([curve], "loss", smoothing=0.8)
    assert len(smooth.data) == len(plain.data) + 2
    faint = [trace for trace in smooth.data if trace.name is None]
    assert {trace.line.color for trace in faint} == {theme.faded("#0059a1", 0.25)}
    assert {trace.hoverinfo for trace in faint} == {"skip"}


def test_wall_clock(curve: Curve):
    figure = charts.training_curves([curve], "gap", x="time")
    assert figure.layout.xaxis.title.text == "Training time (minutes)"
    assert figure.data[0].x[-1] == pytest.approx(curve.rows[-1].elapsed / 60)
    gaps = [row.accuracy - row.val_accuracy for row in curve.rows]
    assert list(figure.data[0].y) == pytest.approx(gaps)


def test_curves_without_rows():
    assert not charts.training_curves([Curve("A", "#0059a1", [])], "loss").data
    assert not charts.training_curves([Curve("A", "#0059a1", [])], "loss", x="time").data


def test_one_epoch_is_a_point(curve: Curve):
    figure = charts.training_curves([Curve("A", "#0059a1", curve.rows[:1])], "learning_rate")
    assert figure.data[0].mode == "markers"


@pytest.mark.parametrize("metric", charts.METRICS)
def test_every_metric_draws(curve: Curve, metric):
    figure = charts.training_curves([curve], metric)
    assert figure.data


def test_recall_bars_carry_their_intervals(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    (bar,) = charts.recall_bars([("A", "#0059a1", result)]).data
    fear = result.classes[2]
    assert bar.x == FER2013
    assert bar.y[2] == fear.recall
    assert bar.error_y.array[2] == pytest.approx(fear.recall_high - fear.recall)
    assert bar.error_y.arrayminus[2] == pytest.approx(fear.recall - fear.recall_low)


def test_class_recall_in_the_colors_of_the_classes(runs: dict[str, Run]):
    result = runs["katkar2021-model1-original"].results.splits["test"]
    colors = theme.EMOTION_COLORS["light"]
    (bar,) = charts.class_recall(result, colors).data
    assert list(bar.marker.color) == [colors[name] for name in FER2013 if name != "disgust"]


def test_distribution_sums_rows_and_columns(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    true, said = charts.class_distribution(result, FER2013, theme.EMOTION_COLORS["dark"]).data
    assert sum(true.y) == sum(said.y) == result.n
    assert true.y[3] == 879


def test_forest_has_a_whisker_a_run(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    figure = charts.accuracy_forest([("A", "#0059a1", result), ("B", "#ab3400", result)], 0.663)
    assert [trace.y[0] for trace in figure.data] == ["B", "A"]
    assert figure.data[0].error_x.array[0] == pytest.approx(result.accuracy_high - result.accuracy)
    assert figure.layout.shapes[0].x0 == 0.663


def test_reliability_diagram_counts_every_sample(runs: dict[str, Run]):
    found = runs["le2019-deep"].predictions("test")
    points = reliability(found.probabilities, found.labels)
    figure = charts.reliability_diagram(points, "#0059a1", "#888888")
    bins = figure.data[1]
    assert sum(bins.customdata) == sum(figure.data[2].y) == 3589
    assert np.all(np.array(bins.error_y.array) >= 0)


def test_seeds_become_a_band_around_their_mean(curve: Curve):
    shorter = curve.rows[:10]
    band = charts.Band("A", "#0059a1", [curve.rows, shorter])
    figure = charts.training_curves([], "gap", bands=[band])
    area, mean = figure.data
    assert area.fill == "toself"
    # Where one seed alone is left there is no range.
    assert max(area.x) == 10
    assert mean.x[-1] == curve.rows[-1].epoch
    gaps = [row.accuracy - row.val_accuracy for row in curve.rows]
    assert list(mean.y) == pytest.approx(gaps)


def test_a_logarithmic_loss_changes_the_loss_alone(curve: Curve):
    for metric, kind in (("loss", "log"), ("accuracy", None)):
        figure = charts.training_curves([curve], metric, log_loss=True)
        assert figure.layout.yaxis.type == kind


def test_the_frontier_joins_what_nothing_beats(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]

    def cost(name: str, value: float, accuracy: float) -> charts.Cost:
        return charts.Cost(name, "#0059a1", value, result.model_copy(update={"accuracy": accuracy}))

    costs = [
        cost("small", 1e5, 0.60),
        cost("beaten", 2e5, 0.58),
        cost("large", 1e6, 0.66),
        cost("same but dearer", 2e6, 0.66),
    ]
    frontier, *points = charts.cost_scatter(costs, "Parameters").data
    assert list(frontier.x) == [1e5, 1e6]
    assert [point.name for point in points] == [entry.label for entry in costs]
