"""Losses against a computation by hand, scikit-learn and finite differences."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from tests.lazy import LazyModule
from tests.tiny import tiny_config

pytestmark = pytest.mark.keras

keras, ops = LazyModule("keras"), LazyModule("keras.ops")
losses = LazyModule("fercore.training.losses")

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 7, 40)
SCORES = RNG.normal(0, 2, (40, 7)).astype(np.float32)


def svm_by_hand(scores: np.ndarray, labels: np.ndarray, margin: float = 1.0) -> np.ndarray:
    values = []
    for row, label in zip(scores.astype(float), labels, strict=True):
        wrong = [j for j in range(len(row)) if j != label]
        values.append(0.5 * sum(max(0.0, row[j] - row[label] + margin) ** 2 for j in wrong))
    return np.array(values)


def test_svm_on_a_worked_example():
    # Scores 2, 1.5, -1, right class 0: only class 1 comes within the margin, by 0.5.
    loss = losses.L2MultiClassSVM().call(np.array([0]), np.array([[2, 1.5, -1]], np.float32))
    assert float(ops.convert_to_numpy(loss)[0]) == pytest.approx(0.125, abs=1e-6)


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0])
def test_svm_equals_a_computation_by_hand(margin: float):
    loss = ops.convert_to_numpy(losses.L2MultiClassSVM(margin).call(LABELS, SCORES))
    np.testing.assert_allclose(loss, svm_by_hand(SCORES, LABELS, margin), rtol=1e-6, atol=1e-6)


@pytest.mark.skipif("keras.backend.backend() != 'tensorflow'", reason="asks TensorFlow's tape")
def test_the_gradient_of_the_svm_equals_finite_differences():
    import tensorflow as tf

    scores = tf.Variable(SCORES)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(losses.L2MultiClassSVM().call(LABELS, scores))
    gradient = tape.gradient(loss, scores).numpy()
    step = 1e-6
    for i in range(len(SCORES)):
        for j in range(7):
            moved = [SCORES.astype(float) for _ in range(2)]
            moved[0][i, j] += step
            moved[1][i, j] -= step
            up, down = (svm_by_hand(scores, LABELS)[i] for scores in moved)
            assert gradient[i, j] == pytest.approx((up - down) / (2 * step), abs=1e-4)


def test_cross_entropy_equals_that_of_scikit_learn():
    exponentials = np.exp(SCORES.astype(float))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    loss = ops.convert_to_numpy(losses.CrossEntropy()(LABELS, SCORES))
    assert float(loss) == pytest.approx(log_loss(LABELS, probabilities, labels=range(7)), abs=1e-6)


def test_label_smoothing_by_hand():
    log_p = SCORES - np.log(np.exp(SCORES.astype(float)).sum(axis=1, keepdims=True))
    expected = [
        -sum((0.9 * (j == label) + 0.1 / 7) * row[j] for j in range(7))
        for row, label in zip(log_p, LABELS, strict=True)
    ]
    loss = ops.convert_to_numpy(losses.CrossEntropy(0.1).call(LABELS, SCORES))
    np.testing.assert_allclose(loss, expected, rtol=1e-6, atol=1e-6)


def test_svm_computes_in_single_precision():
    scores = ops.cast(SCORES, "bfloat16")
    loss = losses.L2MultiClassSVM().call(LABELS, scores)
    rounded = ops.convert_to_numpy(ops.cast(scores, "float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(loss), svm_by_hand(rounded, LABELS), rtol=1e-6)


def test_a_config_names_its_loss():
    assert isinstance(losses.build_loss(tiny_config(loss="l2_svm")), losses.L2MultiClassSVM)
    loss = losses.build_loss(tiny_config(label_smoothing=0.1))
    assert isinstance(loss, losses.CrossEntropy)
    assert loss.label_smoothing == 0.1
    assert isinstance(loss, keras.losses.Loss)


def test_cross_entropy_equals_that_of_keras():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 7, 20), rng.normal(size=(20, 7)).astype(np.float32)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    plain = -log_p[np.arange(20), labels]
    assert np.asarray(losses.CrossEntropy().call(labels, logits)) == pytest.approx(plain, rel=1e-5)
    targets = np.eye(7)[labels] * 0.9 + 0.1 / 7
    expected = keras.losses.categorical_crossentropy(targets, logits, from_logits=True)
    smoothed = np.asarray(losses.CrossEntropy(0.1).call(labels, logits))
    assert smoothed == pytest.approx(np.asarray(expected), rel=1e-5)
