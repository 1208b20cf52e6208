"""Compare a run with the published figure that it reproduces."""

from dataclasses import dataclass

from dashboard import formats
from dashboard.analysis.run_properties import result_of, sample_size
from fercore.reproduction import papers, published_figures
from fercore.runs.reader import Run
from fercore.runs.schema import SplitResult


@dataclass(frozen=True)
class AgainstPaper:
    """The published figure beside ours, as fractions.

    Attributes:
        difference: ours less the paper's.
        inside: whether the paper's figure lies in the 95% interval of ours, which does not contain
            the error of the printed figure.
        paper_n: samples of the paper's test set, where it is known to be another one than ours.
        interval: the 95% interval of the difference then, with the errors of both figures.
    """

    published: float
    ours: SplitResult
    difference: float
    inside: bool
    paper_n: int | None = None
    interval: tuple[float, float] | None = None


def against_paper(run: Run) -> AgainstPaper | None:
    """Our test accuracy beside the published one, if the experiment reproduces a figure."""
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
    return AgainstPaper(published, ours, ours.accuracy - published, inside, paper_n, interval)


def paper_words(run: Run, found: AgainstPaper) -> str:
    """What the intervals say of the published figure beside ours."""
    ours = found.ours
    text = (
        f"The paper's figure (dashed) lies {'inside' if found.inside else 'outside'} the 95 % "
        f"interval of our figure, {formats.interval(ours.accuracy_low, ours.accuracy_high)} "
        f"({sample_size(run, ours)}). "
    )
    if found.interval is None:
        return text + "This interval does not contain the error of the printed figure."
    low, high = (formats.points(end).removesuffix(" points") for end in found.interval)
    return (
        f"{text}The paper's test set is another one (n = {found.paper_n:,}): with the errors of "
        f"both figures, the 95 % interval of the difference is {low} to {high} points (Newcombe)."
    )
