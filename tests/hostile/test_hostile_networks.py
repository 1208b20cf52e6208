"""Test importing ONNX files of other projects, and the one-line errors for unusable ones."""

import json

import numpy as np
import pytest

from fercore.data.labels import FER2013
from fercore.errors import UserError
from fercore.importers.import_run import OnnxOptions
from fercore.importers.onnx_adapter import ImportedOnnxModel
from fercore.importers.onnx_labels import parse_names
from tests.hostile import networks as make
from tests.hostile.imports import PLAIN, accuracy, imported, refused

pytestmark = pytest.mark.usefixtures("evaluate_in_process")


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ({"output": ("n", 7, 1, 1)}, {}),
        ({"output": ("n", 1, 7)}, {}),
        ({"shape": (1, 1, 48, 48), "output": (7,)}, {}),
        ({"shape": ("n", 2304)}, {}),
        ({"shape": ("n", 48, 48)}, {}),
        ({"shape": ("n", 48, 48, 3)}, {}),
        ({"shape": ("n", 3, 48, 48)}, {}),
        ({"shape": ("a", "b", "c", "d")}, {"size": (48, 48), "layout": "nchw", "channels": 1}),
        ({"shape": ("n", "features")}, {"size": (48, 48), "channels": 1}),
    ],
)
def test_forms_of_input_and_output(tmp_path, form, options):
    if form.get("output") == (7,):
        form = form | {"output": (1, 7)}
    path = make.classifier(tmp_path / "theirs.onnx", **form)
    run, *_ = imported(
        tmp_path, path, OnnxOptions(class_names=FER2013, grey_range="0-1", **options)
    )
    assert accuracy(run) > 0.9


@pytest.mark.parametrize(("layout", "channels"), [("nchw", 1), ("nchw", 3), ("nhwc", 3)])
def test_an_input_whose_axes_are_all_open_is_found_by_running_it(tmp_path, layout, channels):
    path = make.convolutional(tmp_path / "theirs.onnx", layout=layout, channels=channels)
    options = OnnxOptions(class_names=FER2013, grey_range="0-255", size=(48, 48))
    run, source, *_ = imported(tmp_path, path, options)
    assert (source.channels, source.size) == (channels, (48, 48))
    assert accuracy(run) > 0.9


@pytest.mark.parametrize("ending", ["logits", "softmax", "percent", "sigmoid"])
def test_scales_of_the_scores_are_recognised(tmp_path, ending):
    path = make.classifier(tmp_path / "theirs.onnx", ending=ending)
    run, source, _, lines = imported(tmp_path, path)
    assert source.output == ("probabilities" if ending == "softmax" else ending)
    sums = run.predictions("test").probabilities.sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=2e-3)
    assert accuracy(run) > 0.9
    assert any("scores read as" in line for line in lines) == (ending in {"percent", "sigmoid"})


@pytest.mark.parametrize(
    ("mean", "std", "given"),
    [
        (0.0, 255.0, ((0.0,), (255.0,))),
        (127.5, 127.5, ((0.5,), (0.5,))),
        (127.5, 127.5, ((127.5,), (127.5,))),
        (0.0, 255.0, ((0.0,), (1.0,))),
        (0.0, 1.0, ((0.0,), (1.0,))),
    ],
)
def test_units_of_mean_and_std_are_recognised(tmp_path, mean, std, given):
    path = make.classifier(tmp_path / "theirs.onnx", mean=mean, std=std)
    options = OnnxOptions(class_names=FER2013, mean=given[0], std=given[1])
    run, source, tried, lines = imported(tmp_path, path, options)
    assert (source.mean, source.std) == ((mean,), (std,))
    assert tried or any("units of grey levels" in line for line in lines)
    assert accuracy(run) > 0.9


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((123.675,), (0.229,), "not in the same units"),
        ((0.485,), (58.4,), "not in the same units"),
        ((0.5,), (0.0,), "no std of 0"),
        ((float("nan"),), (1.0,), "expected numbers"),
        ((0.5, 0.5), (0.5, 0.5), "one value each or 1"),
    ],
)
def test_mean_and_std_that_make_no_sense_are_refused(tmp_path, mean, std, message):
    path = make.classifier(tmp_path / "theirs.onnx")
    options = OnnxOptions(class_names=FER2013, mean=mean, std=std)
    assert message in refused(tmp_path, path, options)


