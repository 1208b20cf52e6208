"""A tiny dataset and a config for it, that several tests share."""

from pathlib import Path

import numpy as np

from fercore.config.experiment import ExperimentConfig
from fercore.data.labels import FER2013
from fercore.data.splits import Split, Splits, fingerprint
from fercore.evaluation.protocol import build_protocol
from fercore.evaluation.results import evaluate_predictions, predictions_of
from fercore.runs.predictions import Predictions
from fercore.runs.reader import Run
from fercore.runs.schema import Results


def make_split(n: int, prefix: str, seed: int) -> Split:
    """Noise with a bright bar whose height tells the class: learnable in an epoch or two."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, n).astype(np.uint8)
    images = rng.integers(0, 120, (n, 48, 48)).astype(np.uint8)
    for number, label in enumerate(labels):
        images[number, 6 * label + 2 : 6 * label + 6, 8:40] += 100
    return Split(images, labels, np.array([f"{prefix}_{i:05d}" for i in range(n)]))


def make_splits() -> Splits:
    """A dataset whose test split repeats three training images."""
    train, validation = make_split(600, "Training", 0), make_split(140, "PublicTest", 1)
    test = make_split(140, "PrivateTest", 2)
    test.images[:3], test.labels[:3] = train.images[:3], train.labels[:3]
    parts = {"train": train, "validation": validation, "test": test}
    titles = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    return Splits("tiny", FER2013, parts, titles, fingerprint(parts))


def tiny_config(**changes: object) -> ExperimentConfig:
    """Three epochs of Katkar's Model 2 on the tiny dataset."""
    fields: dict[str, object] = {
        "name": "tiny",
        "title": "Tiny",
        "dataset": "tiny",
        "model": "katkar2021",
        "model_options": {"variant": "model2"},
        "batch_size": 32,
        "epochs": 3,
    }
    return ExperimentConfig.model_validate(fields | changes)


def small_config(**changes: object) -> ExperimentConfig:
    """Three epochs of one convolution on 16x16 pixels, for tests of the loop around a network.

    Keras traces and compiles it in half the time of the network in `tiny_config`.
    """
    network = {"model": "rath2021", "model_options": {"variant": "one"}, "image": {"size": 16}}
    return tiny_config(**network | changes)


class UntrainedRun(Run):
    """A finished run with made-up predictions, as if it had been trained."""

    def __init__(self, config: ExperimentConfig, right: int, *, chosen: int | None = None):
        """Predict `right` of the 140 test images right, and `chosen` of the validation images."""
        protocol = build_protocol(tiny_config(name=config.name), make_splits())
        probabilities = {
            role: make_probabilities(protocol.eval_splits[role].labels, count)
            for role, count in (
                ("validation", right if chosen is None else chosen),
                ("test", right),
            )
        }
        results = Results.model_validate(
            {
                "class_names": protocol.class_names,
                "splits": evaluate_predictions(protocol, predictions_of(protocol, probabilities)),
                "stopped_by": "epochs",
                "epochs_run": config.epochs,
                "parameters": 10,
                "trainable_parameters": 10,
                "train_seconds": 25,
                "finished": f"2026-01-01T00:00:0{config.seed}",
            }
        )
        super().__init__(Path(f"{config.name}-{config.seed}"), "finished", config, results=results)
        split = protocol.eval_splits["test"]
        self.replace_predictions(Predictions(split.ids, split.labels, probabilities["test"]))

    def replace_predictions(self, predictions: Predictions) -> None:
        """Set the predictions on the test split; the results stay as they are."""
        object.__setattr__(self, "_test_predictions", predictions)

    def predictions(self, split: str) -> Predictions | None:
        predictions: Predictions = vars(self)["_test_predictions"]
        return predictions


def make_probabilities(labels: np.ndarray, right: int) -> np.ndarray:
    """Return probabilities of seven classes; the first `right` rows predict the label."""
    probabilities = np.full((len(labels), 7), 0.02, np.float32)
    predicted = np.where(np.arange(len(labels)) < right, labels, (labels + 1) % 7)
    probabilities[np.arange(len(labels)), predicted] = 0.88
    return probabilities
