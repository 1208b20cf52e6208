"""Compare the images that a training tests on with those that other runs were trained on.

Names are not enough: a user's dataset may hold a test set under another name. Images are compared
by their pixels, see `fercore.data.quality.find_copies`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.config.experiment import ExperimentConfig
from fercore.config.protocol import ImageConfig
from fercore.config.run import CombinedConfig, RunConfig
from fercore.config.training import ProgressiveResizingConfig
from fercore.data import registry
from fercore.data.quality import find_copies
from fercore.data.splits import Split, Splits
from fercore.errors import UserError
from fercore.evaluation.protocol import build_protocol
from fercore.runs.lineage import iter_ancestors
from fercore.runs.listing import find_run
from fercore.runs.reader import Run
from fercore.runs.schema import Ancestor

Images = NDArray[np.uint8]


def check_ancestors(
    root: Path, config: ExperimentConfig, splits: Splits, data_root: Path
) -> tuple[Ancestor, ...]:
    """Compare the tested images with those that the runs behind a training were trained on.

    Args:
        root: of the runs.
        config: of the training, whose teachers are named as runs.
        splits: its dataset.
        data_root: of the datasets.

    Returns:
        The records of the ancestors, for `environment.json`.

    Raises:
        UserError: if one of them was trained on tested images, under whatever name, and the
            protocol is to be honest.
    """
    names = [*config.distillation.teachers]
    if config.init_from is not None:
        names.append(config.init_from)
    ancestors = {
        name: run
        for first in names
        for name, run in iter_ancestors(root, find_run(root, first))
        if run is None or not isinstance(run.config, CombinedConfig)
    }
    if not ancestors:
        return ()
    compared = _compare(ancestors.items(), config, splits, data_root)
    for ancestor, example in compared:
        if ancestor.tested_images_seen and config.protocol.leak_free:
            raise UserError(
                f"received a start or teacher that goes back to {ancestor.run}, which was trained "
                f"on {ancestor.tested_images_seen:,} of the tested images in the dataset "
                f"{ancestor.dataset}, such as {example}; expected a run that has not seen them, or "
                "protocol.leak_free = false"
            )
    return tuple(ancestor for ancestor, _ in compared)


def count_seen(run: Run, images: Images, root: Path) -> int | None:
    """Return how many of these images a run was trained on; `None` where that is not known."""
    seen = _trained_on(run, root)
    return None if seen is None else int(_any_copies([images], seen).sum())


def _compare(
    ancestors: Iterable[tuple[str, Run | None]],
    config: ExperimentConfig,
    splits: Splits,
    root: Path,
) -> list[tuple[Ancestor, str]]:
    """Count the tested images that other runs were trained on.

    Images that also occur in this training, or resemble one there, do not count: this training uses
    them anyway, and most of them are left out of the figure without repeats.

    Args:
        ancestors: names of the runs that a training begins with or learns from, directly or
            through others, with the run where it is here.
        config: of the training.
        splits: its dataset.
        root: data root.

    Returns:
        For each ancestor its record, and the id of one tested image that it was trained on; empty
        if there is none.
    """
    counted: dict[object, tuple[int | None, str]] = {}
    tested: tuple[Split, list[Images]] | None = None
    compared = []
    for name, run in ancestors:
        dataset = run.config.dataset if run and run.config else ""
        key = _training_data(run) if run else None
        experiment = run.experiment if run else None
        same_data = run is not None and run.original_dataset == splits.original
        if experiment and same_data and experiment.protocol.has_same_splits(config.protocol):
            # It was trained on this training's images, and on no others.
            compared.append((Ancestor(run=name, dataset=dataset, tested_images_seen=0), ""))
            continue
        if key not in counted:
            seen = _trained_on(run, root) if run else None
            if seen is None:
                counted[key] = None, ""
            else:
                tested = tested or _tested_on(config, splits, root)
                copies = _any_copies(tested[1], seen)
                count = int(copies.sum())
                counted[key] = count, str(tested[0].ids[copies][0]) if count else ""
        number, example = counted[key]
        compared.append((Ancestor(run=name, dataset=dataset, tested_images_seen=number), example))
    return compared


def _training_data(run: Run) -> object:
    if run.experiment is None or run.environment is None:
        return None
    config, environment = run.experiment, run.environment
    division = config.protocol.model_dump_json(), config.drop_classes, environment.excluded_sha256
    return config.dataset, environment.dataset_fingerprint, division


def _any_copies(images: Sequence[Images], seen: Sequence[Images]) -> NDArray[np.bool_]:
    """Return a mask of the images that occur among those seen.

    Args:
        images: one or more versions of the same images, in the same order.
        seen: the images to look for.
    """
    copies = np.zeros(len(images[0]), bool)
    for view in images:
        for others in seen:
            copies |= find_copies(view, others)
    return copies


def _trained_on(run: Run, root: Path) -> list[Images] | None:
    """Return the images that a run was trained on and its checkpoint selected on.

    `None` where this version of the dataset is not installed, or the run does not record it.
    """
    config, environment = run.experiment, run.environment
    if config is None or environment is None:
        return None
    try:
        splits = registry.load_dataset(config.dataset, root)
        if splits.fingerprint != environment.dataset_fingerprint:
            return None
        protocol = build_protocol(_unscaled(config), splits)
    except UserError:
        return None
    if protocol.excluded_sha256 != environment.excluded_sha256:
        return None
    parts = [protocol.train]
    if config.protocol.test not in {"validation", "train_fold"}:
        parts.append(protocol.validation)  # the checkpoint was selected on it
    return [view for part in parts for view in _views(part, splits, root)]


def _tested_on(config: ExperimentConfig, splits: Splits, root: Path) -> tuple[Split, list[Images]]:
    """Return the tested images that do not resemble one of the same training."""
    protocol = build_protocol(_unscaled(config), splits)
    view = protocol.views.get("test_unique")
    tested = protocol.eval_splits["test"]
    tested = tested.take(np.zeros(len(tested), bool) if view is None else view.keep)
    tested = tested.take(~find_copies(tested.images, protocol.train.images))
    return tested, _views(tested, splits, root)


def _views(part: Split, splits: Splits, root: Path) -> list[Images]:
    """Return the images of a part and, of a derived dataset, those of its source."""
    if splits.source is None:
        return [part.images]
    try:
        source = registry.load_dataset(splits.source.name, root)
    except UserError:
        return [part.images]
    if source.fingerprint != splits.source.fingerprint:
        return [part.images]
    places = {
        name: (role, place)
        for role, own in source.parts.items()
        for place, name in enumerate(own.ids.tolist())
    }
    ids = [name for name in part.ids.tolist() if name in places]
    if len(ids) < len(part):
        return [part.images]
    originals = [source[role].images[place] for role, place in map(places.__getitem__, ids)]
    return [part.images, np.stack(originals)] if originals else [part.images]


def _unscaled(config: ExperimentConfig) -> RunConfig:
    """Return the config on images of the dataset's own size."""
    resizing = ProgressiveResizingConfig()
    return config.model_copy(update={"image": ImageConfig(), "progressive_resizing": resizing})
