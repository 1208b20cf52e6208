"""Optimizers: weight decay, learning rates by variable, and Muon."""

import numpy as np
import pytest

pytestmark = pytest.mark.keras


@pytest.mark.parametrize("decay", [0.5, 0.0])
@pytest.mark.parametrize("name", ["adam", "sgd", "adamw", "muon"])
def test_weight_decay_applies_to_kernels_only(name, decay):
    import keras

    from fercore.config.training import OptimizerConfig
    from fercore.training.optimizers import build_optimizer

    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(2, 3, bias_initializer="ones"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(3, bias_initializer="ones"),
        ]
    )
    optimizer = build_optimizer(OptimizerConfig(name=name, learning_rate=0.1, weight_decay=decay))
    weights = network.trainable_variables
    before = [np.array(keras.ops.convert_to_numpy(weight)) for weight in weights]
    optimizer.build(weights)
    optimizer.apply([keras.ops.zeros_like(weight) for weight in weights], weights)
    for weight, value in zip(weights, before, strict=True):
        expected = value * (1 - 0.1 * decay) if weight.name == "kernel" else value
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_batch_norm_biases_can_have_a_higher_learning_rate(name):
    import keras

    from fercore.config.training import OptimizerConfig
    from fercore.training.optimizers import build_optimizer

    def changes(factor):
        config = OptimizerConfig(name=name, learning_rate=0.01, batch_norm_bias_rate=factor)
        layer = keras.layers.BatchNormalization()
        layer.build((None, 4))
        weights = layer.trainable_variables
        before = [np.array(keras.ops.convert_to_numpy(weight)) for weight in weights]
        optimizer = build_optimizer(config)
        optimizer.build(weights)
        optimizer.apply([keras.ops.ones_like(weight) for weight in weights], weights)
        after = [keras.ops.convert_to_numpy(weight) for weight in weights]
        names = [weight.name for weight in weights]
        return dict(zip(names, np.subtract(after, before), strict=True))

    plain, scaled = changes(1), changes(8)
    np.testing.assert_allclose(scaled["beta"], 8 * plain["beta"], rtol=1e-4)
    np.testing.assert_allclose(scaled["gamma"], plain["gamma"], rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (3, 3, 2, 24), (6, 40)])
def test_muon_orthogonalizes_updates_of_convolution_kernels(shape):
    import keras

    from fercore.config.training import OptimizerConfig
    from fercore.training.optimizers import build_optimizer

    weight = keras.Variable(np.zeros(shape, np.float32), name="kernel")
    optimizer = build_optimizer(OptimizerConfig(name="muon", learning_rate=0.1, weight_decay=0.0))
    optimizer.build([weight])
    gradient = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    optimizer.apply([gradient], [weight])
    update = keras.ops.convert_to_numpy(weight.value).reshape(-1, shape[-1])
    # Moonlight's scale, and Newton-Schulz iterations, which end near one.
    singular = np.linalg.svd(update, compute_uv=False) / (0.1 * 0.2 * max(update.shape) ** 0.5)
    assert singular.min() > 0.6
    assert singular.max() < 1.3
    assert np.sum(update * gradient.reshape(update.shape)) < 0
