"""Test importing predictions and networks of other projects as runs."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from fercore.benchmarks.latency import measure_latency
from fercore.config.run import RunConfig
from fercore.errors import UserError
from fercore.explain.embedding import penultimate_features
from fercore.importers import import_run
from fercore.importers.import_run import OnnxOptions, import_onnx, import_predictions
from fercore.importers.onnx_adapter import ImportedOnnxModel
from fercore.importers.onnx_inputs import with_range
from fercore.importers.prediction_table import read_table
from fercore.importers.table_rows import TableSplit
from fercore.inference.ensemble_graph import build_ensemble_onnx
from fercore.inference.onnx_session import OnnxNetwork
from fercore.runs.checks import check_run
from fercore.runs.reader import read_run
from tests.tiny import make_splits

CONFIG = RunConfig(name="theirs", title="Theirs", dataset="tiny", model="theirs")
NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


@pytest.fixture(scope="module")
def splits():
    return make_splits()


def table_of(split, class_names, seed=0) -> pd.DataFrame:
    """Build a table of predictions with an accuracy of about four in five."""
    rng = np.random.default_rng(seed)
    values = rng.dirichlet(np.ones(len(class_names)), len(split))
    values[np.arange(len(split)), split.labels] += 1.0
    values /= values.sum(axis=1, keepdims=True)
    table = pd.DataFrame(values, columns=list(class_names))
    table.insert(0, "id", split.ids)
    table.insert(1, "label", [class_names[label] for label in split.labels])
    return table


def foreign_network(
    path: Path, *, layout="nchw", channels=3, size=64, softmax=False, batch="n", opset=17
) -> tuple[np.ndarray, np.ndarray]:
    """Write a linear classifier of pixels in [-1, 1]; return its weights and bias."""
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(channels * size * size, 8)).astype(np.float32) / size
    bias = rng.normal(size=8).astype(np.float32)
    shape = [batch, channels, size, size] if layout == "nchw" else [batch, size, size, channels]
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["scores"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["shares"], axis=1))
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(
                "shares" if softmax else "scores", TensorProto.FLOAT, [batch, 8]
            )
        ],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return weights, bias


def reference_scores(images, weights, bias, *, layout="nchw", channels=3, size=64) -> np.ndarray:
    """Compute the probabilities of that network for 48x48 images, in the dataset's class order."""
    scaled = np.stack(
        [
            cv2.resize(image.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
            for image in images
        ]
    )
    pixels = (scaled - 127.5) / 127.5
    axis = 1 if layout == "nchw" else 3
    stacked = np.stack([pixels] * channels, axis=axis).reshape(len(images), -1)
    scores = stacked @ weights + bias
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    # angry, disgust, fear, happy, sad, surprise, neutral; contempt is not of the dataset
    ours = shares[:, [4, 5, 6, 1, 3, 2, 0]]
    return ours / ours.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("layout", "channels"), [("nchw", 3), ("nchw", 1), ("nhwc", 3)])
@pytest.mark.parametrize("softmax", [True, False])
def test_a_wrapped_network_takes_and_gives_what_ours_do(
    tmp_path, splits, layout, channels, softmax
):
    path = tmp_path / "theirs.onnx"
    weights, bias = foreign_network(path, layout=layout, channels=channels, softmax=softmax)
    network = ImportedOnnxModel(path)
    assert (network.spec.layout, network.spec.channels) == (layout, channels)
    assert network.spec.size == (64, 64)
    output = "probabilities" if softmax else "logits"
    interface = with_range(network.spec, "-1-1")
    interface = type(interface)(**{**interface.__dict__, "output": output})
    content = network.adapt(interface, NAMES, splits.class_names, (48, 48))
    images = splits["test"].images[:20]
    expected = reference_scores(images, weights, bias, layout=layout, channels=channels)
    assert np.abs(OnnxNetwork(content)(images) - expected).max() < 1e-5


