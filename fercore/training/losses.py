"""Losses on a network's logits."""

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
        """Loss of each sample: `(n,)` labels and `(n, k)` logits in, `(n,)` out."""
        targets = ops.one_hot(ops.cast(labels, "int32"), logits.shape[-1], dtype=logits.dtype)
        if self.label_smoothing:
            smoothing = self.label_smoothing
            targets = targets * (1 - smoothing) + smoothing / logits.shape[-1]
        return ops.categorical_crossentropy(targets, logits, from_logits=True)


class L2MultiClassSVM(keras.losses.Loss):  # type: ignore[misc]
    """Squared hinge loss of every wrong class against the right one, on raw scores.

    Half the sum over the wrong classes `j` of `max(0, s_j - s_y + margin) ** 2`: the multi-class
    SVM of Weston & Watkins (1999) with the squared hinge of Tang (2013), as Ranjan (2023) uses it.

    Args:
        margin: by which the right score is to exceed every other.
    """

    def __init__(self, margin: float = 1.0):
        super().__init__(name="l2_svm")
        self.margin = margin

    def call(self, labels: Any, scores: Any) -> Any:
        """Loss of each sample: `(n,)` labels and `(n, k)` scores in, `(n,)` float32 out."""
        scores = ops.cast(scores, "float32")
        right = ops.one_hot(ops.cast(labels, "int32"), scores.shape[-1], dtype="float32")
        right_score = ops.sum(scores * right, axis=-1, keepdims=True)
        excess = ops.relu(scores - right_score + self.margin) * (1 - right)
        return ops.sum(ops.square(excess), axis=-1) / 2


def distillation(teaching: Any, logits: Any, temperature: float) -> Any:
    """How far a network's answers are from its teachers' (Hinton et al., 2015).

    The Kullback-Leibler divergence, in nats, of the network's softmax at a temperature from the
    teachers' at the same one, times the square of the temperature, so that its gradients keep
    their scale.

    Args:
        teaching: `(n, k)` float32, the teachers' probabilities at that temperature.
        logits: `(n, k)` of the network.
        temperature: divides the logits.

    Returns:
        `(n,)` float32.
    """
    said = ops.log_softmax(ops.cast(logits, "float32") / temperature)
    known = ops.log(ops.maximum(teaching, 1e-12))
    return ops.sum(teaching * (known - said), axis=-1) * temperature**2


def build_loss(config: ExperimentConfig) -> keras.losses.Loss:
    """The loss that a config names."""
    losses = {
        "cross_entropy": CrossEntropy(config.label_smoothing),
        "l2_svm": L2MultiClassSVM(),
    }
    return losses[config.loss]
