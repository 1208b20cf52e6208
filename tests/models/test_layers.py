"""Our layers beside Keras's own."""

import numpy as np
import pytest

from tests.lazy import LazyModule

pytestmark = pytest.mark.keras

keras, ops = LazyModule("keras"), LazyModule("keras.ops")
models, layers = LazyModule("fercore.models"), LazyModule("fercore.models._layers")

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("rate", [0.25, 0.3, 0.5])
@pytest.mark.parametrize("shape", [(64,), (5, 7, 3)], ids=["vector", "image"])
def test_dropout_drops_its_rate_and_keeps_the_mean(rate: float, shape: tuple[int, ...]):
    n = 4000
    dropped = ops.convert_to_numpy(
        layers.Dropout(rate, seed=1)(np.ones((n, *shape)), training=True)
    )
    share, exact = float(np.mean(dropped == 0)), round(rate * 256) / 256
    assert abs(share - exact) < 5 * np.sqrt(rate * (1 - rate) / dropped.size)
    np.testing.assert_allclose(dropped[dropped != 0], 1 / (1 - exact), rtol=1e-6)


def test_dropout_drops_every_element_by_itself():
    """Four elements share a random word: neither they nor the samples may be bound together."""
    kept = (
        ops.convert_to_numpy(layers.Dropout(0.5, seed=2)(np.ones((20_000, 8)), training=True)) != 0
    )
    correlation = np.corrcoef(kept.T.astype(float))
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 5 / np.sqrt(len(kept))
    after = np.corrcoef(kept[:-1].ravel(), kept[1:].ravel())[0, 1]
    assert abs(after) < 5 / np.sqrt(kept.size)


def test_dropout_follows_its_generator():
    layer = layers.Dropout(0.5, seed=3)
    x = np.ones((4, 6, 6, 2), np.float32)
    state = ops.convert_to_numpy(layer.seed_generator.state)
    first = ops.convert_to_numpy(layer(x, training=True))
    assert (ops.convert_to_numpy(layer(x, training=True)) != first).any()
    layer.seed_generator.state.assign(state)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x, training=True)), first)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.4])
def test_dropout_is_the_identity_outside_training(rate: float):
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_array_equal(ops.convert_to_numpy(layers.Dropout(rate)(x, training=False)), x)


def test_dropout_of_everything():
    x = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layers.Dropout(1.0)(x, training=True)), 0 * x
    )


@pytest.mark.parametrize("shape", [(8, 5, 6, 4), (32, 10)], ids=["images", "vectors"])
def test_batch_normalization_equals_that_of_keras(shape: tuple[int, ...]):
    ours, theirs = layers.BatchNormalization(), keras.layers.BatchNormalization()
    for _ in range(3):
        x = RNG.normal(3, 2, shape).astype(np.float32)
        normalised = [ops.convert_to_numpy(layer(x, training=True)) for layer in (ours, theirs)]
        np.testing.assert_allclose(*normalised, atol=1e-5)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5)
    outside = [ops.convert_to_numpy(layer(x, training=False)) for layer in (ours, theirs)]
    np.testing.assert_allclose(*outside, atol=1e-5)


def test_batch_normalization_has_the_gradient_of_keras():
    """Through a small network: one step of gradient descent ends in the same place."""
    x = RNG.normal(size=(16, 6, 6, 2)).astype(np.float32)
    y = RNG.normal(size=(16, 3)).astype(np.float32)
    ends = []
    for kind in (layers.BatchNormalization, keras.layers.BatchNormalization):
        keras.utils.set_random_seed(4)
        network = keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                keras.layers.Conv2D(4, 3),
                kind(),
                keras.layers.ReLU(),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3),
            ]
        )
        network.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
        network.fit(x, y, batch_size=16, epochs=3, verbose=0)
        ends.append(network.get_weights())
    for mine, other in zip(*ends, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_a_saved_network_keeps_the_layers(tmp_path):
    network = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.BatchNormalization(), layers.Dropout(0.3)]
    )
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert [type(layer) for layer in loaded.layers] == [layers.BatchNormalization, layers.Dropout]


@pytest.mark.parametrize(
    ("length", "ratio"), [(48, 1.5), (24, 2**0.5), (13, 1.9), (10, 1.1), (48, 1.99)]
)
@pytest.mark.parametrize("training", [False, True])
def test_fractional_pooling_covers_everything_once(length: int, ratio: float, training: bool):
    layer = layers.FractionalMaxPooling2D(ratio)
    seen = set()
    for _ in range(20):
        first, last = (ops.convert_to_numpy(e) for e in layer._regions(length, training))
        covered = [p for a, b in zip(first, last, strict=True) for p in range(a, b + 1)]
        assert covered == list(range(length))
        assert set((last - first).tolist()) <= {0, 1}
        assert len(first) == max(int(length / ratio), (length + 1) // 2)
        seen.add(tuple(first.tolist()))
    # Where every region is two long there is but one order.
    assert (len(seen) > 1) == (training and length != 2 * len(first))


def test_fractional_pooling_draws_every_order_as_often_as_a_real_number_does():
    layer, drawn = layers.FractionalMaxPooling2D(1.5, seed=5), {}
    for _ in range(2000):
        order = tuple(ops.convert_to_numpy(layer._regions(7, True)[0]).tolist())
        drawn[order] = drawn.get(order, 0) + 1
    expected = {}
    for u in (np.arange(7000) + 0.5) / 7000:
        edges = np.ceil(7 / 4 * (np.arange(4) + u))
        order = tuple((edges - edges[0]).astype(int).tolist())
        expected[order] = expected.get(order, 0) + 1 / 7000
    assert drawn.keys() == expected.keys()
    for order, share in expected.items():
        assert abs(drawn[order] / 2000 - share) < 5 * np.sqrt(share * (1 - share) / 2000)


def test_fractional_pooling_follows_its_generator():
    layer = layers.FractionalMaxPooling2D(1.5, seed=6)
    x = RNG.normal(size=(2, 47, 47, 1)).astype(np.float32)
    state = ops.convert_to_numpy(layer.seed_generator.state)
    first = ops.convert_to_numpy(layer(x, training=True))
    assert (ops.convert_to_numpy(layer(x, training=True)) != first).any()
    assert first.shape == layer.compute_output_shape(x.shape)
    layer.seed_generator.state.assign(state)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x, training=True)), first)


