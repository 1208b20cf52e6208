"""The published figures of each paper, read from `papers.toml`."""

import math
from functools import cache
from typing import Literal

from pydantic import Field

from fercore.config.base import FrozenModel
from fercore.config.loading import load_config
from fercore.config.run import PublishedFigure
from fercore.reproduction._shared import read_toml

Metric = Literal["accuracy", "precision", "recall", "f1", "validation accuracy", "train accuracy"]


class Row(FrozenModel):
    """One published figure, or an experiment that a paper describes without a figure.

    Attributes:
        system: the paper's key.
        label: name of the row in the paper.
        figure: percent, as printed; `None` if the paper prints no figure.
        metric: metric of the figure; precision, recall and F1 are those of `class_name`.
        class_name: class of a per-class figure.
        experiment: name of the committed experiment under the paper's protocol.
        view: evaluation of its runs that the figure is compared with.
        leak_free: the experiment under a leak-free protocol; the paper's own if it is one.
            `None` for a figure on images of the training or that select the checkpoint.
        leak_free_view: evaluation of its runs that is stated.
        parameters: number of parameters, as printed; empty if the paper does not state it.
        digits: decimals of the printed figure.
        remark: one line on the figure, without a full stop; may be empty.
        headline: whether a short summary of all papers includes the row.
        paper_n: number of samples of the paper's test set, if it is known to differ from ours. The
            printed figure then has a sampling error of its own.
    """

    system: str
    label: str
    figure: float | None = Field(default=None, ge=0, le=100)
    metric: Metric = "accuracy"
    class_name: str = ""
    experiment: str
    view: str = "test"
    leak_free: str | None = None
    leak_free_view: str = "test_unique"
    parameters: str = ""
    digits: int = Field(default=2, ge=0, le=2)
    remark: str = ""
    headline: bool = False
    paper_n: int | None = Field(default=None, ge=1)

    @property
    def overall(self) -> bool:
        """Whether this is the published accuracy on a complete test set."""
        return self.metric == "accuracy" and self.figure is not None

    @property
    def experiments(self) -> tuple[str, ...]:
        """Names of the experiments that the row needs runs of."""
        return (self.experiment, self.leak_free) if self.leak_free else (self.experiment,)


class System(FrozenModel):
    """One paper.

    Attributes:
        key: such as `"le2019"`.
        citation: authors, title and year.
        verdict: one line: whether the paper was reproduced, and its main flaw.
        notes: what a reader needs to know about the comparison, the most important first. They may
            contain Markdown for code and bold text.
    """

    key: str
    citation: str
    verdict: str
    notes: tuple[str, ...]

    @property
    def short_title(self) -> str:
        """Author and year: `Le 2019` for `le2019`."""
        return f"{self.key[:-4].capitalize()} {self.key[-4:]}"


class _Table(FrozenModel):
    system: str
    label: str
    metric: Metric
    figures: dict[str, float]
    experiment: str
    view: str = "test"
    leak_free: str
    leak_free_view: str = "test_unique"
    digits: int = 2

    def rows(self) -> tuple[Row, ...]:
        shared = self.model_dump(exclude={"figures"})
        return tuple(
            Row(**shared, class_name=name, figure=figure) for name, figure in self.figures.items()
        )


class _Catalogue(FrozenModel):
    notes: tuple[str, ...]
    minutes: dict[str, float]
    system: tuple[System, ...]
    row: tuple[Row, ...]
    table: tuple[_Table, ...]


def row_of(published: PublishedFigure) -> Row | None:
    """Return the row with the published figure of an experiment; `None` if there is none."""
    wanted = (published.system, published.row, published.test_accuracy)
    accuracies = (row for row in rows() if row.metric == "accuracy")
    return next((row for row in accuracies if (row.system, row.label, row.figure) == wanted), None)


def systems() -> tuple[System, ...]:
    """Return the papers, in the order of `papers.toml`."""
    return _catalogue().system


def general_notes() -> tuple[str, ...]:
    """Return the notes on how results are compared, for all papers."""
    return _catalogue().notes


def rows() -> tuple[Row, ...]:
    """Return all published figures: accuracies by paper, then the per-class tables."""
    catalogue = _catalogue()
    return (*catalogue.row, *(row for table in catalogue.table for row in table.rows()))


def minutes(experiment: str) -> float:
    """Return the estimated minutes of one run of an experiment on two CPU cores."""
    return _catalogue().minutes.get(experiment, math.inf)


def experiments() -> tuple[str, ...]:
    """Return all experiments that the rows need, sorted by the minutes that all folds take."""
    named = {name for row in rows() for name in row.experiments}
    return tuple(sorted(named, key=lambda name: (minutes(name) * len(folds(name)), name)))


@cache
def folds(experiment: str) -> tuple[int, ...]:
    """Return the folds that an experiment needs runs of; `(0,)` without folds."""
    protocol = load_config(experiment).protocol
    return tuple(range(protocol.folds)) if protocol.split == "subjects" else (0,)


@cache
def _catalogue() -> _Catalogue:
    fields = read_toml("papers.toml")
    for row in fields["row"]:
        # The figure that an experiment reproduces is in its own file.
        published = load_config(row["experiment"]).published
        if published:
            row.setdefault("label", published.row)
            if row.get("metric") == "train accuracy":
                row.setdefault("figure", published.train_accuracy)
            else:
                row.setdefault("figure", published.test_accuracy)
    return _Catalogue.model_validate(fields)
