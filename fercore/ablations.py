"""What the parts of our recipe are worth: trainings that differ from it in one thing each.

`ablations.toml` lists the changes. Every one is a run like any other, shorter than the recipe and
judged on the validation split alone; the table is always computed from finished runs of exactly
those configs.
"""

import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fercore import metrics
from fercore.config import ExperimentConfig, load_config
from fercore.runs import Run, trained


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Change(_Frozen):
    """One thing that is done otherwise.

    Attributes:
        key: file-name safe.
        title: one line for people.
        fields: values by dotted field of the config; none for the recipe as it is.
    """

    key: str
    title: str
    fields: dict[str, Any] = Field(default_factory=dict, alias="set")


class _Study(_Frozen):
    base: str
    change: tuple[Change, ...]


@dataclass(frozen=True)
class Line:
    """A change, and what its runs give.

    Attributes:
        change: what was changed.
        name: of its experiment.
        runs: finished ones, one a seed.
        mean: accuracy over them, in percent; `None` until it is trained.
        spread: standard deviation over the seeds, in points; `None` for fewer than two.
        difference: from the recipe as it is, over the seeds that both have: a share, with a 95%
            interval for other samples, not for other seeds. `None` for the recipe itself.
        n: samples judged.
        seconds: an epoch takes, the median.
        parameters: of the network.
    """

    change: Change
    name: str
    runs: tuple[str, ...] = ()
    mean: float | None = None
    spread: float | None = None
    difference: metrics.PairedDifference | None = None
    n: int = 0
    seconds: float | None = None
    parameters: int | None = None


def changes() -> tuple[Change, ...]:
    """Every change, the recipe as it is first."""
    return _study().change


def overrides(change: Change) -> dict[str, Any]:
    """What sets a change's experiment apart from the base, by dotted field, name included."""
    study = _study()
    title = f"{load_config(study.base).title}: {change.title}"
    return {"name": f"{study.base}-{change.key}", "title": title, **change.fields}


def with_teachers(wanted: Sequence[Change]) -> list[Change]:
    """These changes in their order, each once, the ones that teach another before it."""
    named = {overrides(change)["name"]: change for change in changes()}
    found: dict[str, Change] = {}
    for change in wanted:
        teachers = [named[name] for name in change.fields.get("distillation.teachers", ())]
        found |= {own.key: own for own in (*teachers, change)}
    return list(found.values())


def base() -> str:
    """The experiment that is changed."""
    return _study().base


def config_of(change: Change) -> ExperimentConfig:
    """The experiment of a change."""
    return load_config(base(), overrides(change))


def runs_of(change: Change, runs: Sequence[Run]) -> dict[int, Run]:
    """The finished runs of a change as it stands, by seed, the newest of each."""
    found = {own.seed: run for own, run in trained(config_of(change), runs)}
    return dict(sorted(found.items()))


def compare(runs: Sequence[Run]) -> tuple[Line, ...]:
    """Every change beside the recipe."""
    first, *others = changes()
    reference = runs_of(first, runs)
    return (
        _line(first, reference, {}),
        *(_line(change, runs_of(change, runs), reference) for change in others),
    )


def _line(change: Change, found: Mapping[int, Run], reference: Mapping[int, Run]) -> Line:
    name = config_of(change).name
    results = [run.results for run in found.values() if run.results]
    if not results:
        return Line(change, name)
    # A log may be lost where the results are not.
    seconds = [row.seconds for run in found.values() for row in run.log()]
    shares = [100 * result.splits["test"].accuracy for result in results]
    return Line(
        change,
        name,
        runs=tuple(run.id for run in found.values()),
        mean=statistics.fmean(shares),
        spread=statistics.stdev(shares) if len(shares) > 1 else None,
        difference=_difference(reference, found),
        n=results[0].splits["test"].n,
        seconds=statistics.median(seconds) if seconds else None,
        parameters=results[0].parameters,
    )


def _difference(
    reference: Mapping[int, Run], found: Mapping[int, Run]
) -> metrics.PairedDifference | None:
    gains, samples = [], []
    for seed in sorted(reference.keys() & found.keys()):
        before, after = _right(reference[seed]), _right(found[seed])
        if before is None or after is None:
            return None
        samples += [before[0], after[0]]
        if before[0] == after[0]:
            gains.append(after[1] - before[1])
    # Another edition of the dataset names its samples otherwise, and orders them so.
    if not gains or any(ids != samples[0] for ids in samples):
        return None
    return metrics.bootstrap_mean(np.mean(gains, axis=0))


def _right(run: Run) -> tuple[list[str], NDArray[np.float64]] | None:
    """The samples' ids, sorted, and 1 for each that the run gets right."""
    said = run.predictions("test")
    if said is None:
        return None
    right = (said.probabilities.argmax(axis=1) == said.labels).astype(np.float64)
    order = np.argsort(said.ids)
    return said.ids[order].tolist(), np.asarray(right[order], np.float64)


@cache
def _study() -> _Study:
    text = (resources.files("fercore") / "ablations.toml").read_text(encoding="utf-8")
    return _Study.model_validate(tomllib.loads(text))
