"""Ensembles of networks and of views of an image, and evaluation on other datasets."""

from dataclasses import replace

import numpy as np
import pytest

from fercore.config.protocol import ImageConfig
from fercore.config.run import CombinedConfig, ImportedConfig, ImportSource, RunConfig
from fercore.data.splits import UNSPLIT
from fercore.errors import UserError
from fercore.evaluation.ensemble_selection import average_probabilities
from fercore.evaluation.protocol import require_same_splits
from fercore.inference.dataset_evaluation import evaluate_onnx
from fercore.inference.ensemble import combine, why_no_network
from fercore.inference.ensemble_graph import build_ensemble_onnx
from fercore.inference.onnx_session import OnnxNetwork
from fercore.inference.predictor import RunClassifier
from fercore.runs.checks import check_run
from fercore.runs.reader import read_run
from fercore.runs.schema import Results
from tests.tiny import make_splits, tiny_config

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def data():
    return make_splits()


@pytest.fixture(scope="module")
def members(trained):
    """Two seeds, trained once for all tests."""
    return [trained(tiny_config(name="teacher", seed=seed, epochs=4)) for seed in (0, 1)]


def combined(members, data, root, tta="none", **changes):
    path = combine(members, data, root, name="both", title="Both", tta=tta, command="it", **changes)
    return read_run(path)


def test_the_mean_of_two_networks_is_a_run_like_any_other(members, data, tmp_path):
    run = combined(members, data, tmp_path)
    assert check_run(run.path) == []
    assert isinstance(run.config, CombinedConfig)
    assert run.config.combined.members == tuple(member.id for member in members)
    assert (run.state, run.origin, run.experiment) == ("finished", "combined", None)
    assert run.results.parameters == 2 * members[0].results.parameters

    images = data["test"].images
    one, other = (OnnxNetwork(member.onnx_path)(images) for member in members)
    assert np.abs(one - other).max() > 0.01
    assert OnnxNetwork(run.onnx_path)(images) == pytest.approx((one + other) / 2, abs=1e-5)
    stored = run.predictions("test")
    assert stored.probabilities == pytest.approx((one + other) / 2, abs=1e-3)
    assert list(stored.ids) == list(data["test"].ids)
    again = evaluate_onnx(run, data, "test")
    # Exactly: it is evaluated as stored, in half precision.
    assert again == run.results.splits["test"].model_copy(update={"title": again.title})
    assert {"validation", "test", "test_unique"} == set(run.results.splits)
    # It is used like one network, with the stored temperature.
    assert RunClassifier(run).temperature == run.results.temperature


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_the_geometric_mean_in_onnx_is_that_of_numpy(members, data, tmp_path, tta):
    run = combined(members, data, tmp_path, tta, average="geometric")
    assert run.config.combined.average == "geometric"
    images = data["test"].images
    seen = [images, images[:, :, ::-1]] if tta == "flip" else [images]
    networks = [OnnxNetwork(member.onnx_path) for member in members]
    members_rows = [network(view) for network in networks for view in seen]
    result = OnnxNetwork(run.onnx_path)(images)
    assert result == pytest.approx(average_probabilities(members_rows, "geometric"), abs=1e-5)
    assert np.abs(result - average_probabilities(members_rows, "arithmetic")).max() > 1e-3


