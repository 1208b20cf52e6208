"""Average the class probabilities of several runs, and select ensemble members on validation data.

Everything here works on the probabilities that `predictions.npz` stores, so no network is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.config.run import Average, CombinedConfig
from fercore.data.splits import Split, Splits
from fercore.data.splitting import split_dataset
from fercore.errors import UserError
from fercore.metrics import negative_log_likelihood
from fercore.metrics.calibration import SMALLEST_PROBABILITY
from fercore.metrics.validation import SUM_TOLERANCE
from fercore.runs.listing import find_run
from fercore.runs.predictions import Predictions
from fercore.runs.reader import Run


@dataclass(frozen=True)
class Step:
    """One step of the forward selection.

    Attributes:
        run: the member that was added.
        accuracy: of the ensemble on the validation split once the member is in it, a fraction.
        nll: mean negative log-likelihood of the same, in nats.
    """

    run: Run
    accuracy: float
    nll: float


def average_probabilities(
    members: Sequence[NDArray[np.float32]], average: Average
) -> NDArray[np.float32]:
    """Average the class probabilities of several networks.

    Args:
        members: `(n, k)` probabilities of each network for the same samples.
        average: `"arithmetic"`, the mean; `"geometric"`, the softmax of the mean log-probability,
            in which smaller probabilities than `SMALLEST_PROBABILITY` are raised to it.

    Returns:
        `(n, k)` float32.
    """
    stacked = np.stack(members)
    if average == "arithmetic":
        return np.asarray(stacked.mean(axis=0), np.float32)
    logs = np.log(np.maximum(stacked, SMALLEST_PROBABILITY)).mean(axis=0)
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def stored_predictions(run: Run, role: str, split: Split) -> Predictions:
    """Read a run's predictions for a split and check that they are for exactly its samples.

    Args:
        run: finished.
        role: `"validation"` or `"test"`.
        split: the samples, in the order in which they must be stored.

    Raises:
        UserError: if they cannot be read, are for other samples, or are not probabilities.
    """
    stored = _require_samples_of(run, role, split)
    if not run.gives_probabilities:
        raise UserError(
            f"{run.id} holds predicted classes without probabilities, which cannot be averaged; "
            "expected a run with probabilities"
        )
    sums = stored.probabilities.sum(axis=1)
    # Written so that NaN fails as well.
    if not (stored.probabilities.min() >= 0 and np.abs(sums - 1).max() <= SUM_TOLERANCE):
        raise UserError(
            f"{run.id} has {role} predictions from {stored.probabilities.min():.4g} with row sums "
            f"from {sums.min():.4g} to {sums.max():.4g}; expected probabilities that sum to 1"
        )
    return stored


def _require_samples_of(run: Run, role: str, split: Split) -> Predictions:
    """Read a run's predictions, and refuse them if they are for other samples than the split."""
    stored = run.predictions(role)
    if stored is None:
        raise UserError(
            f"{run.id} has no readable {role} predictions; expected them in its predictions.npz"
        )
    if not (np.array_equal(stored.ids, split.ids) and np.array_equal(stored.labels, split.labels)):
        raise UserError(
            f"{run.id} has {role} predictions for other samples than this dataset holds; expected "
            f"the same {len(split):,} samples, in the same order"
        )
    return stored


def find_candidates(
    root: Path, runs: Sequence[Run], splits: Splits, *, skip_unsuitable: bool
) -> list[Run]:
    """Find the runs that ensemble members may be selected from on the validation split.

    These are finished runs that were trained here, or averages of views of one such run. They were
    trained on all classes of the dataset, under a protocol without leaks, and tested on the same
    samples.

    Args:
        root: of the runs, where the member of a combined run is looked up.
        runs: to choose from.
        splits: the dataset.
        skip_unsuitable: leave out the other runs instead of refusing them.

    Returns:
        The candidates, ordered by id.

    Raises:
        UserError: if a run is unsuitable and must not be skipped, divides the dataset
            differently, or fewer than two are left.
    """
    if len({run.id for run in runs}) < len(runs):
        raise UserError("received a run twice, expected each once")
    candidates: list[Run] = []
    for run in sorted(runs, key=lambda run: run.id):
        problem = _problem(root, run, splits)
        if not problem:
            candidates.append(run)
        elif not skip_unsuitable:
            raise UserError(f"received the candidate {run.id}, {problem}")
    if candidates:
        candidates = _require_same_samples(candidates, splits, skip_unsuitable)
    if len(candidates) < 2:
        raise UserError(
            f"received {len(candidates)} candidates on {splits.name}, expected 2 or more: finished "
            "runs trained here on all classes, whose protocol is honest and tests on its own split"
        )
    return candidates


