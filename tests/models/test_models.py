import numpy as np
import pytest

from fercore import models
from fercore.errors import UserError

pytestmark = pytest.mark.keras

# As the papers print them; the Shallow CNN's is not printed and follows from its description.
PARAMETERS = [
    ("katkar2021", {"variant": "model1"}, 318_407),
    ("katkar2021", {"variant": "model2"}, 318_407),
    ("le2019", {"variant": "deep"}, 4_478_727),
    ("le2019", {"variant": "shallow"}, 4_926_983),
    ("ranjan2023", {"variant": "model1"}, 883_559),
    ("ranjan2023", {"variant": "model2"}, 3_841_543),
]


@pytest.mark.parametrize(("name", "options", "parameters"), PARAMETERS)
def test_parameter_counts_are_the_papers(name, options, parameters):
    assert models.build(name, (48, 48, 1), 7, options).count_params() == parameters


@pytest.mark.parametrize(
    ("variant", "parameters"), [("tiny", 269_285), ("small", 1_252_803), ("base", 4_986_885)]
)
def test_facets_sizes_are_those_of_its_description(variant, parameters):
    network = models.build("facet", (48, 48, 1), 7, {"variant": variant})
    assert network.count_params() == parameters
    assert f"{parameters:,}" in models.facet.__doc__.replace("\n", " ")


@pytest.mark.parametrize(
    ("variant", "parameters"), [("tiny", 295_575), ("small", 1_176_359), ("base", 4_693_575)]
)
def test_vgg_sizes_match_the_docstring(variant, parameters):
    network = models.build("vgg", (48, 48, 1), 7, {"variant": variant})
    assert network.count_params() == parameters
    assert f"{parameters:,}" in models.vgg.__doc__.replace("\n", " ")
    smaller = models.build("vgg", (32, 32, 1), 7, {"variant": variant})
    assert [v.shape for v in smaller.variables] == [v.shape for v in network.variables]


def test_vgg_begins_as_the_identity_with_dirac_kernels():
    network = models.build("vgg", (48, 48, 1), 7, {"variant": "tiny", "initializer": "dirac"})
    layer = network.get_layer("stage2_b")  # 32 channels in and out
    images = np.random.default_rng(0).normal(size=(2, 24, 24, 32)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(layer(images)), images, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "huge"}, "variant = 'huge'"),
        ({"initializer": "zeros"}, "initializer = 'zeros'"),
    ],
)
def test_vgg_refuses_unknown_options(options, message):
    with pytest.raises(UserError, match=f"received {message}"):
        models.build("vgg", (48, 48, 1), 7, options)


def test_facet_skips_blocks_in_training_alone_and_pools_by_attention():
    options = {"drop_path": 0.5, "pooling": "attention", "dropout": 0.2}
    network = models.build("facet", (48, 48, 1), 7, options)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype(np.float32)
    still = [np.asarray(network(images)) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    moving = [np.asarray(network(images, training=True)) for _ in range(4)]
    assert np.ptp(moving, axis=0).max() > 1e-3
    weights = np.asarray(network.get_layer("attention").output.shape)
    assert weights[1] == 36
    with pytest.raises(UserError, match="received pooling = 'max'"):
        models.build("facet", (48, 48, 1), 7, {"pooling": "max"})
    with pytest.raises(UserError, match="received variant = 'huge'"):
        models.build("facet", (48, 48, 1), 7, {"variant": "huge"})


def test_facets_channels_and_convolutions_can_be_others():
    def built(**options):
        return models.build("facet", (48, 48, 1), 7, options)

    # 16, 32, 64 and 112 channels, halved.
    halved = built(width=0.5)
    widths = [halved.get_layer(f"stage{stage}_a_conv2").filters for stage in range(1, 5)]
    assert widths == [8, 16, 32, 56]
    full, separable = built(), built(convolution="separable")
    # Of stage 2: 9 x 16 x 32 and 9 x 32 x 32 weights, or 9 a channel and one for each pair.
    for network, expected in (
        (full, 9 * 16 * 32 + 9 * 32 * 32),
        (separable, 9 * 16 + 16 * 32 + 9 * 32 + 32 * 32),
    ):
        found = sum(
            layer.count_params()
            for layer in network.layers
            if layer.name.startswith("stage2_a_conv") and not layer.name.endswith("_bn")
        )
        assert found == expected
    with pytest.raises(UserError, match="received convolution = 'deep'"):
        built(convolution="deep")
    with pytest.raises(UserError, match="received width = 0"):
        built(width=0)


def test_raths_single_convolution_has_the_printed_parameters():
    assert models.build("rath2021", (50, 50, 1), 8, {"variant": "one"}).count_params() == 2_168_776


def test_ranjans_kernels_are_gaussian_with_the_deviation_of_he():
    for layer in models.build("ranjan2023", (48, 48, 1), 7, {"variant": "model2"}).layers:
        if hasattr(layer, "kernel") and layer.kernel.shape[-1] > 100:
            kernel = np.asarray(layer.kernel)
            fan_in = kernel.size / kernel.shape[-1]
            assert kernel.std() * np.sqrt(fan_in / 2) == pytest.approx(1, abs=0.02)
            # A Gaussian that is cut off at two deviations has a kurtosis of 2.4.
            assert np.mean((kernel / kernel.std()) ** 4) == pytest.approx(3, abs=0.15)
            assert not np.asarray(layer.bias).any()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rath2021", {}),
        ("ranjan2023", {"variant": "model1"}),
        ("le2019", {"variant": "deep", "pooling": "fractional"}),
        ("facet", {"drop_path": 0.1, "pooling": "attention"}),
        ("facet", {"convolution": "separable", "width": 0.7}),
        ("vgg", {"variant": "tiny", "whitening": True, "stage_dropout": 0.1, "dropout": 0.2}),
    ],
)
def test_exported_networks_say_what_keras_says(name, options):
    from fercore.inference.onnx_session import OnnxNetwork
    from fercore.training.onnx_export import export_onnx, round_kernels
    from fercore.training.prediction import predict

    network = models.build(name, (40, 40, 1), 3, options)
    round_kernels(network)
    images = np.random.default_rng(0).integers(0, 256, (5, 40, 40), dtype=np.uint8)
    _, content = export_onnx(network, ["a", "b", "c"])
    expected = predict(network, images, 5)
    assert np.ptp(expected, axis=0).max() > 1e-3, "the same for every image"
    assert np.abs(OnnxNetwork(content)(images) - expected).max() < 1e-5


