import numpy as np
import pytest

from dashboard.charts.ranking_charts import RankingLine, precision_recall, roc
from dashboard.tables.ranking_tables import ranking_table
from fercore.data.labels import FER2013
from fercore.metrics import class_curves, macro_average
from fercore.runs.reader import Run


@pytest.fixture
def lines(runs: dict[str, Run]) -> list[RankingLine]:
    found = runs["le2019-deep"].predictions("test")
    curves = [class_curves(found.probabilities, found.labels, k) for k in range(7)]
    drawn = [RankingLine(n, "#0059a1", c) for n, c in zip(FER2013, curves, strict=True)]
    return [*drawn, RankingLine("macro average", "#7d8794", macro_average(curves), "dash")]


def test_the_legend_has_areas_and_numbers_of_images(lines: list[RankingLine]):
    happy = lines[FER2013.index("happy")].curves
    for figure, area, value in (
        (precision_recall(lines), "AP", happy.average_precision),
        (roc(lines), "AUC", happy.auc),
    ):
        names = [trace.name for trace in figure.data if trace.showlegend is not False]
        assert len(names) == 8
        assert f"happy ({area} {value:.3f}, n = 879)" in names
        assert names[-1].startswith(f"macro average ({area} 0.")
        assert figure.layout.showlegend


def test_curves_are_drawn_as_they_are_defined(lines: list[RankingLine]):
    *classes, mean = precision_recall(lines).data
    assert {trace.line.shape for trace in classes} == {"hv"}
    assert mean.line.shape == "linear"
    chance, *curves = roc(lines).data
    assert list(chance.x) == list(chance.y) == [0, 1]
    np.testing.assert_allclose(curves[0].y, lines[0].curves.true_positive_rate)


def test_the_table_has_a_row_for_each_curve(lines: list[RankingLine]):
    table = ranking_table({line.label: line.curves for line in lines}, "Class")
    assert list(table["Class"]) == [*FER2013, "macro average"]
    assert table["n"].sum() == 3589
    assert table["Prevalence"][3] == pytest.approx(100 * 879 / 3589)
    assert table["AUC"].iloc[-1] == pytest.approx(table["AUC"].iloc[:-1].mean())
