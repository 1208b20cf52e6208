from dataclasses import replace

import pytest

from dashboard.charts import curve_charts, theme
from dashboard.charts.base import GREY
from dashboard.charts.curve_charts import Curve
from fercore.runs.reader import Run


def data(figure):
    """The traces of a figure without the entries of its legend."""
    return [trace for trace in figure.data if trace.meta != curve_charts.LEGEND_ENTRY]


def legend(figure) -> dict[str, tuple[str, str]]:
    """Colour and dash of each entry of the legend."""
    shown = [trace for trace in figure.data if trace.showlegend]
    assert all(trace.meta == curve_charts.LEGEND_ENTRY for trace in shown)
    return {trace.name: (trace.line.color, trace.line.dash) for trace in shown}


@pytest.fixture
def curve(runs: dict[str, Run]) -> Curve:
    run = runs["le2019-deep"]
    return Curve("A", "#0059a1", run.log(), run.results.selection.epoch)


def test_smoothing_starts_without_a_pull_to_zero():
    assert curve_charts.smooth([2.0, 2.0, 2.0], 0.9) == pytest.approx([2.0, 2.0, 2.0])
    assert curve_charts.smooth([1.0, 3.0], 0.5) == pytest.approx([1.0, (0.25 + 1.5) / 0.75])
    assert curve_charts.smooth([1.0, 5.0], 0.0) == [1.0, 5.0]


def test_validation_is_solid_and_training_dotted(curve: Curve):
    figure = curve_charts.training_curves([curve], "accuracy")
    lines = {trace.name: trace for trace in data(figure) if trace.mode == "lines"}
    assert lines["A, validation"].line.dash == "solid"
    assert lines["A, training"].line.dash == "dot"
    assert list(lines["A, validation"].y) == [row.val_accuracy for row in curve.rows]
    assert {trace.line.color for trace in lines.values()} == {"#0059a1"}
    # The only run of a page has no name.
    figure = curve_charts.training_curves([replace(curve, label="")], "accuracy")
    names = {trace.name for trace in data(figure) if trace.mode == "lines"}
    assert names == {"validation", "training"}


def test_diamond_where_the_checkpoint_was_taken(curve: Curve):
    figure = curve_charts.training_curves([curve], "loss")
    (diamond,) = [t for t in data(figure) if t.mode == "markers" and t.marker.symbol == "diamond"]
    assert diamond.x == (curve.checkpoint,)
    assert diamond.y == (curve.rows[curve.checkpoint - 1].val_loss,)


def test_smoothing_keeps_the_raw_line_behind(curve: Curve):
    plain = curve_charts.training_curves([curve], "loss")
    smooth = curve_charts.training_curves([curve], "loss", smoothing=0.8)
    assert len(smooth.data) == len(plain.data) + 2
    faint = [trace for trace in smooth.data if trace.name is None]
    assert {trace.line.color for trace in faint} == {theme.with_alpha("#0059a1", 0.25)}
    assert {trace.hoverinfo for trace in faint} == {"skip"}


def test_wall_clock(curve: Curve):
    figure = curve_charts.training_curves([curve], "gap", x="time")
    assert figure.layout.xaxis.title.text == "Wall time (minutes)"
    assert figure.data[0].x[-1] == pytest.approx(curve.rows[-1].elapsed / 60)
    gaps = [row.accuracy - row.val_accuracy for row in curve.rows]
    assert list(figure.data[0].y) == pytest.approx(gaps)


def test_curves_without_rows():
    assert not curve_charts.training_curves([Curve("A", "#0059a1", [])], "loss").data
    assert not curve_charts.training_curves([Curve("A", "#0059a1", [])], "loss", x="time").data


def test_one_epoch_is_a_point(curve: Curve):
    figure = curve_charts.training_curves([Curve("A", "#0059a1", curve.rows[:1])], "learning_rate")
    assert figure.data[0].mode == "markers"


@pytest.mark.parametrize(("lowest", "ticks"), [(0.0005, "D2"), (0.000001, 1), (0.0, "D2")])
def test_a_narrow_range_of_rates_has_ticks_between_powers_of_ten(curve: Curve, lowest, ticks):
    rows = [
        row.model_copy(update={"learning_rate": rate})
        for row, rate in zip(curve.rows, [0.001, 0.001, lowest], strict=False)
    ]
    figure = curve_charts.training_curves([Curve("A", "#0059a1", rows)], "learning_rate")
    assert figure.layout.yaxis.dtick == ticks


