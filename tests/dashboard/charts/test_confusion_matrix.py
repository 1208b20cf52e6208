import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_matrix

from dashboard.charts import confusion_matrix
from fercore.data.labels import FER2013
from fercore.runs.reader import Run


def test_confusion_cells(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    figure = confusion_matrix.confusion(result, FER2013, "light")
    heat, points = figure.data
    place = list(zip(heat.y, heat.x, strict=True)).index(("fear", "sad"))
    count = result.confusion[2][4]
    assert heat.z[place] == pytest.approx(count / 528)
    assert points.text[place] == f"{count / 528 * 100:.0f}"
    assert f"{count:,} of 528" in points.hovertext[place]
    assert points.customdata[place] == ["fear", "sad"]
    assert len(heat.z) == 49
    assert (heat.zmin, heat.zmax) == (0, 1)
    assert list(figure.layout.yaxis.range) == [6.5, -0.5]


def test_confusion_counts_share_a_scale(runs: dict[str, Run]):
    results = [runs[n].results.splits["test"] for n in ("le2019-deep", "le2019-shallow")]
    top = confusion_matrix.max_cell_value(results, "counts")
    assert top == max(max(map(max, result.confusion)) for result in results)
    assert confusion_matrix.max_cell_value(results, "share") == 1
    heat, points = confusion_matrix.confusion(results[0], FER2013, "dark", "counts", top).data
    assert heat.zmax == top
    assert points.text[0] == f"{results[0].confusion[0][0]:,}"


def test_confusion_leaves_out_classes_without_samples(runs: dict[str, Run]):
    result = runs["katkar2021-model1-original"].results.splits["test"]
    heat, _ = confusion_matrix.confusion(result, FER2013, "light").data
    assert "disgust" not in heat.y
    assert "disgust" in heat.x


def test_the_chosen_cell_is_framed(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    figure = confusion_matrix.confusion(result, FER2013, "light", selected=("fear", "sad"))
    (frame,) = figure.layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (3.5, 4.5, 1.5, 2.5)
    assert not confusion_matrix.confusion(
        result, FER2013, "light", selected=("fear", "bored")
    ).layout.shapes


@pytest.mark.parametrize("scale", ["share", "predicted", "all", "counts"])
def test_a_difference_is_signed_and_its_scale_symmetric(runs: dict[str, Run], scale):
    deep, shallow = (runs[n].results.splits["test"] for n in ("le2019-deep", "le2019-shallow"))
    heat, points = confusion_matrix.difference(deep, shallow, FER2013, "light", scale).data
    back, _ = confusion_matrix.difference(shallow, deep, FER2013, "light", scale).data
    assert heat.zmin == -heat.zmax
    assert list(heat.z) == pytest.approx([-value for value in back.z])
    place = [tuple(cell) for cell in points.customdata].index(("happy", "happy"))
    counts = [each.confusion[3][3] for each in (deep, shallow)]
    said = [sum(row[3] for row in each.confusion) for each in (deep, shallow)]
    totals = {"share": (879, 879), "predicted": said, "all": (3589, 3589), "counts": (100, 100)}
    shares = [100 * count / total for count, total in zip(counts, totals[scale], strict=True)]
    assert heat.z[place] == pytest.approx(shares[0] - shares[1])


def test_nothing_differs_between_a_run_and_itself(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    heat, points = confusion_matrix.difference(result, result, FER2013, "dark").data
    assert set(heat.z) == {0.0}
    assert set(points.text) == {"0"}


def test_color_scale_spans_the_matrices():
    figure = confusion_matrix.color_scale("counts", 700, "light")
    assert figure.data[0].zmax == 700
    assert figure.data[0].x[-1] == 700


def test_normalized_as_scikit_learn_does(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    found = run.predictions("test")
    predicted = found.probabilities.argmax(axis=1)
    result = run.results.splits["test"]
    for scale, normalize in (
        ("share", "true"),
        ("predicted", "pred"),
        ("all", "all"),
        ("counts", None),
    ):
        expected = sklearn_matrix(found.labels, predicted, normalize=normalize)
        np.testing.assert_allclose(confusion_matrix.cell_values(result, scale), expected)
    top = confusion_matrix.max_cell_value([result], "all")
    assert top == pytest.approx(expected.max() / expected.sum())
    _, points = confusion_matrix.confusion(result, FER2013, "light", "all", top).data
    assert points.text[0] == f"{100 * expected[0][0] / expected.sum():.1f}"


def test_a_class_that_is_never_predicted_has_no_column_shares(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    rows = [[row[0] + row[1], 0, *row[2:]] for row in result.confusion]
    merged = result.model_copy(update={"confusion": rows})
    values = confusion_matrix.cell_values(merged, "predicted")
    assert {row[1] for row in values} == {None}
    assert confusion_matrix.cell_values(merged, "share")[0][1] == 0
    heat, _ = confusion_matrix.confusion(merged, FER2013, "light", "predicted").data
    assert "disgust" not in heat.x
    assert confusion_matrix.difference(result, merged, FER2013, "light", "predicted").data