def select_members(candidates: Sequence[Run], size: int, average: Average) -> list[Step]:
    """Select ensemble members greedily by their accuracy on the validation split.

    Forward selection without replacement (Caruana et al., 2004, "Ensemble selection from libraries
    of models"). Each step adds the candidate with the highest accuracy of the ensemble; of equal
    ones that with the lower negative log-likelihood. A run and views of it exclude each other.
    Test predictions are not read.

    Args:
        candidates: as `find_candidates` returns them.
        size: number of members at most.
        average: how the probabilities are averaged.

    Returns:
        The steps, in order; fewer than `size` where no further candidate raises the accuracy.
    """
    stored = {run.id: _validation_predictions(run) for run in candidates}
    labels = stored[candidates[0].id].labels
    steps: list[Step] = []
    while len(steps) < size:
        members = [stored[step.run.id].probabilities for step in steps]
        used = {_network_id(step.run) for step in steps}
        trials = []
        for run in candidates:
            if _network_id(run) in used:
                continue
            mean = average_probabilities([*members, stored[run.id].probabilities], average)
            # Rounded as a run stores them, so that the new run states the same accuracy.
            mean = mean.astype(np.float16).astype(np.float32)
            accuracy = float((mean.argmax(axis=1) == labels).mean())
            trials.append(Step(run, accuracy, negative_log_likelihood(mean, labels)))
        if not trials:
            break
        best = min(trials, key=lambda step: (-step.accuracy, step.nll))
        if steps and best.accuracy <= steps[-1].accuracy:
            break
        steps.append(best)
    return steps


def _validation_predictions(run: Run) -> Predictions:
    stored = run.predictions("validation")
    if stored is None:
        raise UserError(f"{run.id} has no readable validation predictions")
    return stored


def _network_id(run: Run) -> str:
    """Return the id of the trained run, also for a run that averages views of it."""
    return run.config.combined.members[0] if isinstance(run.config, CombinedConfig) else run.id


def _problem(root: Path, run: Run, splits: Splits) -> str:
    """Return why a run cannot be a candidate; empty if it can."""
    base = run
    if isinstance(run.config, CombinedConfig):
        if len(run.config.combined.members) > 1:
            return "which is an ensemble of several runs; expected a single network"
        try:
            base = find_run(root, _network_id(run))
        except UserError:
            return f"whose network {_network_id(run)} is not under {root}; expected it there"
    if base.experiment is None or (base.state == "finished" and not base.completed):
        return "which was not trained to its end here; expected a finished training"
    return next((text for text in (_flaw(each, splits) for each in (run, base)) if text), "")


def _flaw(run: Run, splits: Splits) -> str:
    """Return why one run's predictions are unfit for selection; empty if they are fit."""
    config, results, environment = run.config, run.results, run.environment
    if run.state != "finished" or config is None or results is None or environment is None:
        return f"which is {run.state}; expected a finished run"
    if config.dataset != splits.name:
        return f"which is on {config.dataset}; expected runs on {splits.name}"
    if not config.protocol.leak_free:
        return (
            "whose protocol lets test images into the training; expected protocol.leak_free = true"
        )
    if config.protocol.test == "validation":
        return "which is tested on the validation split; expected a test split of its own"
    if config.protocol.test == "train_fold":
        return "which is tested on a fold of the training split; expected a test split of its own"
    if config.drop_classes:
        return f"which leaves out {', '.join(config.drop_classes)}; expected all classes"
    if environment.dataset_fingerprint != splits.fingerprint:
        return (
            f"which saw another {splits.name} (fingerprint {environment.dataset_fingerprint}); "
            f"expected {splits.fingerprint}"
        )
    if tuple(results.class_names) != splits.class_names:
        return f"which predicts other classes; expected {', '.join(splits.class_names)}"
    return ""


def _require_same_samples(
    candidates: Sequence[Run], splits: Splits, skip_unsuitable: bool
) -> list[Run]:
    """Return the candidates with predictions for the same validation and test samples."""
    configs = [run.config for run in candidates if run.config]
    # The splits that most of them share.
    common = max(
        configs,
        key=lambda one: sum(one.protocol.has_same_splits(other.protocol) for other in configs),
    )
    parts = split_dataset(common, splits)
    suitable = []
    for run, config in zip(candidates, configs, strict=True):
        try:
            if not config.protocol.has_same_splits(common.protocol):
                raise UserError(
                    f"{run.id} divides {splits.name} differently from the other candidates; "
                    "expected candidates on the same samples: name the runs to select from"
                )
            stored_predictions(run, "validation", parts["validation"])
            # Of the test split only ids and labels are compared.
            _require_samples_of(run, "test", parts["test"])
        except UserError:
            if not skip_unsuitable:
                raise
        else:
            suitable.append(run)
    return suitable
