"""Test decoding of unusual and hostile image files for training and prediction."""

import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fercore.data import registry
from fercore.data.readers.images import decode_grey, decode_scaled
from fercore.data.splits import UNSPLIT
from fercore.errors import UserError
from fercore.faces import cropping
from fercore.images import levels as levels_module
from fercore.images.decoding import IMAGE_SUFFIXES, decode_image, image_size, to_grey
from fercore.inference.media.photos import decode_photo, list_photos
from tests.hostile import images

SIDE = images.SIDE
FORMATS = images.formats()
TRANSPARENT = images.transparent()
DAMAGED = images.damaged()


def for_training(content: bytes) -> np.ndarray:
    return decode_scaled(content, (SIDE, SIDE), "photo").astype(int)


def for_prediction(content: bytes) -> np.ndarray:
    return cropping.to_grey(decode_photo(content, "photo")).astype(int)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_alike_on_both_sides(name: str):
    assert np.abs(for_training(FORMATS[name]) - images.eight()).mean() < 2
    np.testing.assert_array_equal(for_training(FORMATS[name]), for_prediction(FORMATS[name]))
    assert Path(name).suffix in IMAGE_SUFFIXES


@pytest.mark.parametrize("name", TRANSPARENT)
def test_what_is_transparent_lies_on_white_on_both_sides(name: str):
    for grey in (for_training(TRANSPARENT[name]), for_prediction(TRANSPARENT[name])):
        # AVIF and HEIC blur the edge of their transparency.
        assert grey[:, : SIDE // 2 - 4].min() >= 250
        assert np.median(grey[:, SIDE // 2 + 4 :]) <= 5


def test_half_transparent_pixels_are_blended_alike_in_8_and_in_16_bits():
    half = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 128))
    wide = np.zeros((SIDE, SIDE, 4), np.uint16)
    wide[..., 3] = 128 * 257
    for content in (images.saved(half, "PNG"), images.by_opencv(wide, ".png")):
        assert np.abs(for_training(content) - 127).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_levels_of_any_depth_in_16_bits_keep_their_range(bits: int, suffix: str, channels: int):
    content = images.deep(bits, suffix, channels)
    for grey in (for_training(content), for_prediction(content)):
        assert np.abs(grey - images.eight()).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 1.01), (0, 255), (0, 1023), (0, 65_535), (-1, 1)]
)
def test_floats_keep_their_range(low: float, high: float, channels: int):
    content = images.floats(low, high, channels)
    for grey in (for_training(content), for_prediction(content)):
        assert np.abs(grey - images.eight()).max() <= 3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("low", "high"), [(-100, 100), (-2.5, 2), (-1000, 3000), (0, 0.003), (0, 1e9), (0, 1e37)]
)
def test_floats_of_ranges_without_a_convention_are_not_cut_off(
    low: float, high: float, channels: int
):
    content = images.floats(low, high, channels)
    assert np.abs(for_training(content) - images.eight()).max() <= 1


@pytest.mark.parametrize(
    ("dtype", "low", "high", "channels"),
    [
        (np.int8, -128, 127, 1),
        (np.int8, -128, 127, 3),
        (np.int16, -1000, 1000, 1),
        (np.int16, -1024, 3071, 3),
        (np.int16, 0, 32_767, 1),
        (np.int32, -1000, 1000, 1),
        (np.int32, 0, 100_000, 1),
        (np.uint32, 0, 2**32 - 1, 1),
        (np.float64, 0, 1, 1),
        (np.float64, 0, 1, 3),
    ],
)
def test_signed_and_wide_levels_keep_their_range(
    dtype: type, low: float, high: float, channels: int
):
    levels = np.rint(low + images.ramp(high - low)) if high > 1 else images.ramp(high)
    grey = levels if channels == 1 else np.dstack([levels] * channels)
    content = images.plain_tiff(grey.astype(dtype))
    assert np.abs(for_training(content) - images.eight()).max() <= 1


def test_a_filters_overshoot_is_cut_off():
    assert np.abs(for_training(images.floats(-3, 255)) - images.eight()).max() <= 4


def test_opencv_prints_nothing_about_a_damaged_file(capfd: pytest.CaptureFixture[str]):
    half = images.plain_tiff(np.dstack([images.ramp(1)] * 3).astype(np.float16))
    with pytest.raises(UserError, match="cannot decode photo"):
        for_prediction(half)
    assert capfd.readouterr().err == ""


