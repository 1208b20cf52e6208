"""Ablation studies: experiments that each differ from a base experiment in one change.

`ablations.toml` lists the studies and their changes. Every change is an experiment that is
evaluated on the validation split, so that the test split stays unused. The tables are computed from
completed runs of exactly these experiments.
"""

import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fercore import metrics
from fercore.config.base import FrozenModel
from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import load_config
from fercore.reproduction._shared import completed_runs_of_fold, newest_by_seed, read_toml
from fercore.runs.predictions import common_groups
from fercore.runs.reader import Run, full_size_epochs


class Change(FrozenModel):
    """One change of a study.

    Attributes:
        key: safe as a file name, unique in its study.
        title: one line for people.
        fields: values by dotted field of the config, or whole tables by their name; empty for the
            base.
        on: key of an earlier change of the study. The fields of that change are applied first, and
            this change is compared with it. By default, the first change of the study.
    """

    key: str
    title: str
    fields: dict[str, Any] = Field(default_factory=dict, alias="set")
    on: str | None = None


class Study(FrozenModel):
    """Changes of one base experiment that are compared with each other.

    Attributes:
        key: unique among the studies.
        title: one line for people.
        base: name of the base experiment.
        note: one or two sentences for people.
        findings: what the results show, as Markdown.
        target: validation accuracy in percent; the table states the epochs until it is reached.
        seeds: number of runs of each change that are trained by default.
        changes: the first is the base without changes.
    """

    key: str
    title: str
    base: str
    note: str = ""
    findings: tuple[str, ...] = ()
    target: float | None = Field(default=None, gt=0, le=100)
    seeds: int = Field(default=1, ge=1)
    changes: tuple[Change, ...] = Field(alias="change", min_length=1)

    @property
    def cumulative(self) -> bool:
        """Whether a change builds on another change than the base."""
        return any(change.on for change in self.changes)

    def reference(self, change: Change) -> Change | None:
        """Return the change that this one is compared with; `None` for the first of the study."""
        if change.key == self.changes[0].key:
            return None
        by_key = {other.key: other for other in self.changes}
        return by_key[change.on or self.changes[0].key]

    @model_validator(mode="after")
    def _require_consistent_changes(self) -> "Study":
        first, *others = self.changes
        if first.fields or first.on:
            raise ValueError(
                f"study {self.key!r}: received set or on in {first.key!r}, expected the base "
                "without changes as the first change"
            )
        earlier = [first.key]
        for change in others:
            if change.key in earlier:
                raise ValueError(f"study {self.key!r}: received two changes {change.key!r}")
            if change.on and change.on not in earlier:
                raise ValueError(
                    f"study {self.key!r}: received on = {change.on!r} in {change.key!r}, expected "
                    f"a change that is listed before it: {', '.join(earlier)}"
                )
            earlier.append(change.key)
        return self


class _Studies(FrozenModel):
    study: tuple[Study, ...]

    @model_validator(mode="after")
    def _require_unique_names(self) -> "_Studies":
        keys = [study.key for study in self.study]
        if len({*keys}) < len(keys):
            raise ValueError(f"received studies {', '.join(keys)}, expected each key once")
        # Two studies may share an experiment, but no name may stand for two experiments.
        by_name: dict[str, dict[str, Any]] = {}
        for study in self.study:
            for change in study.changes:
                name, fields = _experiment_name(study, change), _merged_fields(study, change)
                if by_name.setdefault(name, fields) != fields:
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
        name: name of its experiment.
        runs: ids of the completed runs, one per seed.
        mean: mean accuracy over the runs, in percent; `None` without runs.
        spread: standard deviation over the seeds, in points; `None` for fewer than two seeds.
        difference: accuracy minus that of the reference, over the seeds that both have, as a
            fraction. The 95% interval is for other samples, not for other seeds.
        epochs_to_target: the first epoch in which the validation accuracy reaches the target of
            the study, mean over the seeds; `None` if a seed never reaches it or there is no target.
        n: number of evaluated samples.
        seconds: median time of an epoch.
        parameters: number of parameters of the network.
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
    return _Studies.model_validate(read_toml("ablations.toml")).study


def parse(text: str) -> tuple[Study, ...]:
    """Read studies from the text of a TOML file.

    Raises:
        ValueError: if the text is not TOML, a field is unknown, or the changes are inconsistent.
    """
    return _Studies.model_validate(tomllib.loads(text)).study


def overrides(study: Study, change: Change) -> dict[str, Any]:
    """Return the overrides of a change, by dotted field, including name and title."""
    title = f"{load_config(study.base).title}: {change.title}"
    return {
        "name": _experiment_name(study, change),
        "title": title,
        **_merged_fields(study, change),
    }


def config_of(study: Study, change: Change) -> ExperimentConfig:
    """Return the experiment of a change."""
    return load_config(study.base, overrides(study, change))


