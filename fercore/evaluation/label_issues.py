"""Find doubtful training labels by confident learning on out-of-fold probabilities.

Every training image is predicted by networks that were not trained on it (cross-fitting,
`protocol.test = "train_fold"`). Confident learning estimates from these predictions how often each
class is labelled as each other class, and selects that many images (Northcutt, Jiang & Chuang,
"Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021).
"""

import csv
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import list_configs, load_config
from fercore.errors import UserError
from fercore.io.files import atomic_write
from fercore.runs.listing import completed_runs, newest_of_each_seed
from fercore.runs.predictions import Predictions
from fercore.runs.reader import Run

COLUMNS = ("id", "label", "suggested", "self_confidence", "probability_of_suggested")


@dataclass(frozen=True)
class OutOfFold:
    """Predictions for every training image, by networks that were not trained on it.

    Attributes:
        class_names: in the order of the probabilities.
        ids: `(n,)` unicode.
        labels: `(n,)` integers, positions in `class_names`.
        probabilities: `(n, k)` float; rows sum to 1 up to the half precision of stored predictions.
    """

    class_names: tuple[str, ...]
    ids: NDArray[np.str_]
    labels: NDArray[np.intp]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class LabelIssue:
    """An image whose label is doubtful.

    Attributes:
        id: of the image.
        label: its label in the dataset, a class name.
        suggested: the most probable class.
        self_confidence: predicted probability of its label.
        probability_of_suggested: predicted probability of the most probable class.
    """

    id: str
    label: str
    suggested: str
    self_confidence: float
    probability_of_suggested: float


def runs_of(experiment: str, runs: Sequence[Run]) -> list[Run]:
    """Return the finished runs of an experiment, the newest of each seed and fold.

    Args:
        experiment: the name of a shipped experiment, whose runs count if they were trained as it
            is written, or any other name: then its newest run defines the experiment.
        runs: any.

    Raises:
        UserError: if there are none.
    """
    if experiment in list_configs():
        config = load_config(experiment)
    else:
        named = [run for run in runs if run.completed and run.experiment]
        named = [run for run in named if run.experiment and run.experiment.name == experiment]
        newest = max(
            named, key=lambda run: run.results.finished if run.results else "", default=None
        )
        if newest is None or newest.experiment is None:
            raise UserError(f"received --experiment {experiment}, which has no finished run")
        config = newest.experiment
    if config.protocol.test != "train_fold":
        raise UserError(
            f"received --experiment {experiment}, which is not tested on folds of the training "
            'split; expected protocol.test = "train_fold", as in vgg-crossfit'
        )
    newest_runs = newest_of_each_seed([run for _, run in completed_runs(config, runs)])
    if not newest_runs:
        raise UserError(
            f"received --experiment {experiment}, which has no finished run with its present config"
            f"; train it: {_train_command(config, experiment, config.seed, 0)}"
        )
    return list(newest_runs.values())


def collect(runs: Sequence[Run]) -> OutOfFold:
    """Collect the predictions of cross-fitted runs on their tested folds, averaged over seeds.

    Args:
        runs: of one experiment and one division into folds: for each seed one run of every fold.

    Raises:
        UserError: if a run is of another kind, experiment or division, a fold is missing or there
            twice, or predictions cannot be read or do not fit together.
    """
    configs = [_require_fold(run) for run in runs]
    for run, config in zip(runs[1:], configs[1:], strict=True):
        _require_same_division(runs[0], configs[0], run, config)
    by_place: dict[tuple[int, int], Run] = {}
    for run, config in zip(runs, configs, strict=True):
        place = (config.protocol.fold, config.seed)
        if place in by_place:
            raise UserError(
                f"received {by_place[place].id} and {run.id}, both of fold {place[0]} and seed "
                f"{place[1]}; expected one run for each fold and seed"
            )
        by_place[place] = run
    seeds = sorted({config.seed for config in configs})
    folds = range(configs[0].protocol.folds)
    missing = [(fold, seed) for fold in folds for seed in seeds if (fold, seed) not in by_place]
    if missing:
        fold, seed = missing[0]
        command = _train_command(configs[0], str(runs[0].path / "config.json"), seed, fold)
        places = ", ".join(f"fold {fold} of seed {seed}" for fold, seed in missing)
        raise UserError(
            f"{len(missing)} of {len(folds) * len(seeds)} runs are missing ({places}, counted from "
            f"0); train them, such as the first: {command}"
        )
    parts = [_average_over_seeds([by_place[fold, seed] for seed in seeds]) for fold in folds]
    ids = np.concatenate([part.ids for part in parts])
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise UserError(
            f"the image {unique[counts.argmax()]} was tested in two folds: the runs did not divide "
            "the training split alike; train all folds with the same version of scikit-learn"
        )
    results = runs[0].results
    assert results is not None  # the run has ended
    return OutOfFold(
        class_names=tuple(results.class_names),
        ids=ids,
        labels=np.concatenate([part.labels for part in parts]).astype(np.intp),
        probabilities=np.concatenate([part.probabilities for part in parts]).astype(np.float64),
    )


