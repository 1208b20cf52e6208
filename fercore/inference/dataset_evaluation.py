"""Evaluate a finished run's `model.onnx` on one split of any dataset."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fercore.config.protocol import ImageConfig
from fercore.config.run import ImportedConfig
from fercore.data.splits import Splits
from fercore.data.splitting import fit_images
from fercore.errors import UserError
from fercore.evaluation.results import as_stored, keep_groups, keep_highest, split_result
from fercore.inference.onnx_session import OnnxNetwork
from fercore.runs.reader import Run
from fercore.runs.recreate import require_network
from fercore.runs.schema import SplitResult


def evaluate_onnx(
    run: Run, splits: Splits, role: str, network: OnnxNetwork | None = None
) -> SplitResult:
    """Evaluate a finished run's `model.onnx` on one split of any dataset.

    If the dataset has other classes, only samples of the common classes are evaluated, and the
    probabilities are restricted to these classes. Samples of classes that the run dropped are left
    out, as in its own results, and so are the copies of images that a protocol adds. Images are
    scaled to the size in the run's config, or else to that of the network's input.

    Args:
        run: finished, with an exported network.
        splits: the dataset.
        role: of the split: "train", "validation", "test" or another key of the dataset.
        network: used in place of the run's own, with the same inputs and outputs.

    Raises:
        UserError: if the run has no exported network, the dataset lacks the split, or the two have
            fewer than two classes in common.
    """
    file = require_network(run)
    assert run.config is not None
    assert run.results is not None
    class_names = tuple(run.results.class_names)
    common = [name for name in class_names if name in splits.class_names]
    if len(common) < 2:
        raise UserError(
            f"{run.id} predicts the classes {', '.join(class_names)}; {splits.name} has "
            f"{', '.join(splits.class_names)}: too few in common, expected at least two"
        )
    if role not in splits.parts:
        raise UserError(f"{splits.name} has no split {role!r}; it has: {', '.join(splits)}")
    split = splits[role]
    if split.copies is not None:
        split = split.take(~split.copies)
    network = network or OnnxNetwork(file, threads=0)
    images = fit_images(split.images, run.config.image)
    if images.shape[1:] != network.image_shape:
        images = fit_images(split.images, ImageConfig(size=network.image_shape[0]))
    has_same_classes = splits.class_names == class_names
    evaluated = class_names if has_same_classes else tuple(common)
    # Index of each class of the dataset among the evaluated ones; -1 if it is not one of them.
    indices = np.array([evaluated.index(n) if n in evaluated else -1 for n in splits.class_names])
    truth = indices[split.labels]
    dropped = [evaluated.index(name) for name in run.config.drop_classes if name in evaluated]
    mask = (truth >= 0) & ~np.isin(truth, dropped)
    probabilities = network(images[mask])
    if not has_same_classes:
        probabilities = _restrict_to_classes(
            probabilities, [class_names.index(name) for name in evaluated]
        )
    if isinstance(run.config, ImportedConfig):
        probabilities = keep_highest(probabilities)
    # A run stores half precision. Without it, ties could give another accuracy than the run's.
    probabilities = as_stored(probabilities)
    title = f"{splits.name}, {splits.title(role)}"
    if not has_same_classes:
        title += f", {len(evaluated) - len(dropped)} common classes"
    groups, kind = split.units() or (None, "")
    return split_result(
        title, probabilities, truth[mask], evaluated, keep_groups(groups, mask), kind
    )


def _restrict_to_classes(
    probabilities: NDArray[np.float32], indices: Sequence[int]
) -> NDArray[np.float32]:
    """Normalize the probabilities of some classes to a sum of 1; uniform where all are 0."""
    selected = np.maximum(probabilities[:, indices].astype(np.float64), np.finfo(np.float64).tiny)
    return np.asarray(selected / selected.sum(axis=1, keepdims=True), np.float32)
