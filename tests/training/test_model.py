"""The model for training: moving averages, batch-norm statistics and augmentation."""

import numpy as np
import pytest

from tests.tiny import make_splits, tiny_config

pytestmark = pytest.mark.keras


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_moving_averages_are_reset_during_the_first_epochs(precision):
    import keras

    from fercore import models
    from fercore.training import device
    from fercore.training.model import TrainingModel

    config = tiny_config(optimizer={"ema_momentum": 0.99})
    images = np.zeros((8, 48, 48), np.uint8)
    with device.use_dtype_policy(precision):
        network = models.build("katkar2021", (48, 48, 1), 7, {"variant": "model2"})
        model = TrainingModel(network, config, images)
    kernel = network.trainable_variables[0]
    kernel.assign(keras.ops.ones_like(kernel))

    def seen() -> float:
        with model.ema_weights(np.arange(8, dtype=np.int32)):
            return float(keras.ops.max(keras.ops.abs(kernel - 1)))

    model.reset_ema_during_warmup(epoch=3, steps=50)  # 150 steps: old enough to go on
    assert seen() > 0.5
    model.reset_ema_during_warmup(epoch=1, steps=50)
    assert seen() == 0
    assert float(keras.ops.max(keras.ops.abs(kernel - 1))) == 0


def test_batch_norm_statistics_are_computed_with_the_averaged_weights():
    """The activations of averaged weights have a smaller variance than those of the weights."""
    import keras

    from fercore.models._layers import BatchNormalization
    from fercore.training.model import TrainingModel

    images = np.random.default_rng(0).integers(0, 256, (96, 8, 8), np.uint8)
    pixels = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 1, use_bias=False, name="kernel")(pixels)
    x = BatchNormalization(momentum=0.5, name="normal")(x)
    x = keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(x))
    network = keras.Model(pixels, x)
    model = TrainingModel(
        network, tiny_config(optimizer={"ema_momentum": 0.9}, batch_size=16), images
    )
    kernel, normal = network.get_layer("kernel").kernel, network.get_layer("normal")
    kernel.assign(keras.ops.full_like(kernel, 0.1))
    model.reset_ema_during_warmup(epoch=1, steps=1)
    kernel.assign(keras.ops.ones_like(kernel))
    normal.moving_variance.assign(keras.ops.full((4,), 5000.0))

    order = np.arange(96, dtype=np.int32)
    with model.ema_weights(order):
        # Six of seven batches, and the remaining fraction of the previous value.
        seen = np.var(images.reshape(6, -1), axis=1) * 0.1**2
        expected = 5000 * 0.5**6 + sum(0.5 ** (6 - n) * v for n, v in enumerate(seen))
        np.testing.assert_allclose(normal.moving_variance, np.full(4, expected), rtol=1e-3)
    np.testing.assert_array_equal(normal.moving_variance, np.full(4, 5000.0))
    np.testing.assert_array_equal(kernel, np.ones((1, 1, 1, 4)))


def test_copies_are_not_augmented_again_during_training():
    """If the copies are augmented before the training, no image is augmented again during it."""
    from fercore import models
    from fercore.training.model import TrainingModel

    network = models.build("katkar2021", (48, 48, 1), 7)
    images = make_splits()["train"].images[:4]
    for mode, active in (("doubled", False), ("online", True)):
        config = tiny_config(augmentation={"mode": mode, "rotation": 30})
        assert TrainingModel(network, config, images).augment.config.active is active
