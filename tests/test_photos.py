import io
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from fercore.errors import UserError
from fercore.photos import decode_photo, photos_in_zip, photos_under
from tests.photos import astronaut, encoded, huge_png, saved

RGB = Image.fromarray(np.ascontiguousarray(astronaut()[:64, :96, ::-1]))


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_photos_come_in_the_usual_formats(kind):
    found = decode_photo(saved(RGB, kind), "photo")
    assert found.shape == (64, 96, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - np.asarray(RGB)[..., ::-1]).mean() < 6


def test_colours_are_blue_green_red():
    red = decode_photo(saved(Image.new("RGB", (8, 8), "red"), "PNG"), "photo")
    assert red[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_as_their_exif_data_say(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Bright top left corner, as a viewer is to see it, in a wide photo.
    seen = np.zeros((40, 80), np.uint8)
    seen[:20, :20] = 255
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.T,
        6: np.rot90(seen),
        7: seen[::-1, ::-1].T,
        8: np.rot90(seen, -1),
    }[orientation]
    found = decode_photo(saved(Image.fromarray(stored), "PNG", exif=exif), "photo")
    assert np.array_equal(found[..., 0], seen)


def test_odd_kinds_of_pixels_become_eight_bits():
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    sixteen = decode_photo(encoded(grey, ".png"), "photo")
    assert np.abs(sixteen[..., 0].astype(float) - grey / 257).max() <= 0.5
    cmyk = decode_photo(saved(RGB.convert("CMYK"), "JPEG"), "photo")
    assert np.abs(cmyk.astype(int) - np.asarray(RGB)[..., ::-1]).mean() < 12
    clear = decode_photo(saved(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"), "photo")
    assert clear.min() == 255
    palette = decode_photo(saved(RGB.convert("P"), "PNG"), "photo")
    assert palette.shape == (64, 96, 3)
    assert decode_photo(saved(RGB.convert("1"), "PNG"), "photo").shape == (64, 96, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue", "green")]
    found = decode_photo(saved(frames[0], kind, save_all=True, append_images=frames[1:]), "photo")
    assert found[0, 0, 2] > 200


HOSTILE = {
    "zero bytes": b"",
    "text": b"hello, I am no photo",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "truncated": saved(RGB, "JPEG")[:600],
    "truncated png": saved(RGB, "PNG")[:-200],
    "fake jpeg": b"\xff\xd8\xff\xe0" + b"A" * 500 + b"\xff\xd9",
    "huge": huge_png(),
    "quite large": huge_png(9000, 9000),
    "too long": saved(Image.new("L", (40_000, 2)), "PNG"),
    "zip": zipped(a=b"x"),
    "html": b"<html><body>GIF89a</body></html>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_photo_is_one_line(name):
    with pytest.raises(UserError) as raised:
        decode_photo(HOSTILE[name], "upload.jpg")
    assert "upload.jpg" in str(raised.value)
    assert "expected" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_zip_gives_its_photos_by_name_alone():
    content = zipped(
        **{
            "../../etc/evil.png": saved(RGB, "PNG"),
            "folder/b.jpg": saved(RGB, "JPEG"),
            "C:\\windows\\c.png": saved(RGB, "PNG"),
            "__MACOSX/._b.jpg": b"x",
            ".hidden.png": b"x",
            "notes.txt": b"x",
        }
    )
    names = [name for name, _ in photos_in_zip(content, "holiday.zip")]
    assert [name.split("\\")[-1] for name in names] == ["evil.png", "b.jpg", "c.png"]


def test_zips_that_hold_no_photo_or_too_many_or_too_much_are_one_line(monkeypatch):
    for content, message in [
        (b"", "holiday.zip"),
        (b"PK\x03\x04 no archive", "holiday.zip"),
        (zipped(**{"\u00e9.png": b"x"}).replace("\u00e9".encode(), b"\xe9\xe9"), "holiday.zip"),
        (zipped(**{"a.txt": b"x"}), "holds no image"),
        (zipped(**{f"{n}.png": b"" for n in range(501)}), "501 images"),
    ]:
        with pytest.raises(UserError, match=message):
            list(photos_in_zip(content, "holiday.zip"))


def test_a_zip_bomb_is_inflated_to_the_bound_and_refused():
    bomb = zipped(**{"a.png": b"\0" * (80 << 20)})
    assert len(bomb) < 100_000
    ((_, content),) = photos_in_zip(bomb, "holiday.zip")
    with pytest.raises(UserError, match="67,108,864 at most"):
        decode_photo(content, "a.png")


def test_many_small_bombs_are_refused_together():
    bombs = zipped(**{f"{n}.png": b"\0" * (40 << 20) for n in range(12)})
    assert len(bombs) < 1_000_000
    photos = photos_in_zip(bombs, "holiday.zip")
    read = sum(len(next(photos)[1]) for _ in range(6))
    assert read == 240 << 20
    with pytest.raises(UserError, match="more than 256 MB"):
        next(photos)


def test_folders_give_their_photos_sorted(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.png", "a.JPG", "sub/c.webp", "notes.txt", ".d.png"):
        (tmp_path / name).write_bytes(b"x")
    found = [path.relative_to(tmp_path).as_posix() for path in photos_under(tmp_path)]
    assert found == ["a.JPG", "b.png", "sub/c.webp"]
    with pytest.raises(UserError, match="expected an image"):
        photos_under(tmp_path / "absent")
    # The folder itself may lie below a hidden one.
    (tmp_path / ".hidden" / "photos").mkdir(parents=True)
    (tmp_path / ".hidden" / "photos" / "e.png").write_bytes(b"x")
    assert [path.name for path in photos_under(tmp_path / ".hidden" / "photos")] == ["e.png"]


def test_opencv_and_pillow_agree_on_a_photo():
    content = saved(RGB, "JPEG", quality=95)
    ours = decode_photo(content, "photo").astype(int)
    theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).astype(int)
    assert np.abs(ours - theirs).max() <= 4