@pytest.mark.parametrize(("ours", "theirs"), [(48, 56), (48, 112), (150, 49), (150, 98)])
def test_an_image_is_scaled_to_whole_pixels(tmp_path, splits, ours, theirs):
    """A ratio rounded down would leave a pixel out: ONNX floors the size."""
    foreign_network(tmp_path / "theirs.onnx", size=theirs)
    network = ImportedOnnxModel(tmp_path / "theirs.onnx")
    interface = replace(with_range(network.spec, "-1-1"), output="logits")
    content = network.adapt(interface, NAMES, splits.class_names, (ours, ours))
    assert OnnxNetwork(content)(np.zeros((2, ours, ours), np.uint8)).shape == (2, 7)


def test_features_of_several_views_are_no_probabilities(tmp_path, splits):
    """Joined, the matrices that order an imported network's classes have other names."""
    foreign_network(tmp_path / "theirs.onnx")
    network = ImportedOnnxModel(tmp_path / "theirs.onnx")
    interface = replace(with_range(network.spec, "-1-1"), output="logits")
    path, views = tmp_path / "model.onnx", tmp_path / "views.onnx"
    path.write_bytes(network.adapt(interface, NAMES, splits.class_names, (48, 48)))
    views.write_bytes(build_ensemble_onnx([path], splits.class_names, "flip"))
    images = splits["test"].images[:3]
    np.testing.assert_allclose(
        penultimate_features(views, images), penultimate_features(path, images), atol=1e-5
    )


def test_an_onnx_network_becomes_a_run_like_our_own(tmp_path, splits):
    path = tmp_path / "theirs.onnx"
    weights, bias = foreign_network(path)
    options = OnnxOptions(class_names=NAMES)
    made, source, tried = import_onnx(path, options, CONFIG, splits, tmp_path / "runs", "import")
    run = read_run(made)
    assert (run.state, run.problem, check_run(made)) == ("finished", "", [])
    assert run.experiment is None
    assert source.output == "logits"
    # Compared with nothing, and it does not say otherwise.
    assert (run.results.onnx.max_difference, run.results.onnx.n) == (None, None)
    assert set(tried) == {"0-255", "0-1", "-1-1", "imagenet", "-128-127"}
    assert run.results.parameters == weights.size + bias.size
    assert sum(layer.parameters for layer in run.layers()) == run.results.parameters
    assert set(run.results.splits) == {"validation", "test", "test_unique"}
    # The stored network gives the stored predictions again, to half precision.
    stored = run.predictions("test")
    again = OnnxNetwork(run.onnx_path)(splits["test"].images)
    assert np.abs(stored.probabilities - again).max() < 1e-3
    assert run.results.splits["test"].accuracy == pytest.approx(
        np.mean(stored.probabilities.argmax(axis=1) == stored.labels)
    )


@pytest.mark.usefixtures("evaluate_in_process")
def test_the_range_of_the_input_is_found_on_the_validation_split(tmp_path, splits):
    """A network that is right on [0, 1] alone: 0 to 255 is far outside what its bias expects."""
    size = 48
    weights = np.zeros((size * size, 7), np.float32)
    for label in range(7):
        bar = np.zeros((size, size), np.float32)
        bar[6 * label + 2 : 6 * label + 6, 8:40] = 1 / 128
        weights[:, label] = 30 * bar.ravel()
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "w"], ["raw"]),
            helper.make_node("Clip", ["raw", "low", "high"], ["scores"]),
        ],
        "theirs",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, size, size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 7])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.float32(0), "low"),
            numpy_helper.from_array(np.float32(30), "high"),
        ],
    )
    path = tmp_path / "theirs.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    options = OnnxOptions(class_names=splits.class_names)
    made, source, tried = import_onnx(path, options, CONFIG, splits, tmp_path / "runs", "import")
    assert (source.mean, source.std) == ((0.0,), (255.0,))
    assert tried["0-1"] > tried["0-255"]
    assert read_run(made).results.splits["test"].accuracy > 0.9