def test_a_certain_network_leaves_the_geometric_mean_finite(tmp_path):
    """Probabilities of exactly 0 and 1."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rows = np.array([[1, 0, 0], [0.2, 0.3, 0.5]], np.float32)
    shape, out = ["batch", 8, 8, 1], ["batch", 3]
    files = []
    for number, row in enumerate(rows):
        constants = [
            numpy_helper.from_array(np.zeros((64, 3), np.float32), "kernel"),
            numpy_helper.from_array(row, "row"),
        ]
        nodes = [
            helper.make_node("Flatten", ["pixels"], ["flat"]),
            helper.make_node("Gemm", ["flat", "kernel", "row"], ["probabilities"]),
        ]
        graph = helper.make_graph(
            nodes,
            "constant",
            [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, out)],
            constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
        files.append(tmp_path / f"{number}.onnx")
        onnx.save(model, files[-1])
    content = build_ensemble_onnx(files, ("a", "b", "c"), average="geometric")
    result = OnnxNetwork(content)(np.zeros((2, 8, 8), np.uint8))
    expected = average_probabilities([rows[:1], rows[1:]], "geometric")
    assert np.isfinite(result).all()
    assert result == pytest.approx(np.repeat(expected, 2, axis=0), abs=1e-5)


def test_stored_probabilities_give_what_the_networks_give(members, data, tmp_path):
    """They are in half precision, so to 1e-3."""
    for average in ("arithmetic", "geometric"):
        joint = combined(members, data, tmp_path, average=average)
        stored = combined(members, data, tmp_path, average=average, network=False)
        assert (joint.results.onnx is None, stored.results.onnx is None) == (False, True)
        assert stored.onnx_path is None
        for role in ("validation", "test"):
            expected = joint.predictions(role).probabilities
            assert stored.predictions(role).probabilities == pytest.approx(expected, abs=1e-3)


def test_networks_are_joined_if_all_exist_and_take_the_same_images(members):
    first, second = members
    assert why_no_network(members) == ""
    gone = replace(second, results=second.results.model_copy(update={"onnx": None}))
    assert why_no_network([first, gone]) == f"{gone.id} has no model.onnx"
    small = second.config.model_copy(update={"image": ImageConfig(size=32)})
    other = replace(second, config=small)
    assert "different sizes" in why_no_network([first, other])


def test_a_combination_with_an_imported_network_is_marked(members, data, tmp_path):
    shared = members[0].config.model_dump(include=set(RunConfig.model_fields))
    names = data.class_names
    source = ImportSource(kind="onnx", file="theirs.onnx", sha256="0", class_names=names)
    theirs = ImportedConfig.model_validate(shared | {"imported": source})
    mean = combined([replace(members[0], config=theirs), members[1]], data, tmp_path)
    assert mean.config.combined.imported
    # And so is a combination of it.
    views = combine([mean], data, tmp_path, name="views", title="Views", tta="flip", command="it")
    assert read_run(views).config.combined.imported
    assert not combined(members, data, tmp_path / "own").config.combined.imported


def moved(images, down, right):
    """Images moved, the last pixels filling the edge."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)), mode="edge")
    return padded[:, 2 - down : 50 - down, 2 - right : 50 - right]


@pytest.mark.parametrize("tta", ["flip", "ten_view"])
def test_views_are_the_image_moved_and_mirrored(members, data, tta):
    file, names = members[0].onnx_path, members[0].results.class_names
    images = data["test"].images[:9]
    places = [(0, 0)]
    if tta == "ten_view":
        places += [(0, 2), (0, -2), (2, 0), (-2, 0)]
    seen = [moved(images, *place) for place in places]
    seen += [view[:, :, ::-1] for view in seen]
    network = OnnxNetwork(file)
    expected = np.mean([network(view) for view in seen], axis=0)
    assert OnnxNetwork(build_ensemble_onnx([file], names, tta))(images) == pytest.approx(
        expected, abs=1e-5
    )


