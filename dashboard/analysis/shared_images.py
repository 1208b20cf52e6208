"""Evaluate several runs on the images that they share, for Compare and Confusion."""

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
    """A set of images and the runs that are evaluated on it.

    Attributes:
        run_ids: of these runs.
        text: a description of the images, such as "3,301 images of PrivateTest without the 288 that
            also occur in training".
    """

    run_ids: tuple[str, ...]
    text: str


@dataclass(frozen=True, eq=False)
class Evaluations:
    """The results of several runs on one split, on the same images wherever they share any.

    Attributes:
        results: by run id.
        samples: the predictions that the results are computed from, by run id; absent for a run
            without stored predictions.
        image_sets: one where all runs share images; runs of two sets cannot be compared.
        left_out: ids of runs that were evaluated on other images and cannot be evaluated on the
            shared ones, because their predictions are not stored.
    """

    results: Mapping[str, SplitResult]
    samples: Mapping[str, SamplePredictions]
    image_sets: tuple[ImageSet, ...]
    left_out: tuple[str, ...] = ()

    def pair(self, first: str, second: str) -> tuple[SamplePredictions, SamplePredictions] | None:
        """Return the predictions of two runs on the same images; `None` if there are none."""
        share = any({first, second}.issubset(images.run_ids) for images in self.image_sets)
        if not share or first not in self.samples or second not in self.samples:
            return None
        return self.samples[first], self.samples[second]


@dataclass
class _Sharing:
    """Runs that share images, and these images; `evaluate_together` adds to it run by run."""

    runs: list[Run]
    ids: NDArray[np.str_]
    labels: NDArray[np.int64]


def evaluate_together(runs: Sequence[Run], split: str, load: Load) -> Evaluations:
    """Evaluate runs on the images that all of them were evaluated on.

    Runs on another dataset, on another version of it or with other classes form a separate set, and
    so do runs that share no image. A class that one run leaves out is left out for the whole set,
    except on `"test_all"`. Stored results are used where they are of exactly these images.

    Args:
        runs: any; those without results on the split are skipped.
        split: as in `fercore.runs.schema.Results.splits`.
        load: returns a run's predictions on the split, without the classes that the run leaves out
            and those given; `None` if they are not stored.
    """
    results: dict[str, SplitResult] = {}
    samples: dict[str, SamplePredictions] = {}
    image_sets: list[ImageSet] = []
    left_out: list[str] = []
    for group in _group_by_data(runs, split):
        dropped = () if split == "test_all" else _dropped_classes(group)
        loaded = {run.id: stored for run in group if (stored := load(run, dropped))}
        sets = _group_by_images([run for run in group if run.id in loaded], loaded)
        for images in sets:
            _evaluate_on(images, split, loaded, results, samples)
        # Runs without stored predictions: their result counts if it is of the first set's images.
        counted = [(list(images.runs), len(images.ids)) for images in sets]
        for run in group:
            result = run_properties.result_of(run, split)
            if run.id in loaded or result is None:
                continue
            if not counted:
                counted.append(([], result.n))
            members, n = counted[0]
            same_classes = split == "test_all" or set(_dropped_classes([run])) == set(dropped)
            if same_classes and result.n == n and all(_same_test(run, m) for m in members[:1]):
                members.append(run)
                results[run.id] = result
            else:
                left_out.append(run.id)
        image_sets += [
            ImageSet(tuple(run.id for run in members), _describe(members, split, n))
            for members, n in counted
        ]
    return Evaluations(results, samples, tuple(image_sets), tuple(left_out))


def _evaluate_on(
    images: _Sharing,
    split: str,
    loaded: Mapping[str, SamplePredictions],
    results: dict[str, SplitResult],
    samples: dict[str, SamplePredictions],
) -> None:
    """Add the results and predictions of runs on the images that they share."""
    for run in images.runs:
        predictions, stored = loaded[run.id], run_properties.result_of(run, split)
        assert stored is not None
        assert run.results is not None
        if len(predictions) > len(images.ids):
            shared = np.isin(predictions.ids, images.ids)
            predictions = predictions.take(np.flatnonzero(shared))
        samples[run.id] = predictions
        same_images = stored.n == len(predictions)
        results[run.id] = stored if same_images else _evaluate(run, stored.title, predictions)


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


def _group_by_data(runs: Sequence[Run], split: str) -> list[list[Run]]:
    groups: dict[object, list[Run]] = {}
    for run in runs:
        if run.results and run_properties.result_of(run, split):
            key = (run.original_dataset, tuple(run.results.class_names))
            groups.setdefault(key, []).append(run)
    return list(groups.values())


def _group_by_images(
    runs: Sequence[Run], loaded: Mapping[str, SamplePredictions]
) -> list[_Sharing]:
    sets: list[_Sharing] = []
    for run in runs:
        samples = loaded[run.id]
        for images in sets:
            shared, in_set, in_run = np.intersect1d(images.ids, samples.ids, return_indices=True)
            labels = images.labels[in_set]
            if len(shared) and np.array_equal(labels, samples.labels[in_run]):
                images.runs.append(run)
                images.ids, images.labels = shared, labels
                break
        else:
            sets.append(_Sharing([run], samples.ids, samples.labels))
    return sets


def _dropped_classes(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(name for run in runs for name in run_properties.dropped_classes(run))
    )


def _same_test(run: Run, other: Run) -> bool:
    assert run.config is not None
    assert other.config is not None
    return run.config.protocol.has_same_test_set(other.config.protocol)


def _describe(runs: Sequence[Run], split: str, n: int) -> str:
    stored = [result for run in runs if (result := run_properties.result_of(run, split))]
    titles = " and ".join(dict.fromkeys(map(run_properties.display_title, stored)))
    names = "" if split == "test_all" else ", ".join(_dropped_classes(runs))
    if any(result.n != n for result in stored):
        what = f"{titles}, without {names}" if names else titles
        return f"{n:,} images that all of these runs were evaluated on ({what})"
    without = [names] if names else []
    complete = run_properties.result_of(runs[0], "test") if split == "test_unique" else None
    if complete is not None and complete.n > n:
        titles = complete.title
        without.append(f"the {complete.n - n:,} that also occur in training")
    return f"{n:,} images of {titles}{''.join(f' without {what}' for what in without)}"
