"""Test custom datasets: adding again, many file types, unusual names."""

import io
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fercore.cli import main
from fercore.data import registry
from fercore.data.datasets import _image_folder
from fercore.data.splits import UNSPLIT
from fercore.errors import UserError
from fercore.faces import geometry

RNG = np.random.default_rng(0)


def encoded(suffix: str = ".png", size: tuple[int, int] = (48, 48)) -> bytes:
    return cv2.imencode(suffix, RNG.integers(0, 256, size, dtype=np.uint8))[1].tobytes()


def write(folder: Path, *names: str) -> Path:
    """Images by name, of the format that the name's suffix tells."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(path.suffix.lower()))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def ids(root: Path) -> list[str]:
    return registry.load_dataset("mine", root)[UNSPLIT].ids.tolist()


def side(root: Path) -> int:
    return registry.load_dataset("mine", root)[UNSPLIT].images.shape[1]


def test_another_size_reads_the_same_files_again(tmp_path: Path, root: Path):
    photos = write(tmp_path / "photos", "a/1.png", "b/1.png")
    registry.add_dataset("mine", [photos], root, new=True)
    assert side(root) == 48
    assert registry.add_dataset("mine", [photos], root, new_size=96).changed
    assert side(root) == 96
    assert not registry.add_dataset("mine", [photos], root, new_size=96).changed
    assert not registry.add_dataset("mine", [photos], root).changed


@pytest.mark.parametrize("new", [False, True])
def test_changed_files_keep_the_size_that_is_stored(tmp_path: Path, root: Path, new: bool):
    photos = write(tmp_path / "photos", "a/1.png", "b/1.png")
    registry.add_dataset("mine", [photos], root, new_size=96)
    write(photos, "b/2.png")
    assert registry.add_dataset("mine", [photos], root, new=new).changed
    assert (len(ids(root)), side(root)) == (3, 96)


def test_a_damaged_dataset_asks_for_its_size(tmp_path: Path, root: Path):
    photos = write(tmp_path / "photos", "a/1.png", "b/1.png")
    registry.add_dataset("mine", [photos], root, new_size=96)
    (stored,) = (root / "mine").glob("*.npz")
    stored.write_bytes(stored.read_bytes()[:-100])
    with pytest.raises(UserError, match="fercore data add mine PATH --size PIXELS"):
        registry.add_dataset("mine", [photos], root)
    registry.add_dataset("mine", [photos], root, new_size=96)
    assert side(root) == 96


def test_the_command_line_takes_a_size_for_ones_own(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    photos = write(tmp_path / "photos", "a/1.png", "b/1.png")

    def add(name: str, *options: str) -> str:
        command = ["fercore", "data", "add", name, str(photos), "--data-root", str(root), *options]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().err

    add("mine", "--new", "--size", "96")
    add("mine", "--new")
    assert side(root) == 96
    add("mine", "--size", "64")
    assert side(root) == 64
    for name in ("other", "fer2013"):
        assert "expected it for a dataset of your own" in add(name, "--size", "64")


def test_more_classes_than_a_label_can_tell_are_refused(tmp_path: Path, root: Path):
    photos = write(tmp_path / "photos", *(f"{n:03d}/1.png" for n in range(256)))
    registry.add_dataset("mine", [photos], root, new_size=8)
    before = registry.load_dataset("mine", root).fingerprint
    write(photos, "256/1.png")
    with pytest.raises(UserError, match="257 classes, expected 256 at most"):
        registry.add_dataset("mine", [photos], root)
    assert registry.load_dataset("mine", root).fingerprint == before


def test_names_that_are_not_utf8_are_stored_written_out(tmp_path: Path, root: Path):
    odd = os.fsdecode(b"caf\xe9")
    photos = write(tmp_path / odd, f"{odd}/{odd}.png", "b/1.png")
    registry.add_dataset("mine", [photos], root, new=True)
    splits = registry.load_dataset("mine", root)
    assert splits.class_names == ("b", "caf\\udce9")
    assert splits[UNSPLIT].ids.tolist() == ["b/1", "caf\\udce9/caf\\udce9"]
    assert not registry.add_dataset("mine", [photos], root).changed


def test_ids_tell_images_apart_that_differ_in_their_suffix_alone(tmp_path: Path, root: Path):
    photos = write(tmp_path / "photos", "a/0.png", "a/0.jpg", "a/1.jpg", "b/0.png")
    registry.add_dataset("mine", [photos], root, new=True)
    assert ids(root) == ["a/0.jpg", "a/0.png", "a/1", "b/0"]
    with pytest.raises(UserError, match=r"a/0\.jpg was given twice"):
        registry.add_dataset("mine", [photos, write(tmp_path / "more", "a/0.jpg")], root)


def test_class_folders_may_be_given_one_by_one(tmp_path: Path, root: Path):
    photos = write(tmp_path / "photos", "a/1.png", "b/1.png", "b/2.png")
    (photos / "a" / "notes.txt").write_text("hello")
    whole = registry.add_dataset("mine", [photos], root, new=True)
    each = registry.add_dataset("mine", sorted(photos.iterdir()), root / "each", new=True)
    assert each.fingerprint == whole.fingerprint
    more = write(tmp_path / "more", "c/1.png")
    registry.add_dataset("mine", [photos / "a", more], root)
    assert ids(root) == ["a/1", "c/1"]


def test_an_image_beside_class_folders_is_refused(tmp_path: Path, root: Path):
    photos = write(tmp_path / "photos", "a/1.png", "b/1.png", "0.png")
    with pytest.raises(UserError, match=r"photos/0\.png is in no class folder"):
        registry.add_dataset("mine", [photos], root, new=True)


def encode_webp(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=90)
    return stream.getvalue()


def test_bmp_and_webp_are_read_like_the_others(tmp_path: Path, root: Path):
    photos = write(tmp_path / "photos", "a/1.bmp", "a/2.WEBP", "b/1.png")
    colour = Image.fromarray(RNG.integers(0, 256, (60, 80, 3), np.uint8))
    (photos / "b" / "lossy.webp").write_bytes(encode_webp(colour))
    colour.putalpha(128)
    (photos / "b" / "alpha.webp").write_bytes(encode_webp(colour))
    registry.add_dataset("mine", [photos], root, new=True)
    pool = registry.load_dataset("mine", root)[UNSPLIT]
    assert pool.ids.tolist() == ["a/1", "a/2", "b/1", "b/alpha", "b/lossy"]
    for image, file in zip(pool.images, ("a/1.bmp", "a/2.WEBP"), strict=False):
        assert np.array_equal(image, cv2.imread(str(photos / file), cv2.IMREAD_GRAYSCALE))


def patch(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not an image", "cannot decode"),
        (encoded(".bmp")[:-1], "cannot decode"),
        (encoded(".webp")[:-1], "cannot decode"),
        (patch(encoded(".bmp"), 18, bytes(8)), "cannot decode"),
        (
            patch(encoded(".bmp"), 18, (50_000).to_bytes(4, "little") * 2),
            "64 million at most",
        ),
        (patch(encoded(".webp"), 21, b"\xff\xff\xff\xff"), "64 million at most"),
    ],
)
def test_a_damaged_or_huge_bmp_or_webp_is_one_line(
    tmp_path: Path, root: Path, content: bytes, message: str
):
    photos = write(tmp_path / "photos", "a/1.png", "b/1.png")
    (photos / "b" / "2.bmp").write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        registry.add_dataset("mine", [photos], root, new=True)
    assert "photos/b/2.bmp" in str(raised.value)


def test_images_that_are_not_read_are_counted(tmp_path: Path, root: Path):
    photos = write(tmp_path / "photos", "a/1.png", "b/1.png")
    for name in ("a/1.svg", "b/1.SVG", "b/2.jxl", "b/notes"):
        (photos / name).write_bytes(b"")
    (note,) = registry.add_dataset("mine", [photos], root, new=True).notes
    assert note == "passed over 4 files: 2 .svg, 1 .jxl, 1 without a suffix"
    for file in photos.rglob("*.png"):
        file.unlink()
    with pytest.raises(UserError, match=r"no image of mine found \(passed over 4 files"):
        registry.add_dataset("mine", [photos], root)


def test_a_telephones_data_after_the_end_of_an_image_are_passed_over(tmp_path: Path, root: Path):
    photos = write(tmp_path / "photos", "a/1.jpg", "a/2.png", "b/1.jpg", "b/2.png")
    for file in photos.rglob("*.*"):
        file.write_bytes(file.read_bytes() + b"MotionPhoto" * 100)
    registry.add_dataset("mine", [photos], root, new=True)
    assert len(ids(root)) == 4
    # A small picture within, whose end is no end of the file.
    whole = encoded(".jpg")
    torn = whole[:2] + b"\xff\xe1\x00\x06\xff\xd8\xff\xd9" + whole[2:-40]
    (photos / "b" / "3.jpg").write_bytes(torn)
    with pytest.raises(UserError, match=r"cannot decode photos/b/3\.jpg"):
        registry.add_dataset("mine", [photos], root)


def test_of_an_oblong_image_the_middle_is_taken(tmp_path: Path, root: Path):
    """As `fercore predict --whole` and the Photo page take it: nothing is squashed."""
    photos = write(tmp_path / "photos", "a/1.png", "b/1.png")
    pixels = RNG.integers(0, 256, (48, 80), dtype=np.uint8)
    for name, image in (("wide", pixels), ("high", pixels.T)):
        cv2.imwrite(str(photos / "a" / f"{name}.png"), image)
    registry.add_dataset("mine", [photos], root, new=True)
    pool = registry.load_dataset("mine", root)[UNSPLIT]
    found = dict(zip(pool.ids.tolist(), pool.images, strict=True))
    np.testing.assert_array_equal(found["a/wide"], pixels[:, 16:64])
    np.testing.assert_array_equal(found["a/high"], pixels.T[16:64])
    for shape in ((48, 80), (80, 48)):
        face = geometry.full_image_face(np.zeros(shape, np.uint8))
        assert (face.left, face.top) == ((16, 0) if shape == (48, 80) else (0, 16))


def test_a_dataset_that_was_damaged_is_replaced_by_the_same_files(tmp_path: Path, root: Path):
    photos = write(tmp_path / "photos", "a/1.png", "b/1.png")
    good = registry.add_dataset("mine", [photos], root, new=True)
    (stored,) = (root / "mine").glob("*.npz")
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 255
    stored.write_bytes(content)
    with pytest.raises(UserError, match="add the dataset again"):
        registry.load_dataset("mine", root)
    assert _image_folder.add("mine", [photos], root, size=48).fingerprint == good.fingerprint
    assert registry.load_dataset("mine", root).fingerprint == good.fingerprint
    assert stored.stat().st_mode & 0o777 == 0o644