def test_fractional_pooling_stands_in_for_every_pooling_of_les_networks():
    networks = [
        models.build("le2019", (48, 48, 1), 7, {"variant": "deep", "pooling": pooling})
        for pooling in ("max", "fractional")
    ]
    kinds = [[type(layer).__name__ for layer in network.layers] for network in networks]
    assert [k.replace("MaxP", "FractionalMaxP") for k in kinds[0]] == kinds[1]
    sizes = [networks[1].get_layer(f"pool{i}").output.shape[1] for i in range(1, 5)]
    assert sizes == [32, 21, 14, 9]


@pytest.mark.parametrize("name", models.list_models())
def test_every_model_takes_grey_levels_and_returns_logits(name):
    network = models.build(name, (48, 48, 1), 5)
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 48, 48, 1)).astype(np.float32)
    logits = np.asarray(network(pixels))
    assert logits.shape == (3, 5)
    assert logits.dtype == np.float32
    assert not np.allclose(logits.sum(axis=1), 1), "probabilities, expected logits"
    # Inputs of very different brightness must not drive it out of range: it scales by itself.
    assert np.isfinite(logits).all()
    assert np.abs(logits).max() < 100


@pytest.mark.parametrize("name", models.list_models())
def test_every_model_computes_logits_in_single_precision_under_mixed_precision(name):
    from fercore.training.device import use_dtype_policy

    with use_dtype_policy("mixed_bfloat16"):
        network = models.build(name, (48, 48, 1), 7)
    assert network.output.dtype == "float32"
    assert all(weight.dtype == "float32" for weight in network.weights if "seed" not in weight.path)


def test_dropout_is_what_tells_katkars_models_apart():
    kinds = [
        [type(layer).__name__ for layer in models.build("katkar2021", (48, 48, 1), 7, o).layers]
        for o in ({"variant": "model1"}, {"variant": "model2"})
    ]
    assert "Dropout" not in kinds[0]
    assert [kind for kind in kinds[1] if kind != "Dropout"] == kinds[0]
    assert kinds[1].count("Dropout") == 2


def test_unknown_names_and_options_are_refused():
    with pytest.raises(UserError, match="katkar2021, le2019, ranjan2023, rath2021, vgg"):
        models.build("resnet", (48, 48, 1), 7)
    with pytest.raises(UserError, match=r"model_options\.droput.*dropout"):
        models.build("le2019", (48, 48, 1), 7, {"droput": 0.1})
    with pytest.raises(UserError, match="'model1' or 'model2'"):
        models.build("katkar2021", (48, 48, 1), 7, {"variant": "model3"})
    with pytest.raises(UserError, match="'model1' or 'model2'"):
        models.build("ranjan2023", (48, 48, 1), 7, {"variant": "model3"})
    with pytest.raises(UserError, match="'one' or 'two'"):
        models.build("rath2021", (48, 48, 1), 7, {"variant": "three"})
    with pytest.raises(UserError, match="'max' or 'fractional'"):
        models.build("le2019", (48, 48, 1), 7, {"pooling": "mean"})


@pytest.mark.parametrize("name", ["katkar2021", "ranjan2023"])
def test_images_that_are_too_small_for_a_network_are_refused(name):
    with pytest.raises(UserError, match=f"images of 8x8, which are too small for {name}"):
        models.build(name, (8, 8, 1), 7)
