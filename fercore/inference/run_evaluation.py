"""Evaluate a finished run on any dataset, or return the figures that it stores."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fercore import paths
from fercore.data.registry import load_dataset
from fercore.data.splits import UNSPLIT, Splits
from fercore.data.splitting import split_dataset
from fercore.errors import UserError
from fercore.evaluation.leakage import Images, count_seen
from fercore.evaluation.protocol import require_same_splits
from fercore.inference.dataset_evaluation import evaluate_onnx
from fercore.inference.onnx_session import OnnxNetwork
from fercore.runs.api import read_run
from fercore.runs.lineage import iter_ancestors
from fercore.runs.reader import Run
from fercore.runs.recreate import require_network
from fercore.runs.schema import SplitResult
from fercore.runs.split_results import SPLIT_ALIASES, parse_split, result_of

# The parts of a dataset by the names that users give.
DATASET_SPLITS = SPLIT_ALIASES | {
    "test": "test",
    "validation": "validation",
    "train": "train",
    "training": "train",
    "all": UNSPLIT,
}


@dataclass(frozen=True)
class DatasetEvaluation:
    """The figures of a run's network on one split of a dataset.

    Attributes:
        split: the part of the dataset, as in `fercore.data.splits.Splits`.
        result: the figures.
        notes: what makes them no test, such as images that the run was trained on; one line each.
    """

    split: str
    result: SplitResult
    notes: tuple[str, ...] = ()


def evaluate(
    run: str | Path | Run,
    dataset: str | None = None,
    split: str = "test",
    *,
    runs_root: str | Path | None = None,
    data_root: str | Path | None = None,
) -> SplitResult:
    """Return the figures of a run: stored ones, or those of its network on a dataset.

    Without a dataset, these are the figures that the run stores, which follow from its stored
    predictions. With one, `model.onnx` predicts its images on ONNX Runtime. A dataset with other
    classes is evaluated on the classes in common, and a dataset without splits on all of its
    images. A warning says where the run was trained on images of that dataset.

    Args:
        run: a run's name, the path of its folder, or a run that was read.
        dataset: name of an installed dataset.
        split: without a dataset `"test"`, `"test_unique"` (without images that also occur in
            training), `"test_all"` (with the samples of dropped classes) or `"validation"`; with
            one `"test"`, `"validation"`, `"train"` or `"all"`.
        runs_root: folder of the runs; `$FERCORE_RUNS` or `./runs` if absent.
        data_root: folder of the datasets; `$FERCORE_DATA` or `./data` if absent.

    Returns:
        Accuracy with its 95% interval, macro-F1, UAR, figures by class and the confusion matrix.

    Raises:
        UserError: if there is no such run, dataset or split, or a dataset is given and the run has
            no `model.onnx`.

    Example:
        >>> result = fercore.evaluate("katkar2021-model2-original-s0-20261121T024609")
        >>> result.title, result.n
        ('PrivateTest', 3534)
        >>> fercore.evaluate(
        ...     "katkar2021-model2-original-s0-20261121T024609", dataset="synthetic"
        ... ).title
        'synthetic, Test'
    """
    stored = read_run(run, runs_root)
    if dataset is None:
        return _stored_result(stored, split)
    evaluation = evaluate_on_dataset(
        stored,
        dataset,
        parse_dataset_split(split),
        all_if_unsplit=split == "test",
        runs_root=paths.runs_root(None if runs_root is None else Path(runs_root)),
        data_root=paths.data_root(None if data_root is None else Path(data_root)),
    )
    for note in evaluation.notes:
        warnings.warn(note, stacklevel=2)
    return evaluation.result


def parse_dataset_split(name: str) -> str:
    """Return the part of a dataset that a user names.

    Raises:
        UserError: if there is none.
    """
    split = DATASET_SPLITS.get(name.lower())
    if split is None:
        raise UserError(
            f"received the split {name!r}, expected train, public (or validation), private (or "
            "test), or all"
        )
    return split


def evaluate_on_dataset(
    run: Run,
    dataset: str | None,
    split: str,
    *,
    all_if_unsplit: bool,
    runs_root: Path,
    data_root: Path,
    network: OnnxNetwork | None = None,
) -> DatasetEvaluation:
    """Evaluate a finished run's `model.onnx` on one split of a dataset.

    The images that the run was trained on are divided as its protocol divides them.

    Args:
        run: finished.
        dataset: name of an installed dataset; the run's own if absent.
        split: a part of it, `fercore.data.splits.UNSPLIT` for all of its images.
        all_if_unsplit: take all images of another dataset that has no splits.
        runs_root: folder of the runs, where ancestors are looked up.
        data_root: folder of the datasets.
        network: another network that takes and returns the same as the run's own.

    Raises:
        UserError: if the run has no network, or the dataset is not installed, lacks the split, or
            was divided otherwise when the run was trained.
    """
    if run.config is None:
        raise UserError(f"{run.id} cannot be read: {run.problem}")
    require_network(run)
    splits = load_dataset(dataset or run.config.dataset, data_root)
    trained_on = run.original_dataset
    same_images = trained_on is not None and trained_on.name == splits.original.name
    if all_if_unsplit and UNSPLIT in splits and not same_images:
        split = UNSPLIT
    if split != UNSPLIT and same_images:
        require_same_splits(run, splits)
        splits = split_dataset(run.config, splits)
    result = evaluate_onnx(run, splits, split, network)
    notes: list[str] = []
    ancestors = list(iter_ancestors(runs_root, run))
    if split == UNSPLIT and _any_trained_on(ancestors, splits):
        notes.append(
            f"{run.id}, or a run that it learnt from, was trained on images of "
            f"{splits.original.name}: of all of them, this is no test"
        )
    elif not same_images and split in splits.parts:
        notes += seen_images_note(run.id, ancestors, splits[split].images, data_root)
    return DatasetEvaluation(split, result, tuple(notes))


def seen_images_note(
    name: str, ancestors: Sequence[tuple[str, Run | None]], images: Images, data_root: Path
) -> list[str]:
    """Return a note on how many of the evaluated images a run or its ancestors were trained on.

    Args:
        name: of the run.
        ancestors: the run and its ancestors, by name; `None` for one that is not here.
        images: `(n, height, width)` uint8, the evaluated images.
        data_root: folder of the datasets.

    Returns:
        One line; none if no image is known to have been seen.
    """
    counts = [count_seen(run, images, data_root) for _, run in ancestors if run and run.experiment]
    if not any(counts):
        return []
    return [
        f"{name}, or a run that it learnt from, was trained on "
        f"{max(filter(None, counts)):,} of these {len(images):,} images, under the name of "
        "another dataset: on them, this is no test"
    ]


def _any_trained_on(ancestors: Sequence[tuple[str, Run | None]], splits: Splits) -> bool:
    datasets = [run.original_dataset for _, run in ancestors if run]
    return any(one is not None and one.name == splits.original.name for one in datasets)


def _stored_result(run: Run, split: str) -> SplitResult:
    result = result_of(run, parse_split(split))
    if result is not None:
        return result
    if run.results is None:
        raise UserError(
            f"{run.id} has no results, its state is {run.state}; expected a finished run"
        )
    raise UserError(f"{run.id} has no figures on {split}; it has: {', '.join(run.results.splits)}")
