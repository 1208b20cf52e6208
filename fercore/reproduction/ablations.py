"""Ablation studies: trainings that differ from a base experiment in one thing each.

`ablations.toml` lists the studies and their changes. Every change is an experiment like any other,
evaluated on the validation split, so that the test split stays unread. The tables are computed from
finished runs of exactly those experiments.
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
from pydantic import Field, model_validator

from fercore import metrics
from fercore.config.base import FrozenModel
from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import load_config
from fercore.runs.listing import completed_runs
from fercore.runs.predictions import common_groups
from fercore.runs.reader import Run, full_size_epochs


class Change(FrozenModel):
    """One change of a study.

    Attributes:
        key: file-name safe, unique in its study.
        title: one line for people.
        fields: values by dotted field of the config, or whole tables by their name; none for the
            base as it is.
        on: key of an earlier change of the study whose fields are applied first, and which this
            change is compared with; the first change of the study if absent.
    """

    key: str
    title: str
    fields: dict[str, Any] = Field(default_factory=dict, alias="set")
    on: str | None = None


class Study(FrozenModel):
    """Changes of one experiment that are compared with each other.

    Attributes:
        key: unique among the studies.
        title: one line for people.
        base: the experiment that is changed.
        note: one or two sentences for people.
        target: validation accuracy in percent; the epochs until it is reached are reported.
        seeds: runs of each change that are trained by default.
        changes: the first is the base as it is.
    """

    key: str
    title: str
    base: str
    note: str = ""
    target: float | None = Field(default=None, gt=0, le=100)
    seeds: int = Field(default=1, ge=1)
    changes: tuple[Change, ...] = Field(alias="change", min_length=1)

    @property
    def cumulative(self) -> bool:
        """Whether a change builds on another one than the base."""
        return any(change.on for change in self.changes)

    def reference(self, change: Change) -> Change | None:
        """Return the change that this one is compared with; `None` for the first of the study."""
        if change.key == self.changes[0].key:
            return None
        return {own.key: own for own in self.changes}[change.on or self.changes[0].key]

    @model_validator(mode="after")
    def _changes_are_consistent(self) -> "Study":
        first, *others = self.changes
        if first.fields or first.on:
            raise ValueError(
                f"study {self.key!r}: received set or on in {first.key!r}, expected the base as it "
                "is as the first change"
            )
        known = [first.key]
        for change in others:
            if change.key in known:
                raise ValueError(f"study {self.key!r}: received two changes {change.key!r}")
            if change.on and change.on not in known:
                raise ValueError(
                    f"study {self.key!r}: received on = {change.on!r} in {change.key!r}, expected "
                    f"a change that is listed before it: {', '.join(known)}"
                )
            known.append(change.key)
        return self


class _Studies(FrozenModel):
    study: tuple[Study, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> "_Studies":
        keys = [study.key for study in self.study]
        if len({*keys}) < len(keys):
            raise ValueError(f"received studies {', '.join(keys)}, expected each key once")
        # Two studies may share a training, but not a name for two different ones.
        named: dict[str, dict[str, Any]] = {}
        for study in self.study:
            for change in study.changes:
                name, fields = _name(study, change), _fields(study, change)
                if named.setdefault(name, fields) != fields:
                    raise ValueError(
                        f"received two different changes named {name!r}, expected another key"
                    )
        return self


@dataclass(frozen=True)
class AblationResult:
    """One change of a study and the results of its runs.

    Attributes:
        change: what was changed.
        reference: the change that it is compared with; `None` for the first of the study.
        name: of its experiment.
        runs: ids of the finished runs, one per seed.
        mean: accuracy over the runs, in percent; `None` if there are none.
        spread: standard deviation over the seeds, in points; `None` for fewer than two.
        difference: from the reference, over the seeds that both have, as a fraction. The 95%
            interval is for other samples, not for other seeds.
        epochs_to_target: the first epoch whose validation accuracy reaches the study's target,
            mean over the seeds; `None` if a seed never reaches it or the study has no target.
        n: samples evaluated.
        seconds: per epoch, the median.
        parameters: of the network.
    """

    change: Change
    reference: Change | None
    name: str
    runs: tuple[str, ...] = ()
    mean: float | None = None
    spread: float | None = None
    difference: metrics.PairedDifference | None = None
    epochs_to_target: float | None = None
    n: int = 0
    seconds: float | None = None
    parameters: int | None = None


@cache
def studies() -> tuple[Study, ...]:
    """Return the studies of `ablations.toml`."""
    return parse(
        (resources.files("fercore.reproduction") / "ablations.toml").read_text(encoding="utf-8")
    )


def parse(text: str) -> tuple[Study, ...]:
    """Read studies from the text of a TOML file.

    Raises:
        ValueError: if the text is no TOML, a field is unknown, or the changes are inconsistent.
    """
    return _Studies.model_validate(tomllib.loads(text)).study


def overrides(study: Study, change: Change) -> dict[str, Any]:
    """Return what a change's experiment overrides in the base, by dotted field, name included."""
    title = f"{load_config(study.base).title}: {change.title}"
    return {"name": _name(study, change), "title": title, **_fields(study, change)}


