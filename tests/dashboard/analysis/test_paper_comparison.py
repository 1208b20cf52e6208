from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.analysis import paper_comparison
from fercore.runs.reader import Run, read_run


def test_against_paper(runs: dict[str, Run]):
    found = paper_comparison.compare_with_paper(runs["le2019-deep"])
    assert found.published == pytest.approx(0.663)
    assert found.difference == pytest.approx(found.ours.accuracy - 0.663)
    assert found.inside == (found.ours.accuracy_low <= 0.663 <= found.ours.accuracy_high)
    assert paper_comparison.compare_with_paper(runs["le2019-shallow"]) is None
    assert (found.paper_n, found.interval) == (None, None)
    said = paper_comparison.explain_comparison(runs["le2019-deep"], found)
    assert "interval of ours" in said
    assert "ignores the sampling error of the paper's accuracy" in said


@pytest.mark.parametrize(
    ("low", "high", "inside"),
    [(66.3, 70, True), (60, 66.3, True), (60, 70, True), (66.4, 70, False), (60, 66.2, False)],
)
def test_a_printed_figure_at_an_end_of_our_interval_lies_in_it(
    runs: dict[str, Run], low: float, high: float, inside: bool
):
    run = runs["le2019-deep"]
    test = run.results.splits["test"].model_copy(
        update={"accuracy_low": low / 100, "accuracy_high": high / 100}
    )
    results = run.results.model_copy(update={"splits": run.results.splits | {"test": test}})
    assert run.config.published.test_accuracy == 66.3
    assert paper_comparison.compare_with_paper(replace(run, results=results)).inside is inside


def test_against_the_figure_of_another_test_set():
    root = Path(__file__).parents[3] / "runs"
    run = read_run(root / "katkar2021-model2-original-s0-20261121T024609")
    found = paper_comparison.compare_with_paper(run)
    low, high = found.interval
    assert found.paper_n == 3533
    assert low < found.difference < high
    ours = found.ours
    assert high - low > 1.3 * (ours.accuracy_high - ours.accuracy_low)
    said = paper_comparison.explain_comparison(run, found)
    assert "another test set (n = 3,533)" in said
    assert "interval of the difference" in said