def test_what_is_no_number_does_not_blacken_the_others():
    grey = for_training(images.float_with_nan())
    assert (grey[0, 0], grey[0, 1]) == (0, 255)
    assert np.abs(grey - images.eight())[1:].max() <= 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_both_sides_turn_a_photo_as_its_exif_data_say(kind: str, orientation: int):
    content = images.turned(kind, orientation)
    asked = for_prediction(content)
    assert asked.shape == (SIDE, 2 * SIDE)
    trained = for_training(content)
    np.testing.assert_array_equal(trained, asked[:, SIDE // 2 : SIDE // 2 + SIDE])
    assert trained[:, : SIDE // 2 - 8].min() > 180
    assert trained[:, SIDE // 2 + 8 :].max() < 20


@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiffs_of_any_depth_are_turned(dtype: type, channels: int, orientation: int):
    high = {np.uint8: 255, np.uint16: 65_535, np.float32: 1}[dtype]
    seen = np.zeros((SIDE, 2 * SIDE), dtype)
    seen[:, :SIDE] = high
    seen[: SIDE // 4] = 0
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        6: np.rot90(seen),
        8: np.rot90(seen, -1),
    }[orientation]
    levels = stored if channels == 1 else np.dstack([stored] * 3)
    found = for_prediction(images.plain_tiff(np.ascontiguousarray(levels), orientation))
    np.testing.assert_array_equal(found, 255 * (seen > 0))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_transparent_level_is_counted_in_the_depth_of_the_file(depth: int):
    for key in (0, 2**depth // 2, 2**depth - 1):
        grey = for_training(images.grey_png(depth, key))
        levels = np.arange(SIDE) * 2**depth // SIDE
        expected = np.where(levels == key, 255, levels * 255 // (2**depth - 1))
        np.testing.assert_array_equal(grey[0], expected)


def test_grey_and_transparency_of_16_bits_are_blended():
    assert set(for_training(images.png_of_one_level(SIDE, SIDE, 4, 16)).ravel()) == {191}


def test_a_dataset_of_one_size_is_turned_as_well():
    seen = np.zeros((48, 48), np.uint8)
    seen[:24] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    content = images.saved(Image.fromarray(seen[::-1, ::-1]), "PNG", exif=exif)
    np.testing.assert_array_equal(decode_grey(content, (48, 48), "photo"), seen)


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_one_line_on_both_sides(name: str):
    for read in (for_training, for_prediction):
        with pytest.raises(UserError, match="photo") as raised:
            read(DAMAGED[name])
        assert "\n" not in str(raised.value)
    with suppress(UserError):  # a header may be whole where the rest is not
        image_size(DAMAGED[name], "photo")


def test_reading_a_damaged_file_raises_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content in DAMAGED.values():
            with pytest.raises(UserError):
                decode_image(content, "photo")


def test_limits_count_channels_and_depth_and_nothing_is_decoded_before(
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(self: Image.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    for colour_type, depth, size in ((6, 8, 4), (2, 16, 6), (6, 16, 8)):
        content = images.png_of_one_level(800, 800, colour_type, depth)
        assert image_size(content, "photo") == (800, 800, size)
        for decode in (decode_image, decode_photo):
            with pytest.raises(UserError, match=r"0\.64 million pixels of 3 bytes at most"):
                decode(content, "photo", max_pixels=640_000)
    with pytest.raises(UserError, match="expected 1,000 at most"):
        decode_image(images.png_of_one_level(800, 800), "photo", max_bytes=1_000)


def test_a_small_file_of_64_million_transparent_pixels_is_refused():
    content = images.png_of_one_level(8_000, 8_000)
    assert len(content) < 400_000
    for decode in (decode_image, decode_photo):
        with pytest.raises(UserError, match="8000x8000 pixels of 4 bytes each"):
            decode(content, "photo")


def test_a_large_jpeg_is_reduced_where_that_is_asked_for():
    content = images.saved(
        Image.fromarray(images.eight()).convert("RGB").resize((1024, 1024)), "JPEG"
    )
    with pytest.raises(UserError, match=r"expected 0\.1 million at most"):
        decode_image(content, "photo", max_pixels=100_000)
    found = decode_image(content, "photo", max_pixels=100_000, reduce_jpeg=True)
    assert found.shape == (256, 256, 3)
    whole = decode_photo(content, "photo", max_pixels=1 << 20, reduce_jpeg=True)
    assert whole.shape == (1024, 1024, 3)
    png = images.png_of_one_level(1024, 1024, 2)
    with pytest.raises(UserError, match="at most"):
        decode_image(png, "photo", max_pixels=100_000, reduce_jpeg=True)


def test_strips_join_without_a_seam(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(levels_module, "_STRIP_PIXELS", 5 * SIDE)
    found = decode_image(FORMATS["colour.png"], "photo")
    np.testing.assert_array_equal(to_grey(found), images.eight())


def test_folders_of_every_format_become_a_dataset_and_are_asked_about(tmp_path: Path):
    for name, content in FORMATS.items():
        for mood in ("happy", "sad"):
            (tmp_path / "set" / mood).mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / mood / name).write_bytes(content)
    report = registry.add_dataset("mine", [tmp_path / "set"], tmp_path / "root", new=True)
    assert report.notes == ()
    assert len(registry.load_dataset("mine", tmp_path / "root")[UNSPLIT]) == 2 * len(FORMATS)
    assert len(list_photos(tmp_path / "set")) == 2 * len(FORMATS)
