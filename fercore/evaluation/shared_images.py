"""Evaluate several runs on the images that they share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fercore.data.labels import index_of
from fercore.errors import UserError
from fercore.evaluation.paired_runs import SamplePredictions, sample_predictions
from fercore.evaluation.results import split_result, without_calibration
from fercore.runs.predictions import Predictions
from fercore.runs.reader import Run
from fercore.runs.schema import SplitResult
from fercore.runs.split_results import dropped_classes, result_of

LoadSamples = Callable[[Run, tuple[str, ...]], SamplePredictions | None]


@dataclass(frozen=True)
class ImageSet:
    """The images that some of the runs are evaluated on.

    Attributes:
        run_ids: of these runs.
        text: description of the images, such as "3,301 images of PrivateTest without the 288 that
            also occur in training".
    """

    run_ids: tuple[str, ...]
    text: str


@dataclass(frozen=True, eq=False)
class Evaluations:
    """The figures of several runs on one split, on the same images wherever they share any.

    Attributes:
        results: by run id.
        samples: the predictions that the results are computed from, by run id; absent for a run
            that does not store its predictions.
        image_sets: one where all runs share images; runs of two sets cannot be compared.
        left_out: ids of runs that have figures on other images only: their predictions are not
            stored, so that figures on the shared images cannot be computed.
    """

    results: Mapping[str, SplitResult]
    samples: Mapping[str, SamplePredictions]
    image_sets: tuple[ImageSet, ...]
    left_out: tuple[str, ...] = ()

    def pair(self, first: str, second: str) -> tuple[SamplePredictions, SamplePredictions] | None:
        """Return the predictions of two runs on the same images; `None` if there are none."""
        share_a_set = any({first, second}.issubset(images.run_ids) for images in self.image_sets)
        if not share_a_set or first not in self.samples or second not in self.samples:
            return None
        return self.samples[first], self.samples[second]


def left_out_classes(run: Run, split: str, also_dropped: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the classes that do not count in an evaluation of a run, sorted.

    Args:
        run: any.
        split: as in `fercore.runs.schema.Results.splits`; `"test_all"` counts every class.
        also_dropped: classes to leave out besides those that the run drops.
    """
    if split == "test_all":
        return ()
    return tuple(sorted({*dropped_classes(run), *also_dropped}))


def stored_split(split: str) -> str:
    """Return the name under which `predictions.npz` stores the samples of an evaluation."""
    return "validation" if split == "validation" else "test"


def select_split(
    run: Run, predictions: Predictions, split: str, left_out: Sequence[str]
) -> SamplePredictions | None:
    """Return the predictions of one evaluation of a run.

    Args:
        run: with results.
        predictions: on every sample of the stored split.
        split: as in `fercore.runs.schema.Results.splits`.
        left_out: classes that do not count.

    Returns:
        `None` if no sample is left, the run does not store which images `"test_unique"` counts, or
        it has no class of a name in `left_out`.
    """
    class_names = run.results.class_names if run.results else []
    try:
        dropped = [index_of(name, class_names) for name in left_out]
    except UserError:
        return None
    if split == "test_unique":
        if predictions.unique is None:
            return None
        predictions = predictions.take(predictions.unique)
    return sample_predictions(predictions, dropped, gives_probabilities=run.gives_probabilities)


def load_samples(
    run: Run, split: str, also_dropped: Sequence[str] = ()
) -> SamplePredictions | None:
    """Read the predictions of one evaluation of a run from its `predictions.npz`.

    Args:
        run: any.
        split: as in `fercore.runs.schema.Results.splits`.
        also_dropped: classes to leave out besides those that the run drops.

    Returns:
        `None` if they are not stored, or as in `select_split`.
    """
    predictions = run.predictions(stored_split(split)) if run.results else None
    if predictions is None:
        return None
    return select_split(run, predictions, split, left_out_classes(run, split, also_dropped))


