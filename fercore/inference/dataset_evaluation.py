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
    """Judge a finished run's `model.onnx` on one split of any dataset.

    Of a dataset with other classes, the samples of those that both have are judged, by the
    probabilities of these alone. Another network that takes and gives the same may stand for the
    run's own.

    Samples of classes that the run dropped are left out, as in its own headline figure, and so are
    the copies of images that a protocol asks for. Images are brought to the size that the run's
    config names, or else the network takes.

    Raises:
        UserError: if the run has no exported network, or the dataset lacks the split or shares
            fewer than two classes with it.
    """
    file = require_network(run)
    assert run.config is not None
    assert run.results is not None
    class_names = tuple(run.results.class_names)
    common = [name for name in class_names if name in splits.class_names]
    if len(common) < 2:
        raise UserError(
            f"{run.id} knows the classes {', '.join(class_names)}; {splits.name} has "
            f"{', '.join(splits.class_names)}: too few in common"
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
    same = splits.class_names == class_names
    judged = class_names if same else tuple(common)
    # Where each class of the dataset stands among the judged ones; -1 where it does not.
    places = np.array([judged.index(n) if n in judged else -1 for n in splits.class_names])
    truth = places[split.labels]
    dropped = [judged.index(name) for name in run.config.drop_classes if name in judged]
    keep = (truth >= 0) & ~np.isin(truth, dropped)
    probabilities = network(images[keep])
    if not same:
        probabilities = _restrict_to_classes(
            probabilities, [class_names.index(name) for name in judged]
        )
    if isinstance(run.config, ImportedConfig):
        probabilities = keep_highest(probabilities)
    # As a run stores them, or a tie in half precision makes this another figure than the run's.
    probabilities = as_stored(probabilities)
    title = f"{splits.name}, {splits.title(role)}"
    if not same:
        title += f", {len(judged) - len(dropped)} common classes"
    groups, kind = split.units() or (None, "")
    return split_result(title, probabilities, truth[keep], judged, keep_groups(groups, keep), kind)


def _restrict_to_classes(
    probabilities: NDArray[np.float32], places: Sequence[int]
) -> NDArray[np.float32]:
    """Probabilities of some of the classes alone; where none has any, all alike."""
    chosen = np.maximum(probabilities[:, places].astype(np.float64), np.finfo(np.float64).tiny)
    return np.asarray(chosen / chosen.sum(axis=1, keepdims=True), np.float32)