def test_imagenets_normalization_is_tried(tmp_path):
    # Right on ImageNet's range alone: on the others it is too dark, or clipped.
    path = make.classifier(tmp_path / "theirs.onnx", mean=0.449 * 255, std=0.226 * 255, least=190)
    run, source, tried, _ = imported(tmp_path, path, OnnxOptions(class_names=FER2013))
    assert max(tried, key=lambda name: tried[name]) == "imagenet"
    assert source.std == pytest.approx((0.226 * 255,), abs=1e-3)
    assert accuracy(run) > 0.9


def test_labels_in_another_order_are_warned_of(tmp_path):
    # The network is in alphabetical order, the labels are given in FER2013's.
    order = [FER2013.index(name) for name in sorted(FER2013)]
    path = make.classifier(tmp_path / "theirs.onnx", order=order)
    run, _, tried, lines = imported(tmp_path, path, OnnxOptions(class_names=FER2013))
    warning = next(line for line in lines if line.startswith("warning"))
    assert ",".join(sorted(FER2013)) in warning
    assert "in alphabetical order" in warning
    assert accuracy(run) < 0.6
    # The range is found all the same.
    assert run.config.imported.std == (255.0,)
    assert tried
    right = OnnxOptions(class_names=tuple(sorted(FER2013)), grey_range="0-1")
    *_, lines = imported(tmp_path, path, right)
    assert not any(line.startswith("warning") for line in lines)


def test_synonyms_are_taken_and_what_has_no_counterpart_is_reported(tmp_path):
    names = ("Anger", "disgusted", "scared", "joyful", "sadness", "suprise", "natural")
    run, source, _, lines = imported(
        tmp_path,
        make.classifier(tmp_path / "theirs.onnx"),
        OnnxOptions(class_names=names, grey_range="0-1"),
    )
    assert source.class_names == names
    assert accuracy(run) > 0.9
    assert not any("without an output" in line for line in lines)
    odd = (*names[:5], "bored", "natural")
    *_, lines = imported(
        tmp_path, tmp_path / "theirs.onnx", OnnxOptions(class_names=odd, grey_range="0-1")
    )
    assert any("without an output" in line and "surprise" in line for line in lines)
    assert any("left out" in line and "bored" in line for line in lines)


def test_a_network_sure_of_a_class_that_is_left_out_has_probabilities_all_the_same(tmp_path):
    """Nothing is left to scale to 1 where a class that the dataset lacks has all of it."""
    path = make.classifier(tmp_path / "theirs.onnx", ending="softmax", gain=1e4)
    names = ("contempt", *FER2013[1:])
    run, *_ = imported(tmp_path, path, OnnxOptions(class_names=names, grey_range="0-1"))
    sums = run.predictions("test").probabilities.sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=2e-3)


@pytest.mark.parametrize("grey_range", ["0-1", None])
def test_nan_is_refused(tmp_path, grey_range):
    path = make.classifier(tmp_path / "theirs.onnx", ending="nan")
    message = refused(tmp_path, path, OnnxOptions(class_names=FER2013, grey_range=grey_range))
    assert "NaN" in message


def test_several_outputs_are_chosen_by_name(tmp_path):
    path = make.several_outputs(tmp_path / "theirs.onnx")
    assert "aux, main" in refused(tmp_path, path)
    assert "features (2304 numbers)" in refused(
        tmp_path, path, OnnxOptions(class_names=FER2013, output_name="nothing")
    )
    options = OnnxOptions(class_names=FER2013, grey_range="0-255", output_name="main")
    run, source, _, lines = imported(tmp_path, path, options)
    assert source.output_name == "main"
    assert accuracy(run) > 0.9
    assert any("output main taken" in line for line in lines)


