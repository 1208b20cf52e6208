import io
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from fercore.errors import UserError
from fercore.inference.media.photos import PhotoArchive, decode_photo, list_photos
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
    decoded = decode_photo(saved(RGB, kind), "photo")
    assert decoded.shape == (64, 96, 3)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - np.asarray(RGB)[..., ::-1]).mean() < 6


def test_colours_are_blue_green_red():
    red = decode_photo(saved(Image.new("RGB", (8, 8), "red"), "PNG"), "photo")
    assert red[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_rotated_as_their_exif_data_say(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    # A wide photo with a bright top left corner, after rotation.
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
    decoded = decode_photo(saved(Image.fromarray(stored), "PNG", exif=exif), "photo")
    assert np.array_equal(decoded[..., 0], seen)


def test_unusual_pixel_formats_become_eight_bits():
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
    decoded = decode_photo(saved(frames[0], kind, save_all=True, append_images=frames[1:]), "photo")
    assert decoded[0, 0, 2] > 200


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
def test_a_file_that_is_not_a_photo_gives_a_one_line_error(name):
    with pytest.raises(UserError) as raised:
        decode_photo(HOSTILE[name], "upload.jpg")
    assert "upload.jpg" in str(raised.value)
    assert "expected" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_zip_lists_its_photos_by_file_name():
    content = zipped(
        **{
            "../../etc/evil.png": saved(RGB, "PNG"),
            "folder/b.jpg": saved(RGB, "JPEG"),
            "C:\\windows\\c.png": saved(RGB, "PNG"),
            "__MACOSX/._b.jpg": b"x",
            ".hidden.png": b"x",
            "texts/notes.txt": b"x",
        }
    )
    archive = PhotoArchive(io.BytesIO(content), "holiday.zip")
    assert [photo.name for photo in archive.photos] == ["evil.png", "b.jpg", "c.png"]
    assert archive.others == ["notes.txt"]
    assert archive.read(archive.photos[1]) == saved(RGB, "JPEG")


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 no archive", zipped(**{"a.png": b"x"})[:-10]]
)
def test_a_file_that_is_not_a_zip_gives_a_one_line_error(content):
    with pytest.raises(UserError, match=r"cannot read holiday\.zip"):
        PhotoArchive(io.BytesIO(content), "holiday.zip")


def test_a_damaged_member_is_named_when_it_is_read():
    content = bytearray(zipped(**{"a.png": b"x" * 1000, "b.png": b"whole"}))
    content[40] ^= 0xFF
    archive = PhotoArchive(io.BytesIO(bytes(content)), "holiday.zip")
    with pytest.raises(UserError, match=r"a\.png in holiday\.zip"):
        archive.read(archive.photos[0])
    assert archive.read(archive.photos[1]) == b"whole"


def test_folders_give_their_photos_sorted(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.png", "a.JPG", "sub/c.webp", "notes.txt", ".d.png"):
        (tmp_path / name).write_bytes(b"x")
    names = [path.relative_to(tmp_path).as_posix() for path in list_photos(tmp_path)]
    assert names == ["a.JPG", "b.png", "sub/c.webp"]
    with pytest.raises(UserError, match="expected an image"):
        list_photos(tmp_path / "absent")
    # The folder itself may lie below a hidden one.
    (tmp_path / ".hidden" / "photos").mkdir(parents=True)
    (tmp_path / ".hidden" / "photos" / "e.png").write_bytes(b"x")
    assert [path.name for path in list_photos(tmp_path / ".hidden" / "photos")] == ["e.png"]


def test_opencv_and_pillow_agree_on_a_photo():
    content = saved(RGB, "JPEG", quality=95)
    ours = decode_photo(content, "photo").astype(int)
    theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).astype(int)
    assert np.abs(ours - theirs).max() <= 4
