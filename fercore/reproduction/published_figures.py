"""The published figures of each system, read from `papers.toml`."""

import math
import tomllib
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import Field

from fercore.config.base import FrozenModel
from fercore.config.loading import load_config
from fercore.config.run import PublishedFigure

Metric = Literal["accuracy", "precision", "recall", "f1", "validation accuracy", "train accuracy"]


class Row(FrozenModel):
    """One published figure, or an experiment that a paper tells of without one.

    Attributes:
        system: the paper's key.
        label: what the paper calls the row.
        figure: percent, as printed, where one is.
        metric: what is printed; precision, recall and F1 are those of `class_name`.
        class_name: of a per-class figure.
        experiment: the committed experiment under the paper's protocol.
        view: the evaluation of its runs that is compared.
        leak_free: the experiment under a leak-free protocol; the paper's own if it is one.
            `None` for a figure of images that were trained on or chose the checkpoint.
        leak_free_view: the evaluation of its runs that is stated.
        parameters: of the network, as printed, where the paper does.
        digits: of the printed figure, after the point.
        remark: one line on the figure, where there is something to say.
        paper_n: samples of the paper's test set, where it is known to be another one than ours; the
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
    paper_n: int | None = Field(default=None, ge=1)

    @property
    def overall(self) -> bool:
        """Whether this is the published figure of a whole test set."""
        return self.metric == "accuracy" and self.figure is not None

    @property
    def experiments(self) -> tuple[str, ...]:
        """Those that it needs runs of."""
        return (self.experiment, self.leak_free) if self.leak_free else (self.experiment,)


class System(FrozenModel):
    """One paper.

    Attributes:
        key: such as `"le2019"`.
        citation: authors, title, year.
        found: what was found of it, in paragraphs.
    """

    key: str
    citation: str
    found: str


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
    minutes: dict[str, float]
    system: tuple[System, ...]
    row: tuple[Row, ...]
    table: tuple[_Table, ...]


def row_of(published: PublishedFigure) -> Row | None:
    """Return the row of the table that an experiment's published figure is."""
    wanted = (published.system, published.row, published.test_accuracy)
    found = (row for row in rows() if row.metric == "accuracy")
    return next((row for row in found if (row.system, row.label, row.figure) == wanted), None)


def systems() -> tuple[System, ...]:
    """The papers, in order."""
    return _catalogue().system


def rows() -> tuple[Row, ...]:
    """Every published figure: those of whole test sets by system, then the per-class tables."""
    catalogue = _catalogue()
    return (*catalogue.row, *(row for table in catalogue.table for row in table.rows()))


def minutes(experiment: str) -> float:
    """About how long one run of an experiment takes on two CPU cores."""
    return _catalogue().minutes.get(experiment, math.inf)


def experiments() -> tuple[str, ...]:
    """Every experiment that some row needs, the cheapest first, all folds of it counted."""
    named = {name for row in rows() for name in row.experiments}
    return tuple(sorted(named, key=lambda name: (minutes(name) * len(folds(name)), name)))


@cache
def folds(experiment: str) -> tuple[int, ...]:
    """The folds that an experiment needs a run of; a single 0 where it has none."""
    protocol = load_config(experiment).protocol
    return tuple(range(protocol.folds)) if protocol.split == "subjects" else (0,)


@cache
def _catalogue() -> _Catalogue:
    text = (resources.files("fercore.reproduction") / "papers.toml").read_text(encoding="utf-8")
    fields = tomllib.loads(text)
    for row in fields["row"]:
        # What an experiment reproduces stands in its own file.
        published = load_config(row["experiment"]).published
        if published:
            row.setdefault("label", published.row)
            if row.get("metric") == "train accuracy":
                row.setdefault("figure", published.train_accuracy)
            else:
                row.setdefault("figure", published.test_accuracy)
    return _Catalogue.model_validate(fields)