@pytest.mark.parametrize(
    "metadata",
    [
        make.ultralytics(FER2013),
        make.hugging_face(FER2013),
        {"class_names": ",".join(FER2013)},
        {"class_names": json.dumps(FER2013)},
        {"classes": "\n".join(FER2013)},
        {"labels": str(list(FER2013))},
        {"label2id": json.dumps({name: place for place, name in enumerate(FER2013)})},
    ],
)
def test_names_in_the_metadata_of_other_exporters(tmp_path, metadata):
    path = make.classifier(tmp_path / "theirs.onnx", metadata=metadata)
    assert ImportedOnnxModel(path).class_names == FER2013


def test_names_with_commas_and_hostile_metadata():
    assert parse_names('["a, b", "c"]') == ("a, b", "c")
    assert parse_names("{0: 'a, b', 1: 'c'}") == ("a, b", "c")
    assert parse_names("{10: 'z', 2: 'b'}") == ("b", "z")
    for text in ("", "[" * 50_000, "{'a'", "[1" + "+1" * 40_000, "__import__('os')", "x" * 200_000):
        assert len(parse_names(text)) < 2


def test_names_with_commas_survive_the_export(tmp_path):
    path = make.classifier(tmp_path / "theirs.onnx")
    network = ImportedOnnxModel(path)
    names = ("angry, very", "b", "c", "d", "e", "f", "g")
    (tmp_path / "again.onnx").write_bytes(network.adapt(network.spec, names, names, (48, 48)))
    assert ImportedOnnxModel(tmp_path / "again.onnx").class_names == names


@pytest.mark.parametrize(
    ("form", "options", "mean"),
    [
        ("zipmap", OnnxOptions(grey_range="0-1"), 0.0),
        ("branch", PLAIN, 0.0),
        ("one", PLAIN, 0.0),
        ("int8", OnnxOptions(class_names=FER2013), 128.0),
        ("uint8", OnnxOptions(class_names=FER2013), 0.0),
    ],
)
def test_forms_of_other_exporters(tmp_path, form, options, mean):
    run, source, *_ = imported(tmp_path, make.wrapped(tmp_path / "theirs.onnx", form), options)
    assert source.mean == (mean,)
    assert accuracy(run) > 0.9


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        ("uint8", PLAIN, "whole numbers from 0 to 255, which cannot represent grey levels as 0-1"),
        ("int8", OnnxOptions(class_names=FER2013, grey_range="0-255"), "--range -128-127"),
        ("text", PLAIN, "not a tensor of numbers"),
        ("random", PLAIN, "predictions change when the same images come in another order"),
        ("constant", PLAIN, "the same scores for all of"),
        ("distance", PLAIN, "the lowest output is that of the image"),
        ("plain", OnnxOptions(class_names=FER2013, size=(64, 64)), "takes images of 48x48 pixels"),
        ("plain", OnnxOptions(class_names=FER2013, mean=(0.5,), std=(-0.5,)), "no std of 0"),
        ("names", OnnxOptions(class_names=FER2013[:6]), "received 6 labels"),
    ],
)
def test_what_would_give_a_wrong_figure_is_refused(tmp_path, form, options, message):
    path = make.wrapped(tmp_path / "theirs.onnx", form)
    assert message in refused(tmp_path, path, options)


@pytest.mark.parametrize(
    ("form", "warning"),
    [
        ("batch", "with the other images of its batch"),
        ("names", "--labels differ from the names in the file, angry,disgust,fear,happy,neutral"),
    ],
)
def test_what_may_give_a_wrong_figure_is_warned_of(tmp_path, form, warning):
    *_, lines = imported(tmp_path, make.wrapped(tmp_path / "theirs.onnx", form))
    assert any(line.startswith("warning") and warning in line for line in lines)


def test_names_in_the_metadata_that_do_not_fit_are_shown(tmp_path):
    path = make.classifier(tmp_path / "theirs.onnx", metadata={"names": "cat, dog"})
    message = refused(tmp_path, path, OnnxOptions(grey_range="0-1"))
    assert "has 7 outputs, its metadata name 2 classes (cat, dog)" in message


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"\x1c\0\0\0TFL3" + bytes(99), "TensorFlow Lite"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        (b"PK\x03\x04" + bytes(99), "ZIP"),
        (b"\x80\x02}q\0.", "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    ],
)
def test_a_renamed_file_of_another_kind_is_named(tmp_path, content, kind):
    path = tmp_path / "theirs.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=kind):
        ImportedOnnxModel(path)
