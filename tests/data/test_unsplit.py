"""Test adding and loading CK+, LFW-emotion and custom datasets."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fercore.data import registry
from fercore.data.splits import UNSPLIT
from fercore.errors import UserError
from tests.photos import huge_png

RNG = np.random.default_rng(0)


def encoded(size: tuple[int, int] = (48, 48), suffix: str = ".png", colour: bool = False) -> bytes:
    shape = (*size, 3) if colour else size
    return cv2.imencode(suffix, RNG.integers(0, 256, shape, dtype=np.uint8))[1].tobytes()


def ckplus_files() -> dict[str, bytes]:
    names = [f"anger/S01{s}_004_0000001{f}.png" for s in range(3) for f in range(2)]
    names += [f"contempt/S1{s}0_001_0000002{f}.png" for s in range(3) for f in range(2)]
    return {f"CK+48/{name}": encoded() for name in names}


def lfw_files() -> dict[str, bytes]:
    people = [("Ann_Lee_0001", "Happiness"), ("Ann_Lee_0002", "neutral"), ("Bo_0001", "ANGER")]
    files = {f"set/images/{name}.jpg": encoded((150, 150), ".jpg") for name, _ in people}
    rows = "".join(f"u{n},{name}.jpg,{emotion}\n" for n, (name, emotion) in enumerate(people))
    return files | {"set/legend.csv": b"user.id,image,emotion\n" + rows.encode()}


def write(files: dict[str, bytes], folder: Path, kind: str) -> Path:
    if kind == "zip":
        path = folder / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    if kind == "tar":
        path = folder / "set.tar.xz"
        with tarfile.open(path, "w:xz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path
    for name, content in files.items():
        path = folder / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "unpacked" / next(iter(files)).partition("/")[0]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_ckplus_comes_with_subjects_and_sequences(tmp_path: Path, kind: str):
    files = ckplus_files()
    report = registry.add_dataset("ckplus", [write(files, tmp_path, kind)], tmp_path / "root")
    assert report.counts[UNSPLIT]["angry"] == 6
    assert report.counts[UNSPLIT]["contempt"] == 6
    assert report.notes == ("12 images installed, CK+48 has 981",)
    pool = registry.load_dataset("ckplus", tmp_path / "root")[UNSPLIT]
    assert pool.ids[0] == "S010_004_00000010"
    assert pool.groups["subject"][0] == "S010"
    assert pool.groups["sequence"][0] == "S010_004"
    content = files["CK+48/anger/S010_004_00000010.png"]
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(pool.images[0], stored)


def test_the_same_files_again_change_nothing(tmp_path: Path):
    path = write(ckplus_files(), tmp_path, "zip")
    first = registry.add_dataset("ckplus", [path], tmp_path / "root")
    again = registry.add_dataset("ckplus", [path], tmp_path / "root")
    assert first.changed
    assert not again.changed
    assert again.fingerprint == first.fingerprint
    assert again.notes == ("already installed, unchanged",)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_lfw_takes_images_and_their_legend(tmp_path: Path, kind: str):
    registry.add_dataset("lfw_emotion", [write(lfw_files(), tmp_path, kind)], tmp_path / "root")
    splits = registry.load_dataset("lfw_emotion", tmp_path / "root")
    pool = splits[UNSPLIT]
    assert pool.ids.tolist() == ["Ann_Lee_0001", "Ann_Lee_0002", "Bo_0001"]
    assert [splits.class_names[k] for k in pool.labels] == ["happy", "neutral", "angry"]
    assert pool.groups["subject"].tolist() == ["Ann_Lee", "Ann_Lee", "Bo"]


def broken_ckplus() -> list[tuple[dict[str, bytes], str]]:
    good = ckplus_files()
    return [
        ({"CK+48/smug/S010_004_00000010.png": encoded()}, "is in the folder 'smug'"),
        ({"CK+48/anger/face.png": encoded()}, "of subject, sequence and frame"),
        ({"CK+48/anger/S010_004_00000010.png": encoded((50, 50))}, "is 50x50 pixels"),
        ({"CK+48/anger/S010_004_00000010.png": b"no image"}, "cannot decode"),
        ({"CK+48/readme.txt": b"nothing"}, "no image of ckplus found"),
        (good | {"CK+48/fear/S010_004_00000010.png": encoded()}, "was given twice"),
    ]


@pytest.mark.parametrize(("files", "message"), broken_ckplus())
def test_what_is_no_ckplus_is_refused_and_changes_nothing(
    tmp_path: Path, files: dict[str, bytes], message: str
):
    root = tmp_path / "root"
    registry.add_dataset("ckplus", [write(ckplus_files(), tmp_path, "zip")], root)
    before = registry.load_dataset("ckplus", root).fingerprint
    with pytest.raises(UserError, match=message):
        registry.add_dataset("ckplus", [write(files, tmp_path, "folder")], root)
    assert registry.load_dataset("ckplus", root).fingerprint == before


@pytest.mark.parametrize(
    ("legend", "message"),
    [
        (None, "no legend was found"),
        (b"file,label\nBo_0001.jpg,anger\n", "has the columns file, label"),
        (b"image,emotion\nBo_0001.jpg,smug\n", "data row 0"),
        (b"image,emotion\nBo_0001.jpg,anger\nBo_0001.jpg,fear\n", "two emotions"),
        (b"image,emotion\nCy_0001.jpg,fear\n", "1 images that are not there, such as Cy_0001.jpg"),
        (
            b"image,emotion\n" + b"x" * 200_000 + b",fear\n",
            r"set.zip: set/legend.csv is not a table \(field larger",
        ),
        (b"x" * 200_000 + b",emotion\n", r"is not a table \(field larger"),
        (
            b"image,emotion\nx/Bo_0001.jpg,anger\ny/Bo_0001.jpg,anger\n",
            r"x/Bo_0001\.jpg and y/Bo_0001\.jpg, but only set/set/images/Bo_0001\.jpg is there",
        ),
    ],
)
def test_a_wrong_legend_is_refused(tmp_path: Path, legend: bytes | None, message: str):
    files = lfw_files()
    del files["set/legend.csv"]
    if legend is not None:
        files["set/legend.csv"] = legend
    with pytest.raises(UserError, match=message):
        registry.add_dataset("lfw_emotion", [write(files, tmp_path, "zip")], tmp_path / "root")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_legend_tells_images_of_one_name_apart_by_their_folders(tmp_path: Path, kind: str):
    files = {f"set/{f}/Bo_0001.jpg": encoded((150, 150), ".jpg") for f in ("x", "y")}
    files["set/y/Cy_0001.jpg"] = encoded((150, 150), ".jpg")
    rows = b"x/Bo_0001.jpg,anger\ny/Bo_0001.jpg,fear\nold/Cy_0001.jpg,fear\n"
    files["set/legend.csv"] = b"image,emotion\n" + rows
    registry.add_dataset("lfw_emotion", [write(files, tmp_path, kind)], tmp_path / "root")
    splits = registry.load_dataset("lfw_emotion", tmp_path / "root")
    pool = splits[UNSPLIT]
    found = {
        name: (splits.class_names[label], image.tobytes())
        for name, label, image in zip(pool.ids.tolist(), pool.labels, pool.images, strict=True)
    }
    stored = {
        name: cv2.imdecode(np.frombuffer(files[f"set/{name}"], np.uint8), 0).tobytes()
        for name in ("x/Bo_0001.jpg", "y/Bo_0001.jpg", "y/Cy_0001.jpg")
    }
    assert found == {
        "x/Bo_0001.jpg": ("angry", stored["x/Bo_0001.jpg"]),
        "y/Bo_0001.jpg": ("fear", stored["y/Bo_0001.jpg"]),
        "Cy_0001": ("fear", stored["y/Cy_0001.jpg"]),
    }
    assert sorted(set(pool.groups["subject"].tolist())) == ["Bo", "Cy"]


def test_a_name_that_two_different_images_have_is_refused(tmp_path: Path):
    files = lfw_files()
    files["set/more/Bo_0001.jpg"] = files["set/images/Bo_0001.jpg"]
    registry.add_dataset("lfw_emotion", [write(files, tmp_path, "zip")], tmp_path / "root")
    files["set/more/Bo_0001.jpg"] = encoded((150, 150), ".jpg")
    with pytest.raises(UserError, match="expected the folder in the legend as well"):
        registry.add_dataset("lfw_emotion", [write(files, tmp_path, "zip")], tmp_path / "root")


def test_a_folder_per_class_becomes_a_dataset(tmp_path: Path):
    files = {
        f"dance/{mood}/{n}.{suffix}": encoded((60 + n, 80), f".{suffix}", colour=True)
        for mood in ("shringara", "hasya", "karuna")
        for n, suffix in enumerate(("jpg", "png", "jpg"))
    }
    root = tmp_path / "root"
    path = write(files, tmp_path, "folder")
    with pytest.raises(UserError, match="--new"):
        registry.add_dataset("navras", [path], root)
    registry.add_dataset("navras", [path], root, new_size=32)
    assert registry.list_custom_datasets(root) == ("navras",)
    splits = registry.load_dataset("navras", root)
    assert splits.class_names == ("hasya", "karuna", "shringara")
    assert splits[UNSPLIT].images.shape == (9, 32, 32)
    assert len(set(splits[UNSPLIT].ids.tolist())) == 9
    assert registry.dataset_status("navras", root).installed


@pytest.mark.parametrize("name", ["fer2013", "../up", "", "Big", "a b"])
def test_a_new_dataset_needs_a_name_of_its_own(tmp_path: Path, name: str):
    path = write({"set/a/1.png": encoded(), "set/b/1.png": encoded()}, tmp_path, "folder")
    with pytest.raises(UserError, match="for a new dataset"):
        registry.add_dataset(name, [path], tmp_path / "root", new_size=48)


def test_images_of_one_class_are_no_dataset(tmp_path: Path):
    path = write({"set/a/1.png": encoded(), "set/a/2.png": encoded()}, tmp_path, "folder")
    with pytest.raises(UserError, match=r"1 class \(a\), expected at least two"):
        registry.add_dataset("mine", [path], tmp_path / "root", new_size=48)


def test_a_huge_image_is_not_decoded(tmp_path: Path):
    path = write(
        {"set/a/1.png": huge_png(9_000, 9_000), "set/b/1.png": encoded()}, tmp_path, "folder"
    )
    with pytest.raises(UserError, match="64 million at most"):
        registry.add_dataset("mine", [path], tmp_path / "root", new_size=48)


@pytest.mark.skipif(
    "FERCORE_POOL_ARCHIVES" not in os.environ,
    reason="FERCORE_POOL_ARCHIVES names no folder of archives",
)
def test_the_archives_as_they_circulate(tmp_path: Path):
    folder = Path(os.environ["FERCORE_POOL_ARCHIVES"])
    for name, file, subjects in (
        ("ckplus", "ckplus48.tar.xz", 118),
        ("lfw_emotion", "lfw_emotion.tar.xz", None),
    ):
        report = registry.add_dataset(name, [folder / file], tmp_path)
        assert "every class holds as many images" in report.notes[0]
        found = len(np.unique(registry.load_dataset(name, tmp_path)[UNSPLIT].groups["subject"]))
        assert subjects is None or found == subjects