def test_runs_that_cannot_be_combined_write_nothing(members, data, tmp_path):
    first, second = members
    other = replace(second, config=second.config.model_copy(update={"drop_classes": ("fear",)}))
    copied = tiny_config(
        protocol={"split": "random", "copies": "before_split", "leak_free": False},
        augmentation={"mode": "doubled", "rotation": 10},
    )
    divided = tiny_config(protocol={"split": "random"})
    elsewhere = first.environment.model_copy(update={"dataset_fingerprint": "another"})
    for runs, message in (
        ([first, other], "differ in drop_classes"),
        ([first, first], "a run twice"),
        ([first, replace(second, results=None)], "has no network"),
        ([replace(first, config=copied)], "was tested on augmented copies"),
        # Of more images the same seed divides otherwise.
        (
            [replace(first, config=divided, environment=elsewhere)],
            "was trained on another version of tiny",
        ),
    ):
        with pytest.raises(UserError, match=message):
            combined(runs, data, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_training_sets_may_differ_in_what_they_leave_out(members, data, tmp_path):
    first, second = members
    protocol = second.config.protocol.model_copy(update={"leave_out": ("repeats",)})
    cleaned = replace(second, config=second.config.model_copy(update={"protocol": protocol}))
    assert combined([first, cleaned], data, tmp_path).state == "finished"


def test_a_dataset_with_other_classes_is_evaluated_on_the_common_ones(members, data):
    """Happy and sad, in another order and twice the size, and a class that the run lacks."""
    run = members[0]
    test = data["test"]
    happy, sad, fear = (run.results.class_names.index(n) for n in ("happy", "sad", "fear"))
    keep = np.isin(test.labels, [happy, sad, fear])
    labels = np.select([test.labels[keep] == n for n in (happy, sad)], [2, 0], 1).astype(np.uint8)
    part = replace(
        test.take(keep), images=test.images[keep].repeat(2, 1).repeat(2, 2), labels=labels
    )
    other = replace(
        data,
        name="other",
        class_names=("sad", "contempt", "happy"),
        parts={UNSPLIT: part},
        titles={},
    )
    result = evaluate_onnx(run, other, UNSPLIT)
    both = np.isin(test.labels, [happy, sad])
    probabilities = OnnxNetwork(run.onnx_path)(test.images[both])[:, [happy, sad]]
    right = probabilities.argmax(axis=1) == (test.labels[both] == sad)
    assert result.n == both.sum()
    assert result.accuracy == pytest.approx(right.mean())
    assert [row.name for row in result.classes] == ["happy", "sad"]
    with pytest.raises(UserError, match="too few in common"):
        evaluate_onnx(run, replace(other, class_names=("a", "b", "c")), UNSPLIT)


class Sure:
    """A network that is nearly certain of neutral, which the dataset lacks."""

    image_shape = (48, 48)

    def __call__(self, images):
        likely = np.full((len(images), 7), 1e-9, np.float32)
        likely[:, 6] = 1
        likely[:, 4] = 2e-9
        return likely


def test_tiny_probabilities_of_the_common_classes_are_comparable(members, data):
    run, test = members[0], data["test"]
    keep = np.isin(test.labels, [3, 4])  # happy and sad
    part = replace(test.take(keep), labels=(test.labels[keep] - 3).astype(np.uint8))
    names = ("happy", "sad")
    other = replace(data, name="other", class_names=names, parts={UNSPLIT: part}, titles={})
    result = evaluate_onnx(run, other, UNSPLIT, Sure())
    # In half precision both probabilities would be 0.
    assert result.accuracy == pytest.approx((part.labels == 1).mean())
    assert result.title == f"other, {UNSPLIT}, 2 common classes"
    # A class that the run dropped does not count as common.
    dropped = run.config.model_copy(update={"drop_classes": ("fear",)})
    three = replace(other, class_names=(*names, "fear"))
    result = evaluate_onnx(replace(run, config=dropped), three, UNSPLIT, Sure())
    assert (result.title, result.n) == (f"other, {UNSPLIT}, 2 common classes", len(part))


def test_a_held_out_validation_split_is_for_runs_on_the_same_dataset(members, data):
    run = members[0]
    changed = replace(data, validation_from_train=True)
    require_same_splits(run, changed)  # its own
    with pytest.raises(UserError, match="it would be evaluated on images of its training"):
        require_same_splits(run, replace(changed, fingerprint="another"))
    require_same_splits(run, replace(data, fingerprint="another"))


def test_the_temperature_is_stored(members):
    run = members[0]
    assert RunClassifier(run).temperature == run.results.temperature != 1
    unknown = replace(run, results=Results(**(dict(run.results) | {"temperature": None})))
    assert RunClassifier(unknown).temperature == 1
