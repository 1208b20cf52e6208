import pytest

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


@pytest.mark.parametrize("scale", ["share", "counts"])
def test_a_difference_is_signed_and_its_scale_symmetric(runs: dict[str, Run], scale):
    deep, shallow = (runs[n].results.splits["test"] for n in ("le2019-deep", "le2019-shallow"))
    heat, points = confusion_matrix.difference(deep, shallow, FER2013, "light", scale).data
    back, _ = confusion_matrix.difference(shallow, deep, FER2013, "light", scale).data
    assert heat.zmin == -heat.zmax
    assert list(heat.z) == pytest.approx([-value for value in back.z])
    place = [tuple(cell) for cell in points.customdata].index(("happy", "happy"))
    counts = deep.confusion[3][3] - shallow.confusion[3][3]
    assert heat.z[place] == pytest.approx(counts if scale == "counts" else 100 * counts / 879)


def test_nothing_differs_between_a_run_and_itself(runs: dict[str, Run]):
    result = runs["le2019-deep"].results.splits["test"]
    heat, points = confusion_matrix.difference(result, result, FER2013, "dark").data
    assert set(heat.z) == {0.0}
    assert set(points.text) == {"0"}


def test_color_scale_spans_the_matrices():
    figure = confusion_matrix.color_scale("counts", 700, "light")
    assert figure.data[0].zmax == 700
    assert figure.data[0].x[-1] == 700
