"""Runs evaluated on the same images: the figures of one view of Compare and Confusion."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dashboard.analysis import run_properties
from fercore.evaluation.paired_runs import SamplePredictions
from fercore.evaluation.results import split_result, without_calibration
from fercore.runs.reader import Run
from fercore.runs.schema import SplitResult

Load = Callable[[Run, tuple[str, ...]], SamplePredictions | None]


@dataclass(frozen=True)
class ImageSet:
    """The images that some of the runs are evaluated on.

    Attributes:
        run_ids: of these runs.
        text: what the images are, such as "3,301 images of PrivateTest without the 288 that also
            stand in training".
    """

    run_ids: tuple[str, ...]
    text: str


@dataclass(frozen=True, eq=False)
class Evaluations:
    """The figures of several runs on one split, on the same images wherever they share any.

    Attributes:
        results: by run id.
        samples: the predictions that the results are computed from, by run id; absent for a run
            whose predictions are not stored.
        image_sets: one where all runs share images; runs of two sets cannot be compared.
        left_out: ids of runs whose figure is on other images and cannot be computed on the shared
            ones, because their predictions are not stored.
    """

    results: Mapping[str, SplitResult]
    samples: Mapping[str, SamplePredictions]
    image_sets: tuple[ImageSet, ...]
    left_out: tuple[str, ...] = ()

    def pair(self, first: str, second: str) -> tuple[SamplePredictions, SamplePredictions] | None:
        """Return the predictions of two runs on the same images; `None` if there are none."""
        together = any({first, second}.issubset(own.run_ids) for own in self.image_sets)
        if not together or first not in self.samples or second not in self.samples:
            return None
        return self.samples[first], self.samples[second]


@dataclass
class _Members:
    """Runs that share images, while they are collected."""

    runs: list[Run]
    ids: NDArray[np.str_]
    labels: NDArray[np.int64]


def evaluate_together(runs: Sequence[Run], split: str, load: Load) -> Evaluations:
    """Evaluate runs on the images that all of them were evaluated on.

    Runs on another dataset, another version of it or with other classes form a set of their own,
    and so do runs that share no image. A class that one run leaves out is left out of the whole
    set, except on `"test_all"`. Stored figures are used where they are of exactly these images.

    Args:
        runs: any; those without figures on the split are passed over.
        split: as in `fercore.runs.schema.Results.splits`.
        load: returns a run's predictions on the split without its own and some further classes.
    """
    results: dict[str, SplitResult] = {}
    samples: dict[str, SamplePredictions] = {}
    image_sets: list[ImageSet] = []
    left_out: list[str] = []
    for group in _on_the_same_data(runs, split):
        dropped = () if split == "test_all" else _dropped(group)
        loaded = {run.id: own for run in group if (own := load(run, dropped))}
        found = _that_share_images([run for run in group if run.id in loaded], loaded)
        for members in found:
            for run in members.runs:
                own, stored = loaded[run.id], run_properties.result_of(run, split)
                assert stored is not None
                assert run.results is not None
                if len(own) > len(members.ids):
                    own = own.take(np.flatnonzero(np.isin(own.ids, members.ids)))
                samples[run.id] = own
                results[run.id] = (
                    stored if stored.n == len(own) else _evaluate(run, stored.title, own)
                )
        sets = [(list(members.runs), len(members.ids)) for members in found]
        for run in group:
            stored = run_properties.result_of(run, split)
            if run.id in loaded or stored is None:
                continue
            if not sets:
                sets.append(([], stored.n))
            first, n = sets[0][0][:1], sets[0][1]
            same_classes = split == "test_all" or set(_dropped([run])) == set(dropped)
            if same_classes and stored.n == n and all(_tests_like(run, other) for other in first):
                sets[0][0].append(run)
                results[run.id] = stored
            else:
                left_out.append(run.id)
        image_sets += [
            ImageSet(tuple(run.id for run in own), _describe(own, split, n)) for own, n in sets
        ]
    return Evaluations(results, samples, tuple(image_sets), tuple(left_out))


def _evaluate(run: Run, title: str, samples: SamplePredictions) -> SplitResult:
    assert run.results is not None
    result = split_result(
        title,
        samples.probabilities,
        samples.labels,
        run.results.class_names,
        samples.groups,
        samples.group_kind,
    )
    return result if run.gives_probabilities else without_calibration(result)


def _on_the_same_data(runs: Sequence[Run], split: str) -> list[list[Run]]:
    groups: dict[object, list[Run]] = {}
    for run in runs:
        if run.results and run_properties.result_of(run, split):
            key = (run.original_dataset, tuple(run.results.class_names))
            groups.setdefault(key, []).append(run)
    return list(groups.values())


def _that_share_images(
    runs: Sequence[Run], loaded: Mapping[str, SamplePredictions]
) -> list[_Members]:
    found: list[_Members] = []
    for run in runs:
        own = loaded[run.id]
        for members in found:
            shared, here, there = np.intersect1d(members.ids, own.ids, return_indices=True)
            labels = members.labels[here]
            if len(shared) and np.array_equal(labels, own.labels[there]):
                members.runs.append(run)
                members.ids, members.labels = shared, labels
                break
        else:
            found.append(_Members([run], own.ids, own.labels))
    return found


def _dropped(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(name for run in runs for name in run_properties.dropped_classes(run))
    )


def _tests_like(run: Run, other: Run) -> bool:
    assert run.config is not None
    assert other.config is not None
    return run.config.protocol.has_same_test_set(other.config.protocol)


def _describe(runs: Sequence[Run], split: str, n: int) -> str:
    stored = [result for run in runs if (result := run_properties.result_of(run, split))]
    titles = " and ".join(dict.fromkeys(result.title for result in stored))
    names = "" if split == "test_all" else ", ".join(_dropped(runs))
    if any(result.n != n for result in stored):
        what = f"{titles}, without {names}" if names else titles
        return f"{n:,} images that all of these runs were evaluated on ({what})"
    without = [names] if names else []
    whole = run_properties.result_of(runs[0], "test") if split == "test_unique" else None
    if whole is not None and whole.n > n:
        titles = whole.title
        without.append(f"the {whole.n - n:,} that also stand in training")
    return f"{n:,} images of {titles}{''.join(f' without {what}' for what in without)}"
