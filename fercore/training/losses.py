"""Loss functions: cross-entropy, squared-hinge SVM and distillation."""

from typing import Any

import keras
from keras import ops

from fercore.config.experiment import ExperimentConfig


class CrossEntropy(keras.losses.Loss):  # type: ignore[misc]
    """Softmax cross-entropy of integer labels, in nats, with label smoothing.

    Label smoothing mixes the target with the uniform distribution (Szegedy et al., 2016).

    Args:
        label_smoothing: weight of the uniform distribution, 0 for none.
    """

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__(name="cross_entropy")
        self.label_smoothing = label_smoothing

    def call(self, labels: Any, logits: Any) -> Any:
        """Return the loss of each sample, `(n,)`, from labels, `(n,)`, and logits, `(n, k)`."""
        targets = ops.one_hot(ops.cast(labels, "int32"), logits.shape[-1], dtype=logits.dtype)
        if self.label_smoothing:
            smoothing = self.label_smoothing
            targets = targets * (1 - smoothing) + smoothing / logits.shape[-1]
        return ops.categorical_crossentropy(targets, logits, from_logits=True)


class L2MultiClassSVM(keras.losses.Loss):  # type: ignore[misc]
    """Squared hinge loss of every wrong class against the correct one, on raw scores.

    The loss is half the sum over the wrong classes `j` of `max(0, s_j - s_y + margin) ** 2`. It is
    the multi-class SVM of Weston & Watkins (1999) with the squared hinge of Tang (2013), as Ranjan
    (2023) uses it.

    Args:
        margin: how much the score of the correct class should exceed every other.
    """

    def __init__(self, margin: float = 1.0):
        super().__init__(name="l2_svm")
        self.margin = margin

    def call(self, labels: Any, scores: Any) -> Any:
        """Return the loss of each sample, `(n,)` float32, from labels and `(n, k)` scores."""
        scores = ops.cast(scores, "float32")
        correct = ops.one_hot(ops.cast(labels, "int32"), scores.shape[-1], dtype="float32")
        correct_score = ops.sum(scores * correct, axis=-1, keepdims=True)
        excess = ops.relu(scores - correct_score + self.margin) * (1 - correct)
        return ops.sum(ops.square(excess), axis=-1) / 2


def distillation_loss(teacher_probabilities: Any, logits: Any, temperature: float) -> Any:
    """Return the distillation loss of each sample (Hinton et al., 2015).

    It is the Kullback-Leibler divergence, in nats, of the network's probabilities from the
    teachers', both at the temperature, times the square of the temperature, so that its gradients
    keep their scale.

    Args:
        teacher_probabilities: `(n, k)` float32, the teachers' probabilities at that temperature.
        logits: `(n, k)`, of the network.
        temperature: divides the logits.

    Returns:
        `(n,)` float32.
    """
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32") / temperature)
    teacher_log_probabilities = ops.log(ops.maximum(teacher_probabilities, 1e-12))
    difference = teacher_log_probabilities - log_probabilities
    return ops.sum(teacher_probabilities * difference, axis=-1) * temperature**2


def build_loss(config: ExperimentConfig) -> keras.losses.Loss:
    """Return the loss that a config names."""
    losses = {
        "cross_entropy": CrossEntropy(config.label_smoothing),
        "l2_svm": L2MultiClassSVM(),
    }
    return losses[config.loss]
