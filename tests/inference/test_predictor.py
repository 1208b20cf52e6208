import csv
import json
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from fercore import Predictor
from fercore.cli import main
from fercore.errors import UserError
from fercore.faces import cropping, detection, geometry
from fercore.importers.import_run import OnnxOptions, import_onnx
from fercore.inference.media.video import read_frames
from fercore.metrics import apply_temperature
from fercore.runs.reader import read_run
from tests.importers.test_import_run import CONFIG, foreign_network
from tests.photos import astronaut, encoded, film, scene
from tests.tiny import make_splits, tiny_config

COMMITTED = Path(__file__).parents[2] / "runs"
RUN = "katkar2021-model2-original-s0-20261121T024609"
OTHER = "ranjan2023-model1-fer2013-s0-20261121T064611"


@pytest.fixture(scope="module")
def haar():
    return detection.HaarDetector()


@pytest.fixture(scope="module")
def predictor(haar):
    return Predictor([RUN, OTHER], haar, root=COMMITTED)


@pytest.mark.keras
def test_a_dataset_image_gives_the_probabilities_that_evaluation_stored(trained, haar):
    splits, run = make_splits(), trained(tiny_config(epochs=1))
    stored = run.predictions("test")
    raw = Predictor([run], haar, calibrate=False)
    # What is stored has half precision.
    for place, image in enumerate(splits["test"].images):
        (prediction,) = raw.predict(image, [geometry.full_image_face(image)])
        assert prediction.probabilities[run.id] == pytest.approx(
            stored.probabilities[place], abs=5e-4
        )
        assert np.array_equal(prediction.crops[run.id], image)


def test_an_imported_network_gives_the_probabilities_that_evaluation_stored(tmp_path, haar):
    splits = make_splits()
    foreign_network(tmp_path / "theirs.onnx")
    options = OnnxOptions(class_names=(*splits.class_names, "contempt"), grey_range="-1-1")
    made, *_ = import_onnx(
        tmp_path / "theirs.onnx", options, CONFIG, splits, tmp_path / "runs", "import"
    )
    run = read_run(made)
    raw = Predictor([run], haar, calibrate=False)
    image = splits["test"].images[0]
    (prediction,) = raw.predict(image, [geometry.full_image_face(image)])
    stored = run.predictions("test").probabilities[0]
    assert prediction.probabilities[run.id] == pytest.approx(stored, abs=5e-4)


def test_a_photo_gives_a_face_with_a_prediction_of_every_network(predictor):
    (prediction,) = predictor.predict(astronaut())
    assert predictor.ids == [RUN, OTHER]
    assert prediction.top(RUN)[0] == prediction.top(OTHER)[0] == "happy"
    assert prediction.is_unanimous
    for run in predictor.ids:
        assert prediction.crops[run].shape == (48, 48)
        assert prediction.probabilities[run].sum() == pytest.approx(1, abs=1e-5)
        assert prediction.label(run, 0.5) == "happy"
        assert prediction.label(run, 1.0) is None


def test_confidence_is_scaled_by_the_runs_own_temperature(predictor, haar):
    raw = Predictor([RUN], haar, calibrate=False, root=COMMITTED)
    (before,), (after,) = raw.predict(astronaut()), predictor.predict(astronaut())
    temperature = raw.networks[0].temperature
    assert temperature > 1
    expected = apply_temperature(before.probabilities[RUN][None], temperature)[0]
    assert after.probabilities[RUN] == pytest.approx(expected, abs=1e-6)


def test_two_faces_are_two_predictions(predictor):
    both = np.hstack([scene(160, 240, size=(480, 320)), scene(160, 240, size=(480, 320))])
    first, second = predictor.predict(both)
    assert abs(first.face.left - second.face.left) == pytest.approx(320, abs=8)


def test_without_a_face_there_is_no_prediction(predictor):
    assert predictor.predict(np.full((100, 100, 3), 90, np.uint8)) == []


def test_arrays_that_are_not_images_are_refused(predictor):
    shapes = ((0, 4), (9,), (99, 99, 1), (99, 99, 4), (1, 99, 99, 3))
    for wrong in (np.zeros((5, 5)), *(np.zeros(shape, np.uint8) for shape in shapes)):
        with pytest.raises(ValueError, match=r"expected \(height, width\)"):
            predictor.predict(wrong)


def test_runs_without_a_network_are_refused(tmp_path, haar):
    with pytest.raises(UserError, match="at least one run"):
        Predictor([], haar)
    with pytest.raises(UserError, match="received the run 'nope'"):
        Predictor(["nope"], haar, root=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UserError, match=r"empty has no network \(model.onnx\) here; the run cannot"
    ):
        Predictor(["empty"], haar, root=tmp_path)


def test_the_margin_of_a_config_widens_the_crop(tmp_path, haar):
    config = json.loads((COMMITTED / RUN / "config.json").read_text())
    config["image"] = {"margin": 0.4}
    for file in (COMMITTED / RUN).iterdir():
        if file.is_file():
            (tmp_path / "wide").mkdir(exist_ok=True)
            (tmp_path / "wide" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "wide" / "config.json").write_text(json.dumps(config))
    wide = Predictor(["wide"], haar, root=tmp_path)
    (prediction,) = wide.predict(astronaut())
    grey = cropping.to_grey(astronaut())
    assert np.array_equal(
        prediction.crops["wide"], cropping.crop_face(grey, prediction.face, 48, margin=0.4)
    )