@pytest.mark.parametrize("metric", curve_charts.METRICS)
def test_every_metric_draws(curve: Curve, metric):
    figure = curve_charts.training_curves([curve], metric)
    assert figure.data


def test_seeds_become_a_band_around_their_mean(curve: Curve):
    shorter = curve.rows[:10]
    band = curve_charts.Band("A", "#0059a1", [curve.rows, shorter])
    figure = curve_charts.training_curves([], "gap", bands=[band])
    area, mean = data(figure)
    assert area.fill == "toself"
    assert max(area.x) == 10
    gaps = [row.accuracy - row.val_accuracy for row in curve.rows]
    assert list(mean.y) == pytest.approx(gaps[:10])


def test_the_mean_of_seeds_does_not_jump_where_one_ends(curve: Curve):
    worse = [row.model_copy(update={"val_accuracy": 0.0}) for row in curve.rows[:10]]
    band = curve_charts.Band("A", "#0059a1", [curve.rows, worse])
    figure = curve_charts.training_curves([], "accuracy", bands=[band])
    (mean,) = [line for line in figure.data if line.name == "A, validation"]
    assert mean.x == tuple(range(1, 11))
    assert list(mean.y) == pytest.approx([row.val_accuracy / 2 for row in curve.rows[:10]])
    # A seed whose log is lost ends nothing.
    lost = curve_charts.Band("A", "#0059a1", [curve.rows, curve.rows, []])
    figure = curve_charts.training_curves([], "gap", bands=[lost])
    assert len(figure.data[1].x) == len(curve.rows)


def test_a_logarithmic_loss_changes_the_loss_alone(curve: Curve):
    for metric, kind in (("loss", "log"), ("accuracy", None)):
        figure = curve_charts.training_curves([curve], metric, log_loss=True)
        assert figure.layout.yaxis.type == kind


def test_bands_are_over_epochs_and_lines_with_them(curve: Curve):
    band = curve_charts.Band("A", "#0059a1", [curve.rows, curve.rows])
    figure = curve_charts.training_curves([curve], "gap", "time", bands=[band])
    assert figure.layout.xaxis.title.text == "Epoch"
    assert {max(line.x) for line in data(figure) if line.mode == "lines"} == {curve.rows[-1].epoch}


def test_the_legend_of_one_run_tells_its_two_lines(curve: Curve):
    figure = curve_charts.training_curves([replace(curve, label="")], "accuracy")
    assert figure.layout.showlegend
    assert legend(figure) == {
        "validation": ("#0059a1", "solid"),
        "training": ("#0059a1", "dot"),
        "best epoch": ("#0059a1", "solid"),
    }


def test_the_legend_of_several_runs_names_runs_and_styles(curve: Curve):
    other = Curve("B", "#ab3400", curve.rows)
    figure = curve_charts.training_curves([curve, other, Curve("C", "#000000", [])], "loss")
    assert list(legend(figure)) == ["validation", "training", "A", "B", "best epoch"]
    assert legend(figure)["B"] == ("#ab3400", "solid")
    assert legend(figure)["training"] == (GREY, "dot")
    # One line for each run: no style to tell.
    figure = curve_charts.training_curves([curve, other], "learning_rate")
    assert "training" not in legend(figure)
    band = curve_charts.Band("D", "#00845d", [curve.rows, curve.rows])
    figure = curve_charts.training_curves([curve], "loss", bands=[band])
    assert list(legend(figure))[2:] == ["A", "D", "best epoch"]


def test_a_learning_rate_is_not_smoothed(curve: Curve):
    figure = curve_charts.training_curves([curve], "learning_rate", smoothing=0.9)
    (line,) = [trace for trace in data(figure) if trace.mode == "lines"]
    assert list(line.y) == [row.learning_rate for row in curve.rows]


def test_a_long_legend_makes_the_chart_higher(curve: Curve):
    def height(count: int) -> int:
        curves = [replace(curve, label=f"a-run-with-a-long-name-{i}") for i in range(count)]
        figure = curve_charts.training_curves(curves, "loss")
        return figure.layout.height - figure.layout.margin.t

    # The plot itself stays as high.
    assert height(1) == height(8)


def test_the_loss_has_the_unit_that_it_is_given(curve: Curve):
    figure = curve_charts.training_curves([curve], "loss", loss_title="Loss (nats)")
    assert figure.layout.yaxis.title.text == "Loss (nats)"
    figure = curve_charts.training_curves([curve], "accuracy", loss_title="Loss (nats)")
    assert figure.layout.yaxis.title.text == "Accuracy"