def evaluate_together(
    runs: Sequence[Run], split: str, load: LoadSamples | None = None
) -> Evaluations:
    """Evaluate runs on the images that all of them were evaluated on.

    Runs on another dataset, another version of it or with other classes form a set of their own,
    and so do runs that share no image. A class that one run leaves out is left out of the whole
    set, except on `"test_all"`. Stored figures are used where they are of exactly these images.

    Args:
        runs: any; those without figures on the split are passed over.
        split: as in `fercore.runs.schema.Results.splits`.
        load: returns a run's predictions on the split without its own and some further classes;
            `load_samples` if absent.
    """
    results: dict[str, SplitResult] = {}
    samples: dict[str, SamplePredictions] = {}
    image_sets: list[ImageSet] = []
    left_out: list[str] = []
    for group in _group_by_dataset(runs, split):
        dropped = () if split == "test_all" else _dropped_by_any(group)
        loaded: dict[str, SamplePredictions] = {}
        for run in group:
            predictions = load(run, dropped) if load else load_samples(run, split, dropped)
            if predictions is not None:
                loaded[run.id] = predictions
        sets: list[tuple[list[Run], int]] = []
        for members in _group_by_images([run for run in group if run.id in loaded], loaded):
            for run in members.runs:
                samples[run.id] = _restrict(loaded[run.id], members.ids)
                results[run.id] = _result_on(run, split, samples[run.id])
            sets.append((list(members.runs), len(members.ids)))
        for run in group:
            if run.id not in loaded:
                result = _add_without_predictions(run, split, dropped, sets)
                if result is None:
                    left_out.append(run.id)
                else:
                    results[run.id] = result
        image_sets += [
            ImageSet(tuple(run.id for run in members), _describe(members, split, n))
            for members, n in sets
        ]
    return Evaluations(results, samples, tuple(image_sets), tuple(left_out))


@dataclass
class _Members:
    """Runs that share images, while they are collected."""

    runs: list[Run]
    ids: NDArray[np.str_]
    labels: NDArray[np.int64]


def _group_by_dataset(runs: Sequence[Run], split: str) -> list[list[Run]]:
    """Group the runs that have figures on the split by dataset version and class names."""
    groups: dict[object, list[Run]] = {}
    for run in runs:
        if run.results and result_of(run, split):
            key = (run.original_dataset, tuple(run.results.class_names))
            groups.setdefault(key, []).append(run)
    return list(groups.values())


def _group_by_images(
    runs: Sequence[Run], samples: Mapping[str, SamplePredictions]
) -> list[_Members]:
    """Group runs that share images with equal labels; each group keeps the shared ones."""
    groups: list[_Members] = []
    for run in runs:
        own = samples[run.id]
        for members in groups:
            shared, in_group, in_run = np.intersect1d(members.ids, own.ids, return_indices=True)
            labels = members.labels[in_group]
            if len(shared) and np.array_equal(labels, own.labels[in_run]):
                members.runs.append(run)
                members.ids, members.labels = shared, labels
                break
        else:
            groups.append(_Members([run], own.ids, own.labels))
    return groups


def _restrict(samples: SamplePredictions, ids: NDArray[np.str_]) -> SamplePredictions:
    """Return the samples with these ids, all of which occur."""
    if len(samples) == len(ids):
        return samples
    return samples.take(np.flatnonzero(np.isin(samples.ids, ids)))


def _result_on(run: Run, split: str, samples: SamplePredictions) -> SplitResult:
    """Return the figures on these samples: the stored ones where they are of the same samples."""
    stored = result_of(run, split)
    assert stored is not None
    assert run.results is not None
    if stored.n == len(samples):
        return stored
    result = split_result(
        stored.title,
        samples.probabilities,
        samples.labels,
        run.results.class_names,
        samples.groups,
        samples.group_kind,
    )
    return result if run.gives_probabilities else without_calibration(result)


def _add_without_predictions(
    run: Run, split: str, dropped: Sequence[str], sets: list[tuple[list[Run], int]]
) -> SplitResult | None:
    """Add a run that stores no predictions to the first set, if its figures are on these images.

    Returns:
        Its stored figures; `None` if they are on other images.
    """
    stored = result_of(run, split)
    assert stored is not None
    if not sets:
        sets.append(([], stored.n))
    members, n = sets[0]
    same_classes = split == "test_all" or set(dropped_classes(run)) == set(dropped)
    same_images = all(_has_same_test_set(run, other) for other in members[:1])
    if not (same_classes and stored.n == n and same_images):
        return None
    members.append(run)
    return stored


def _dropped_by_any(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for run in runs for name in dropped_classes(run)))


def _has_same_test_set(run: Run, other: Run) -> bool:
    assert run.config is not None
    assert other.config is not None
    return run.config.protocol.has_same_test_set(other.config.protocol)


def _describe(runs: Sequence[Run], split: str, n: int) -> str:
    """Describe the `n` images that these runs are evaluated on."""
    stored = [result for run in runs if (result := result_of(run, split))]
    titles = " and ".join(dict.fromkeys(result.title for result in stored))
    dropped = "" if split == "test_all" else ", ".join(_dropped_by_any(runs))
    if any(result.n != n for result in stored):
        subset = f"{titles}, without {dropped}" if dropped else titles
        return f"{n:,} images that all of these runs were evaluated on ({subset})"
    exclusions = [dropped] if dropped else []
    complete = result_of(runs[0], "test") if split == "test_unique" else None
    if complete is not None and complete.n > n:
        titles = complete.title
        exclusions.append(f"the {complete.n - n:,} that also occur in training")
    return f"{n:,} images of {titles}{''.join(f' without {text}' for text in exclusions)}"