@pytest.mark.usefixtures("evaluate_in_process")
def test_a_network_for_single_images_and_an_old_one_are_taken(tmp_path, splits):
    path = tmp_path / "old.onnx"
    weights, bias = foreign_network(path, batch=1, opset=11)
    options = OnnxOptions(class_names=NAMES, grey_range="-1-1")
    made, *_ = import_onnx(path, options, CONFIG, splits, tmp_path / "runs", "import")
    expected = reference_scores(splits["test"].images, weights, bias)
    assert np.abs(read_run(made).predictions("test").probabilities - expected).max() < 1e-3


@pytest.mark.usefixtures("evaluate_in_process")
def test_a_network_for_just_so_many_images_is_taken(tmp_path, splits):
    path = tmp_path / "nine.onnx"
    weights, bias = foreign_network(path, batch=9)
    options = OnnxOptions(class_names=NAMES, grey_range="-1-1")
    made, *_ = import_onnx(path, options, CONFIG, splits, tmp_path / "runs", "import")
    images = splits["test"].images
    assert len(images) % 9
    expected = reference_scores(images, weights, bias)
    assert np.abs(read_run(made).predictions("test").probabilities - expected).max() < 1e-3
    assert len(penultimate_features(made / "model.onnx", images[:10])) == 10


@pytest.mark.usefixtures("evaluate_in_process")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected --labels with 8 names"),
        ({"class_names": NAMES[:7]}, "received 7 labels"),
        ({"class_names": tuple("abcdefgh")}, "at least two of the dataset's"),
        ({"class_names": NAMES, "mean": (1.0, 2.0), "std": (1.0, 1.0)}, "one value each or 3"),
        ({"class_names": NAMES, "mean": (0.0,), "std": (0.0,)}, "no std of 0"),
    ],
)
def test_a_network_that_does_not_fit_leaves_nothing(tmp_path, splits, options, message):
    path = tmp_path / "theirs.onnx"
    foreign_network(path)
    with pytest.raises(UserError, match=message):
        import_onnx(path, OnnxOptions(**options), CONFIG, splits, tmp_path / "runs", "import")
    assert not (tmp_path / "runs").exists()


def test_no_onnx_file_is_one_line(tmp_path):
    path = tmp_path / "theirs.onnx"
    path.write_bytes(b"\x08\x07not a network")
    with pytest.raises(UserError, match=r"^theirs.onnx is not a readable ONNX file[^\n]*$"):
        ImportedOnnxModel(path)


def test_a_table_becomes_a_run_whatever_the_order_of_its_rows(tmp_path, splits):
    table = table_of(splits["test"], splits.class_names)
    path = tmp_path / "theirs.csv"
    table.sample(frac=1, random_state=1).to_csv(path, index=False)
    made = import_predictions({"test": path}, CONFIG, splits, tmp_path / "runs", "import")
    run = read_run(made)
    assert (run.state, check_run(made)) == ("finished", [])
    assert set(run.results.splits) == {"test", "test_unique"}
    assert run.results.parameters is None
    stored = run.predictions("test")
    assert np.array_equal(stored.ids, splits["test"].ids)
    expected = table[list(splits.class_names)].to_numpy()
    assert np.abs(stored.probabilities - expected).max() < 1e-3


def test_rows_in_order_are_checked_by_their_labels(tmp_path, splits):
    table = table_of(splits["test"], splits.class_names).drop(columns="id")
    table["label"] = splits["test"].labels
    table = table.rename(columns={name: f"prob_{name}" for name in splits.class_names})
    path = tmp_path / "theirs.csv"
    table.to_csv(path, index=False)
    part = TableSplit(splits["test"], splits.class_names)
    assert read_table(path, part).probabilities.shape == (140, 7)
    table.iloc[::-1].to_csv(path, index=False)
    with pytest.raises(UserError, match="need a column id"):
        read_table(path, part)


