"""Compare a run with the published result that it reproduces."""

from dataclasses import dataclass

from dashboard import formats
from dashboard.analysis.run_properties import result_of, sample_size
from fercore.reproduction import papers, published_figures
from fercore.runs.reader import Run
from fercore.runs.schema import SplitResult


@dataclass(frozen=True)
class PaperComparison:
    """The published accuracy and ours, as fractions.

    Attributes:
        published: the paper's accuracy.
        ours: our result.
        difference: ours minus the paper's.
        inside: whether the paper's accuracy lies in the 95% interval of ours. This interval
            ignores the sampling error of the paper's accuracy.
        paper_n: samples of the paper's test set, if that is known to differ from ours.
        interval: in that case, the 95% interval of the difference, with both sampling errors.
    """

    published: float
    ours: SplitResult
    difference: float
    inside: bool
    paper_n: int | None = None
    interval: tuple[float, float] | None = None


def compare_with_paper(run: Run) -> PaperComparison | None:
    """Compare our test accuracy with the published one; `None` if there is none to reproduce."""
    ours = result_of(run, "test")
    if run.config is None or run.config.published is None or ours is None:
        return None
    published = run.config.published.test_accuracy / 100
    inside = ours.accuracy_low <= published <= ours.accuracy_high
    row = published_figures.row_of(run.config.published)
    paper_n = row.paper_n if row else None
    interval = None
    if paper_n is not None:
        ends = (ours.accuracy, ours.accuracy_low, ours.accuracy_high)
        interval = papers.difference_to_paper(ends, ours.n, published, paper_n)
    return PaperComparison(published, ours, ours.accuracy - published, inside, paper_n, interval)


def explain_comparison(run: Run, comparison: PaperComparison) -> str:
    """Return the intervals of a comparison, and what they mean, as sentences."""
    ours = comparison.ours
    text = (
        f"The paper's accuracy (dashed) is {'inside' if comparison.inside else 'outside'} the 95 % "
        f"interval of ours, {formats.interval(ours.accuracy_low, ours.accuracy_high)} "
        f"({sample_size(run, ours)}). "
    )
    if comparison.interval is None:
        return text + "This interval ignores the sampling error of the paper's accuracy."
    low, high = (formats.points(end).removesuffix(" points") for end in comparison.interval)
    return (
        f"{text}The paper used another test set (n = {comparison.paper_n:,}). With the sampling "
        f"errors of both, the 95 % interval of the difference is {low} to {high} points (Newcombe)."
    )