@pytest.fixture
def fercore(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FERCORE_RUNS", str(COMMITTED))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fercore", "predict", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


def test_the_command_classifies_faces_in_photos_and_folders(fercore, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(encoded(astronaut()))
    (photos / "b.png").write_bytes(encoded(np.full((50, 50, 3), 80, np.uint8), ".png"))
    status, out, _ = fercore(photos, "--run", RUN)
    assert status == 0
    assert "happy" in out
    assert "1 faces in 2 files, none in 1 of them" in out

    status, out, _ = fercore(photos, "--run", RUN, "--run", OTHER, "--json")
    rows = json.loads(out)
    assert [row["run"] for row in rows] == [RUN, OTHER]
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1, abs=1e-3)

    table, copies = tmp_path / "faces.csv", tmp_path / "copies"
    status, out, _ = fercore(photos, "--run", RUN, "--csv", table, "--annotate", copies)
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["expression"] == "happy"
    assert float(row["p_happy"]) == pytest.approx(float(row["probability"]))
    assert sorted(path.name for path in copies.iterdir()) == ["a.png", "b.png"]


def test_annotated_copies_never_overwrite_originals_or_each_other(fercore, tmp_path):
    photos = tmp_path / "photos"
    for name in ("a/face.jpg", "b/face.jpg", "b/Face.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(encoded(np.full((50, 50, 3), 80, np.uint8), name[-4:]))
    before = (photos / "b/Face.png").read_bytes()
    copies = tmp_path / "copies"
    assert fercore(photos, "--run", RUN, "--annotate", copies)[0] == 0
    assert sorted(path.name.lower() for path in copies.iterdir()) == [
        "face-2.png",
        "face-3.png",
        "face.png",
    ]
    status, _, err = fercore(photos, "--run", RUN, "--annotate", photos / "b")
    assert status == 2
    assert "expected another folder" in err
    assert (photos / "b/Face.png").read_bytes() == before
    links = tmp_path / "links"
    links.mkdir()
    (links / "face.png").symlink_to(photos / "b/Face.png")
    status, _, err = fercore(links, "--run", RUN, "--annotate", links)
    assert status == 2
    assert (photos / "b/Face.png").read_bytes() == before
    status, _, err = fercore(photos, "--run", RUN, "--annotate", photos / "a/face.jpg")
    assert status == 2
    assert "a file; expected a folder" in err


def test_a_low_confidence_is_marked_and_its_json_is_null(fercore, tmp_path, monkeypatch):
    written: list[str] = []
    monkeypatch.setattr(
        "fercore.faces.drawing.draw_face", lambda image, face, labels: written.extend(labels)
    )
    (tmp_path / "a.jpg").write_bytes(encoded(astronaut()))
    options = (tmp_path / "a.jpg", "--run", RUN, "--annotate", tmp_path / "copies", "--least")
    _, out, _ = fercore(*options, 1)
    assert "happy (low confidence)" in out
    assert re.fullmatch(r"happy \d\d% \(low\)", written.pop())
    _, out, _ = fercore(*options, 1, "--json")
    assert json.loads(out)[0]["expression"] is None
    _, out, _ = fercore(*options, 0)
    assert "low confidence" not in out
    assert re.fullmatch(r"happy \d\d%", written.pop())


def test_the_command_classifies_faces_in_a_video(fercore, tmp_path):
    path = film(tmp_path / "film.mp4", frames=10)
    copies = tmp_path / "copies"
    status, out, _ = fercore(
        path, "--run", RUN, "--every", 3, "--json", "--annotate", copies, "--least", 0.999
    )
    assert status == 0
    rows = json.loads(out)
    assert {row["frame"] for row in rows} == {0, 3, 6, 9}
    assert {row["expression"] for row in rows} <= {None, "happy"}
    assert [path.name for path in copies.iterdir()] == ["film.mp4"]


def test_a_video_is_rotated_as_its_metadata_say(tmp_path):
    """As of a phone held upright: the track's matrix rotates the frames clockwise by 90 degrees."""
    path = film(tmp_path / "film.mp4", frames=3)
    lying = [image for _, image in read_frames(path)]
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(
        ">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 480 << 16, 0, 1 << 30
    )
    path.write_bytes(content)
    upright = [image for _, image in read_frames(path)]
    for one, other in zip(upright, lying, strict=True):
        np.testing.assert_array_equal(one, np.rot90(other, -1))


def test_rows_are_kept_if_a_video_is_interrupted(fercore, tmp_path, monkeypatch):
    def broken(path):
        yield 0, scene(320, 230, 1.3)
        raise KeyboardInterrupt

    monkeypatch.setattr("fercore.inference.media.video.read_frames", broken)
    table = tmp_path / "faces.csv"
    fercore(film(tmp_path / "film.mp4", frames=2), "--run", RUN, "--csv", table)
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["expression"] == "happy"


def test_a_strip_of_one_pixel_width_has_no_face(fercore, tmp_path):
    (tmp_path / "strip.png").write_bytes(encoded(np.full((3000, 1, 3), 80, np.uint8), ".png"))
    status, out, _ = fercore(tmp_path / "strip.png", "--run", RUN)
    assert status == 0
    assert "0 faces in 1 files, none in 1 of them" in out


def test_files_that_cannot_be_read_do_not_stop_the_others(fercore, tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(astronaut()))
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    (tmp_path / "c.mp4").write_bytes(b"no video")
    status, out, err = fercore(
        tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "c.mp4", "--run", RUN
    )
    assert status == 1
    assert "1 faces in 1 files; 2 could not be read" in out
    assert "cannot decode b.jpg" in err
    assert "cannot read c.mp4 as a video" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.jpg"], "expected --run RUN"),
        (["x.jpg", "--run", RUN], "expected an image, a video or a folder"),
        (["x.jpg", "--run", "nope"], "expected an image"),
        ([".", "--run", "nope", "--csv", "/no/such/folder/x.csv"], "there is no folder"),
    ],
)
def test_user_errors_are_one_line(fercore, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = fercore(*arguments)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