def test_fractional_pooling_takes_the_maximum_of_each_region():
    layer = layers.FractionalMaxPooling2D(1.5)
    x = RNG.normal(size=(2, 12, 9, 3)).astype(np.float32)
    pooled = ops.convert_to_numpy(layer(x, training=False))
    rows, columns = (
        list(zip(*(ops.convert_to_numpy(e) for e in layer._regions(n, False)), strict=True))
        for n in (12, 9)
    )
    expected = [[x[:, a : b + 1, c : d + 1].max((1, 2)) for c, d in columns] for a, b in rows]
    np.testing.assert_array_equal(pooled, np.array(expected).transpose(2, 0, 1, 3))
    assert pooled.shape == layer.compute_output_shape(x.shape)


def test_a_saved_network_keeps_fractional_pooling(tmp_path):
    network = keras.Sequential([keras.Input((9, 9, 2)), layers.FractionalMaxPooling2D(1.4, seed=7)])
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert (loaded.layers[0].ratio, loaded.layers[0].seed) == (1.4, 7)
    x = RNG.normal(size=(2, 9, 9, 2)).astype(np.float32)
    np.testing.assert_array_equal(*(ops.convert_to_numpy(n(x)) for n in (network, loaded)))


@pytest.mark.parametrize("ratio", [1.0, 2.0, 3.0])
def test_fractional_pooling_refuses_whole_ratios(ratio: float):
    with pytest.raises(ValueError, match="between 1 and 2"):
        layers.FractionalMaxPooling2D(ratio)


def correlated_images(n: int, channels: int) -> np.ndarray:
    """Smooth noise: neighbouring pixels have almost the same value, as in photographs."""
    noise = RNG.normal(size=(n, 20, 20, channels))
    smooth = noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2) + np.roll(noise, 2, 1)
    return (2 + smooth).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
def test_whitened_patches_are_uncorrelated_with_variance_one(channels: int):
    images = correlated_images(60, channels)
    layer = layers.WhiteningConv2D(3)
    layer.adapt(images)
    outputs = ops.convert_to_numpy(layer(images))
    assert outputs.shape == (60, 20, 20, 18 * channels)
    # Patches across the border hold zeros, which the covariance does not know.
    inner = outputs[:, 1:-1, 1:-1].reshape(-1, 18 * channels).astype(np.float64)
    positive, negative = np.split(inner, 2, axis=1)
    np.testing.assert_allclose(positive, -negative, atol=1e-5)
    np.testing.assert_allclose(
        positive.T @ positive / len(positive), np.eye(9 * channels), atol=0.02
    )
    assert not layer.trainable_weights


def test_whitening_is_computed_on_what_the_layer_sees():
    network = models.build("vgg", (48, 48, 1), 7, {"variant": "tiny", "whitening": True})
    grey = np.clip(100 + 40 * RNG.normal(size=(40, 48, 48)), 0, 255).astype(np.uint8)
    layers.adapt_whitening(network, grey)
    inner = keras.Model(network.input, network.get_layer("whitening").output)
    outputs = ops.convert_to_numpy(inner(grey[..., None].astype(np.float32)))[:, 1:-1, 1:-1, :9]
    flat = outputs.reshape(-1, 9)
    np.testing.assert_allclose(flat.T @ flat / len(flat), np.eye(9), atol=0.02)


def test_whitening_and_dirac_kernels_survive_saving(tmp_path):
    options = {"variant": "tiny", "whitening": True, "initializer": "dirac"}
    network = models.build("vgg", (48, 48, 1), 7, options)
    grey = RNG.integers(0, 256, (4, 48, 48)).astype(np.uint8)
    layers.adapt_whitening(network, grey)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    pixels = grey[..., None].astype(np.float32)
    np.testing.assert_array_equal(np.asarray(again(pixels)), np.asarray(network(pixels)))


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 8), (8, 4)], ids=["wider", "narrower"])
def test_dirac_kernels_copy_the_first_channels(inputs: int, outputs: int):
    kernel = ops.convert_to_numpy(layers.DiracInitializer(seed=1)((3, 3, inputs, outputs)))
    x = RNG.normal(size=(1, 6, 6, inputs)).astype(np.float32)
    y = ops.convert_to_numpy(ops.conv(x, kernel, padding="same"))
    copied = min(inputs, outputs)
    np.testing.assert_allclose(y[..., :copied], x[..., :copied], atol=1e-6)
    if outputs > inputs:
        assert kernel[..., inputs:].std() == pytest.approx(np.sqrt(2 / (9 * inputs)), rel=0.2)
