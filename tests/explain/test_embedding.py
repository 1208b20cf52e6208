import numpy as np
import pytest

from fercore.errors import UserError
from fercore.explain.embedding import penultimate_features, project
from fercore.inference.onnx_session import OnnxNetwork
from tests.importers.test_import_run import foreign_network
from tests.tiny import make_splits


@pytest.mark.keras
def test_features_enter_the_last_layer_of_our_own_networks(tmp_path):
    import keras

    from fercore import models
    from fercore.training.onnx_export import export_onnx, round_kernels
    from fercore.training.prediction import forward

    network = models.build("katkar2021", (48, 48, 1), 7, {"variant": "model2"})
    round_kernels(network)
    path = tmp_path / "model.onnx"
    path.write_bytes(export_onnx(network, make_splits().class_names)[1])
    images = make_splits()["test"].images[:20]
    inner = keras.Model(network.input, network.layers[-1].input)
    expected = forward(inner, images, 20)
    assert np.abs(penultimate_features(path, images) - expected).max() < 1e-4
    # The file itself is as it was.
    assert OnnxNetwork(path)(images).shape == (20, 7)


def test_a_damaged_network_or_another_image_size_is_refused(tmp_path):
    (tmp_path / "torn.onnx").write_bytes(b"torn")
    with pytest.raises(UserError, match="cannot be read"):
        penultimate_features(tmp_path / "torn.onnx", np.zeros((1, 48, 48), np.uint8))
    foreign_network(tmp_path / "large.onnx", layout="nhwc", channels=1)
    with pytest.raises(UserError, match="takes images of"):
        penultimate_features(tmp_path / "large.onnx", np.zeros((1, 48, 48), np.uint8))


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_far_clusters_stay_apart_and_a_seed_repeats_it(method):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 20)).astype(np.float32)
    features[:30] += 50
    projected = project(features, method)
    assert projected.shape == (60, 2)
    near = np.linalg.norm(projected[:30] - projected[:30].mean(axis=0), axis=1).max()
    gap = np.linalg.norm(projected[:30].mean(axis=0) - projected[30:].mean(axis=0))
    assert gap > near
    assert np.array_equal(projected, project(features, method))


@pytest.mark.keras
def test_features_of_a_network_with_views_are_those_of_the_unchanged_image(tmp_path):
    from fercore import models
    from fercore.inference.ensemble_graph import build_ensemble_onnx
    from fercore.training.onnx_export import export_onnx

    network = models.build("katkar2021", (48, 48, 1), 7, {"variant": "model2"})
    path, names = tmp_path / "model.onnx", make_splits().class_names
    path.write_bytes(export_onnx(network, names)[1])
    images = make_splits()["test"].images[:5]
    for tta in ("flip", "ten_view"):
        (tmp_path / "views.onnx").write_bytes(build_ensemble_onnx([path], names, tta))
        features = penultimate_features(tmp_path / "views.onnx", images)
        assert np.abs(features - penultimate_features(path, images)).max() < 1e-4