def with_teachers(study: Study, wanted: Sequence[Change]) -> list[Change]:
    """Return the wanted changes in their order, each once and after its teachers.

    Only changes of the study are added; `fercore train` checks that other teachers exist.
    """
    by_name = {_experiment_name(study, change): change for change in study.changes}
    ordered: dict[str, Change] = {}
    for change in wanted:
        names = config_of(study, change).distillation.teachers
        teachers = with_teachers(study, [by_name[name] for name in names if name in by_name])
        ordered |= {needed.key: needed for needed in (*teachers, change)}
    return list(ordered.values())


def runs_of(study: Study, change: Change, runs: Sequence[Run]) -> dict[int, Run]:
    """Return the newest completed run of each seed of a change's experiment, by seed.

    If the experiment has folds, only runs of the fold that its config names count.
    """
    return newest_by_seed(completed_runs_of_fold(config_of(study, change), runs))


def compare(study: Study, runs: Sequence[Run]) -> tuple[AblationResult, ...]:
    """Return the results of every change of a study."""
    by_change = {change.key: runs_of(study, change, runs) for change in study.changes}
    return tuple(_result(study, change, by_change) for change in study.changes)


def _experiment_name(study: Study, change: Change) -> str:
    return f"{study.base}-{change.key}"


def _merged_fields(study: Study, change: Change) -> dict[str, Any]:
    """Return the fields of a change, on top of those of the change that it builds on."""
    reference = study.reference(change)
    fields = _merged_fields(study, reference) if reference else {}
    for name, value in change.fields.items():
        # A whole table replaces what earlier changes set in it; the order of assignment counts.
        fields = {
            earlier: earlier_value
            for earlier, earlier_value in fields.items()
            if earlier != name and not earlier.startswith(f"{name}.")
        }
        fields[name] = value
    return fields


def _result(
    study: Study, change: Change, by_change: Mapping[str, Mapping[int, Run]]
) -> AblationResult:
    reference, runs = study.reference(change), by_change[change.key]
    results = [run.results for run in runs.values() if run.results]
    if not results:
        return AblationResult(change, reference, _experiment_name(study, change))
    # The log of a run may be missing although its results are there.
    seconds = [row.seconds for run in runs.values() for row in run.log()]
    accuracies = [100 * result.splits["test"].accuracy for result in results]
    return AblationResult(
        change,
        reference,
        _experiment_name(study, change),
        runs=tuple(run.id for run in runs.values()),
        mean=statistics.fmean(accuracies),
        spread=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        difference=_paired_difference(by_change[reference.key], runs) if reference else None,
        epochs_to_target=_mean_epochs_to_target(study.target, list(runs.values()))
        if study.target
        else None,
        n=results[0].splits["test"].n,
        seconds=statistics.median(seconds) if seconds else None,
        parameters=results[0].parameters,
    )


def _mean_epochs_to_target(target: float, runs: Sequence[Run]) -> float | None:
    epochs = [
        next(
            (row.epoch for row in full_size_epochs(run.log()) if 100 * row.val_accuracy >= target),
            None,
        )
        for run in runs
    ]
    reached = [epoch for epoch in epochs if epoch is not None]
    return statistics.fmean(reached) if len(reached) == len(runs) else None


def _paired_difference(
    reference: Mapping[int, Run], changed: Mapping[int, Run]
) -> metrics.PairedDifference | None:
    """Return the mean difference in accuracy over the seeds that both have, on equal samples."""
    gains, samples, groups = [], [], []
    for seed in sorted(reference.keys() & changed.keys()):
        if reference[seed].original_dataset != changed[seed].original_dataset:
            return None  # ids of two versions of a dataset may name different images
        before, after = _correctness(reference[seed]), _correctness(changed[seed])
        if before is None or after is None:
            return None
        samples += [before[0], after[0]]
        groups += [before[2], after[2]]
        if before[0] == after[0]:
            gains.append(after[1] - before[1])
    # Another edition of the dataset has other ids, in another order.
    if not gains or any(ids != samples[0] for ids in samples):
        return None
    return metrics.bootstrap_mean(np.mean(gains, axis=0), groups=common_groups(groups)[0])


def _correctness(
    run: Run,
) -> tuple[list[str], NDArray[np.float64], tuple[NDArray[np.str_] | None, str]] | None:
    """Return the test ids, sorted, 1 for each correct prediction, and the groups and their kind."""
    predictions = run.predictions("test")
    if predictions is None:
        return None
    is_correct = predictions.probabilities.argmax(axis=1) == predictions.labels
    order = np.argsort(predictions.ids)
    groups = None if predictions.groups is None else predictions.groups[order]
    return (
        predictions.ids[order].tolist(),
        np.asarray(is_correct[order], np.float64),
        (groups, predictions.group_kind),
    )