def find(predictions: OutOfFold) -> list[LabelIssue]:
    """Find the images with doubtful labels, the lowest probability of the label first."""
    from cleanlab.filter import find_label_issues

    # A class without images has no threshold of confidence, and cannot be suggested.
    present, labels = np.unique(predictions.labels, return_inverse=True)
    probabilities = predictions.probabilities[:, present]
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    ranked = find_label_issues(
        labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    names = [predictions.class_names[place] for place in present]
    suggested = probabilities.argmax(axis=1)
    return [
        LabelIssue(
            id=str(predictions.ids[place]),
            label=names[labels[place]],
            suggested=names[suggested[place]],
            self_confidence=float(probabilities[place, labels[place]]),
            probability_of_suggested=float(probabilities[place, suggested[place]]),
        )
        for place in ranked
    ]


def write_csv(path: Path, issues: Sequence[LabelIssue]) -> None:
    """Write the issues to a CSV file with the columns `COLUMNS`, which `protocol.exclude` reads.

    Raises:
        UserError: if the file cannot be written; one that was there is unchanged.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for issue in issues:
        confidences = (issue.self_confidence, issue.probability_of_suggested)
        figures = (f"{value:.4f}" for value in confidences)
        writer.writerow([issue.id, issue.label, issue.suggested, *figures])
    try:
        with atomic_write(path) as file:
            file.write(text.getvalue().encode())
    except OSError as error:
        raise UserError(
            f"received --csv {path}, which cannot be written ({error.strerror}); expected a file "
            "in a folder that exists"
        ) from None


def _require_fold(run: Run) -> ExperimentConfig:
    config = run.experiment
    if config is None or config.protocol.test != "train_fold":
        raise UserError(
            f"received {run.id}, which was not tested on a fold of the training split; expected "
            'runs with protocol.test = "train_fold", such as those of vgg-crossfit'
        )
    if not run.completed:
        raise UserError(
            f"received {run.id}, which was not trained to its end ({run.state}); resume it: "
            f"fercore train --resume {run.id}"
        )
    if config.drop_classes:
        raise UserError(
            f"received {run.id}, which was trained without {', '.join(config.drop_classes)}; "
            "expected runs on all classes"
        )
    return config


def _require_same_division(
    first: Run, config: ExperimentConfig, other: Run, other_config: ExperimentConfig
) -> None:
    names = ("dataset", "dataset fingerprint", "protocol.folds", "protocol.split_seed")
    values, other_values = (
        (
            run_config.dataset,
            run.environment.dataset_fingerprint if run.environment else "unknown",
            run_config.protocol.folds,
            run_config.protocol.split_seed,
        )
        for run, run_config in ((first, config), (other, other_config))
    )
    for name, one, two in zip(names, values, other_values, strict=True):
        if one != two:
            raise UserError(
                f"{first.id} and {other.id} differ in {name} ({one} and {two}); expected the folds "
                "of one division of one dataset"
            )
    if not config.is_same_experiment(other_config):
        raise UserError(
            f"{first.id} and {other.id} are trainings of different configs; expected runs that "
            "differ in fold and seed only"
        )


def _average_over_seeds(runs: Sequence[Run]) -> Predictions:
    """Return the predictions for one fold, averaged over the seeds, sorted by id."""
    parts = []
    for run in runs:
        stored = run.predictions("test")
        if stored is None or not np.isfinite(stored.probabilities).all():
            raise UserError(
                f"received {run.id}, and its predictions.npz is missing or cannot be read; "
                "expected a complete run (fercore runs check)"
            )
        order = np.argsort(stored.ids)
        parts.append(
            Predictions(stored.ids[order], stored.labels[order], stored.probabilities[order])
        )
    first = parts[0]
    for run, part in zip(runs[1:], parts[1:], strict=True):
        if not np.array_equal(part.ids, first.ids) or not np.array_equal(part.labels, first.labels):
            raise UserError(
                f"{runs[0].id} and {run.id} were tested on different images; train all folds with "
                "the same version of scikit-learn"
            )
    probabilities = np.mean([part.probabilities for part in parts], axis=0)
    return Predictions(first.ids, first.labels, probabilities)


def _train_command(config: ExperimentConfig, source: str, seed: int, fold: int) -> str:
    """Return the command that trains a fold; a shipped experiment is given by its name."""
    words = ["fercore", "train", source, "--seed", str(seed), "--protocol.fold", str(fold)]
    if config.name in list_configs():
        shipped = load_config(config.name)
        if shipped.is_same_experiment(config):
            words[2] = config.name
            if config.protocol.split_seed != shipped.protocol.split_seed:
                words += ["--protocol.split-seed", str(config.protocol.split_seed)]
    return shlex.join(words)