def _without_id(table):
    return table.drop(columns=["id", "label"])


def _short(table):
    return table.iloc[:-3]


def _twice(table):
    table.loc[1, "id"] = table.loc[0, "id"]
    return table


def _unknown(table):
    table.loc[1, "id"] = "nobody"
    return table


def _mislabelled(table):
    table.loc[4, "label"] = "happy" if table.loc[4, "label"] != "happy" else "sad"
    return table


def _logits(table):
    table["happy"] += 3.0
    return table


def _missing_class(table):
    return table.drop(columns="disgust")


def _words(table):
    return table.astype({"sad": object}).assign(sad="high")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_id, "expected id, or label"),
        (_short, "lacks 3 of the 140 samples"),
        (_twice, "occurs more than once"),
        (_unknown, "1 ids are not of this split, such as 'nobody'"),
        (_mislabelled, "1 labels differ from the dataset's"),
        (_logits, "sum to 1"),
        (_missing_class, "no column for disgust"),
        (_words, "line 2: received"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line_and_leaves_nothing(
    tmp_path, splits, change, message
):
    path = tmp_path / "theirs.csv"
    change(table_of(splits["test"], splits.class_names)).to_csv(path, index=False)
    with pytest.raises(UserError, match=message) as caught:
        import_predictions({"test": path}, CONFIG, splits, tmp_path / "runs", "import")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("evaluate_in_process")
def test_latency_is_stored_once_for_each_machine(tmp_path, splits, monkeypatch):
    path = tmp_path / "theirs.onnx"
    foreign_network(path)
    options = OnnxOptions(class_names=NAMES, grey_range="0-1")
    made, *_ = import_onnx(path, options, CONFIG, splits, tmp_path / "runs", "import")
    first = measure_latency(read_run(made))
    assert first.face_ms <= first.face_p95_ms
    assert first.faces_per_second > 0
    measure_latency(read_run(made))
    assert len(read_run(made).latency) == 1
    monkeypatch.setattr("fercore.machine.cpu_name", lambda: "Another")
    measure_latency(read_run(made))
    assert [entry.device for entry in read_run(made).latency] == [first.device, "Another"]


@pytest.mark.parametrize(
    ("mean", "std", "names"),
    [
        ((0.0,), (1.0,), ["mean and std on 0-255", "mean and std on 0-1"]),
        ((0.0,), (64.0,), ["mean and std on 0-255"]),
        ((0.5,), (0.5,), ["mean and std on 0-1"]),
        ((127.5,), (64.0,), ["mean and std on 0-255"]),
        ((1.0,), (0.5,), ["mean and std on 0-1"]),
        ((0.5,), (1.0,), ["mean and std on 0-1"]),
    ],
)
def test_both_units_are_compared_where_mean_and_std_tell_none(mean, std, names):
    found, _ = import_run._candidate_normalizations(OnnxOptions(mean=mean, std=std))
    assert list(found) == names


def test_a_network_with_larger_weights_may_take_more_memory(tmp_path, splits, monkeypatch):
    limits = []

    def stop(module, folder, what, seconds, memory_bytes):
        limits.append(memory_bytes)
        raise UserError("stopped")

    monkeypatch.setattr("fercore.importers.import_run.run_isolated", stop)
    path = tmp_path / "theirs.onnx"
    foreign_network(path)
    given = 5 << 20
    for size, memory_bytes in ((0, None), (100_000, None), (100_000, given)):
        path.with_name("theirs.onnx.data").write_bytes(bytes(size))
        options = OnnxOptions(class_names=NAMES, memory_bytes=memory_bytes)
        with pytest.raises(UserError, match="stopped"):
            import_onnx(path, options, CONFIG, splits, tmp_path / "runs", "import")
    # The weights are read and converted: more than one copy of them is held at once.
    assert limits[1] - limits[0] > 2 * 100_000
    assert limits[2] == given