def config_of(study: Study, change: Change) -> ExperimentConfig:
    """Return the experiment of a change."""
    return load_config(study.base, overrides(study, change))


def with_teachers(study: Study, wanted: Sequence[Change]) -> list[Change]:
    """Return these changes in their order, each once and after the changes that are its teachers.

    Teachers from outside the study are left to `fercore train`, which checks that they exist.
    """
    named = {_name(study, change): change for change in study.changes}
    ordered: dict[str, Change] = {}
    for change in wanted:
        names = config_of(study, change).distillation.teachers
        teachers = with_teachers(study, [named[name] for name in names if name in named])
        ordered |= {own.key: own for own in (*teachers, change)}
    return list(ordered.values())


def runs_of(study: Study, change: Change, runs: Sequence[Run]) -> dict[int, Run]:
    """Return the finished runs of a change's experiment by seed, the newest of each.

    Where the experiment has folds, these are runs of the fold that the config names.
    """
    config = config_of(study, change)
    found = {
        own.seed: run
        for own, run in completed_runs(config, runs)
        if own.protocol.division == config.protocol.division
    }
    return dict(sorted(found.items()))


def compare(study: Study, runs: Sequence[Run]) -> tuple[AblationResult, ...]:
    """Return the results of every change of a study."""
    found = {change.key: runs_of(study, change, runs) for change in study.changes}
    return tuple(_result(study, change, found) for change in study.changes)


def _name(study: Study, change: Change) -> str:
    return f"{study.base}-{change.key}"


def _fields(study: Study, change: Change) -> dict[str, Any]:
    """Return the fields of a change after those that it builds on."""
    reference = study.reference(change)
    fields = _fields(study, reference) if reference else {}
    for name, value in change.fields.items():
        # A whole table replaces what earlier changes set in it; the order of assignment counts.
        fields = {
            own: kept
            for own, kept in fields.items()
            if own != name and not own.startswith(f"{name}.")
        }
        fields[name] = value
    return fields


def _result(study: Study, change: Change, found: Mapping[str, Mapping[int, Run]]) -> AblationResult:
    reference, runs = study.reference(change), found[change.key]
    results = [run.results for run in runs.values() if run.results]
    if not results:
        return AblationResult(change, reference, _name(study, change))
    # A log may be lost where the results are not.
    seconds = [row.seconds for run in runs.values() for row in run.log()]
    shares = [100 * result.splits["test"].accuracy for result in results]
    return AblationResult(
        change,
        reference,
        _name(study, change),
        runs=tuple(run.id for run in runs.values()),
        mean=statistics.fmean(shares),
        spread=statistics.stdev(shares) if len(shares) > 1 else None,
        difference=_difference(found[reference.key], runs) if reference else None,
        epochs_to_target=_epochs_to(study.target, list(runs.values())) if study.target else None,
        n=results[0].splits["test"].n,
        seconds=statistics.median(seconds) if seconds else None,
        parameters=results[0].parameters,
    )


def _epochs_to(target: float, runs: Sequence[Run]) -> float | None:
    epochs = [
        next(
            (row.epoch for row in full_size_epochs(run.log()) if 100 * row.val_accuracy >= target),
            None,
        )
        for run in runs
    ]
    reached = [epoch for epoch in epochs if epoch is not None]
    return statistics.fmean(reached) if len(reached) == len(runs) else None


def _difference(
    reference: Mapping[int, Run], found: Mapping[int, Run]
) -> metrics.PairedDifference | None:
    gains, samples, groups = [], [], []
    for seed in sorted(reference.keys() & found.keys()):
        if reference[seed].original_dataset != found[seed].original_dataset:
            return None  # ids of two versions of a dataset may name different images
        before, after = _right(reference[seed]), _right(found[seed])
        if before is None or after is None:
            return None
        samples += [before[0], after[0]]
        groups += [before[2], after[2]]
        if before[0] == after[0]:
            gains.append(after[1] - before[1])
    # Another edition of the dataset names its samples otherwise, and orders them so.
    if not gains or any(ids != samples[0] for ids in samples):
        return None
    return metrics.bootstrap_mean(np.mean(gains, axis=0), groups=common_groups(groups)[0])


def _right(
    run: Run,
) -> tuple[list[str], NDArray[np.float64], tuple[NDArray[np.str_] | None, str]] | None:
    """The samples' ids, sorted, 1 for each that the run gets right, and their groups and kind."""
    said = run.predictions("test")
    if said is None:
        return None
    right = (said.probabilities.argmax(axis=1) == said.labels).astype(np.float64)
    order = np.argsort(said.ids)
    groups = None if said.groups is None else said.groups[order]
    return (
        said.ids[order].tolist(),
        np.asarray(right[order], np.float64),
        (groups, said.group_kind),
    )
