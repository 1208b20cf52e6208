"""Grad-CAM without gradients agrees with that of TensorFlow's gradients."""

import cv2
import numpy as np
import pytest

from fercore.errors import UserError
from fercore.explain.gradcam import GradCam
from tests.lazy import LazyModule

pytestmark = pytest.mark.keras

keras, tensorflow = LazyModule("keras"), LazyModule("tensorflow")

CLASSES = ("angry", "happy", "neutral")


def plain():
    """Convolutions, pooling, and hidden layers with normalisation: as the papers' networks."""
    pixels = keras.Input((24, 20, 1))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(pixels / 255)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(12, 3, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    features = keras.layers.ReLU()(x)
    x = keras.layers.MaxPooling2D()(features)
    x = keras.layers.Dense(16, activation="relu")(keras.layers.Flatten()(x))
    return pixels, features, keras.layers.Dense(3)(x)


def residual():
    """A shortcut, a gate over the channels, and a mean over the places."""
    layers = keras.layers
    pixels = keras.Input((24, 24, 1))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(pixels / 255)
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(8, 3, padding="same")(y)
    gate = layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D()(y))
    y = layers.Multiply()([y, layers.Reshape((1, 1, 8))(gate)])
    features = layers.ReLU()(layers.Add()([x, y]))
    return pixels, features, layers.Dense(3)(layers.GlobalAveragePooling2D()(features))


def by_gradients(pixels, features, logits, image, class_index):
    both = keras.Model(pixels, [features, logits])
    with tensorflow.GradientTape() as tape:
        maps, scores = both(image[None, :, :, None].astype(np.float32))
        score = scores[0, class_index]
    weights = tape.gradient(score, maps).numpy()[0].mean(axis=(0, 1))
    saliency = np.maximum(maps.numpy()[0] @ weights, 0)
    return cv2.resize(saliency, image.shape[::-1], interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("make", [plain, residual])
def test_it_equals_grad_cam_by_gradients(make):
    from fercore.training.onnx_export import export_onnx

    keras.utils.set_random_seed(3)
    pixels, features, logits = make()
    _, content = export_onnx(keras.Model(pixels, logits), CLASSES)
    explain = GradCam(content)
    assert explain.map_shape == features.shape[1:3]
    images = np.random.default_rng(5).integers(0, 256, (4, *pixels.shape[1:3]), dtype=np.uint8)
    seen = 0.0
    for image in images:
        for class_index in range(len(CLASSES)):
            expected = by_gradients(pixels, features, logits, image, class_index)
            saliency = explain(image, class_index)
            assert saliency.shape == image.shape
            assert saliency.dtype == np.float32
            assert saliency == pytest.approx(expected, abs=0.01 * float(expected.max()) + 1e-6)
            seen += float(saliency.max())
    assert seen > 0


def test_for_a_network_with_views_the_unchanged_image_is_explained(tmp_path):
    """The image is symmetric, so that both views are equal and have the same gradients."""
    from fercore.inference.ensemble_graph import build_ensemble_onnx
    from fercore.training.onnx_export import export_onnx

    keras.utils.set_random_seed(4)
    pixels, features, logits = residual()
    _, content = export_onnx(keras.Model(pixels, logits), CLASSES)
    (tmp_path / "model.onnx").write_bytes(content)
    half = np.random.default_rng(5).integers(0, 256, (24, 12), dtype=np.uint8)
    image = np.concatenate([half, half[:, ::-1]], axis=1)
    explain = GradCam(build_ensemble_onnx([tmp_path / "model.onnx"], CLASSES, "flip"))
    seen = 0.0
    for class_index in range(len(CLASSES)):
        scores = keras.ops.log_softmax(logits)
        expected = by_gradients(pixels, features, scores, image, class_index)
        # The mean is over the places of both views.
        saliency = 2 * explain(image, class_index)
        assert saliency == pytest.approx(expected, abs=0.01 * float(expected.max()) + 1e-6)
        seen += float(saliency.max())
    assert seen > 0
    ten = GradCam(build_ensemble_onnx([tmp_path / "model.onnx"], CLASSES, "ten_view"))
    assert ten(image, 0).shape == image.shape


def test_a_network_with_batch_size_1_gets_one_image_per_call():
    import onnx

    from fercore.training.onnx_export import export_onnx

    keras.utils.set_random_seed(3)
    pixels, _, logits = plain()
    _, content = export_onnx(keras.Model(pixels, logits), CLASSES)
    image = np.random.default_rng(5).integers(0, 256, (24, 20), dtype=np.uint8)

    def taking(number):
        model = onnx.load_from_string(content)
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = number
        return model.SerializeToString()

    assert GradCam(taking(1))(image, 1) == pytest.approx(GradCam(content)(image, 1), abs=1e-5)
    with pytest.raises(UserError, match="takes 4 images at once"):
        GradCam(taking(4))


def test_an_ensemble_has_no_common_feature_map(tmp_path):
    from fercore.inference.ensemble_graph import build_ensemble_onnx
    from fercore.training.onnx_export import export_onnx

    pixels, _, logits = plain()
    _, content = export_onnx(keras.Model(pixels, logits), CLASSES)
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(UserError, match="no convolutional feature map"):
        GradCam(build_ensemble_onnx([tmp_path / "model.onnx"] * 2, CLASSES))


def test_a_network_without_a_feature_map_is_refused():
    from fercore.training.onnx_export import export_onnx

    pixels = keras.Input((24, 24, 1))
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(pixels))
    _, content = export_onnx(keras.Model(pixels, logits), CLASSES)
    with pytest.raises(UserError, match="no convolutional feature map"):
        GradCam(content)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x12nothing of the kind")
    with pytest.raises(UserError, match="cannot be read as an ONNX network"):
        GradCam(tmp_path / "model.onnx")
