"""Decode untrusted image files, by the same rules for training and prediction.

The format is recognised by the content. The header is read first, so that a small file cannot
allocate gigabytes. Transparent pixels are composited on white, the EXIF orientation is applied, an
animation is read as its first frame, and levels of more than 8 bits are scaled by their range.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.images.levels import iter_strips, scale_levels

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".heic", ".heif", ".hif", ".avif"),
)
EXPECTED = "expected a complete JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC or AVIF image"
MAX_BYTES = 64 << 20
MAX_PIXELS = 64_000_000
MAX_SIDE = 32_000  # OpenCV counts positions in 16 bits

_FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF")
_SAMPLE_FORMAT = 339  # tag of a TIFF: 1 unsigned, 2 signed, 3 float
_TIFF_MAGIC = (b"II*\0", b"MM\0*")
_MAX_BYTES_PER_PIXEL = 3  # for an image with the maximum number of pixels


class ImageSize(NamedTuple):
    """The size in the header of an image file.

    Attributes:
        width: in pixels, as stored.
        height: in pixels, as stored.
        bytes_per_pixel: of the decoded image: its channels times the bytes per channel.
    """

    width: int
    height: int
    bytes_per_pixel: int

    @property
    def decoded_bytes(self) -> int:
        """Memory of the decoded image."""
        return self.width * self.height * self.bytes_per_pixel


def image_size(content: bytes, where: str) -> ImageSize:
    """Read the size of an image from its header, without decoding it.

    Args:
        content: the file's content.
        where: the file, for messages.

    Raises:
        UserError: if it is not an image of a supported format, or its header is damaged.
    """
    with _decoder_errors(where):
        header = _opencv_tiff_size(content)
        if header is not None:
            return header
        with _open_image(content) as image:
            return _size(image)
    raise AssertionError("unreachable")


def decode_image(
    content: bytes,
    where: str,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    reduce_jpeg: bool = False,
) -> NDArray[np.uint8]:
    """Decode an image file to 8 bits, upright and without transparency, as viewers show it.

    Args:
        content: the file's content.
        where: the file, for messages.
        max_bytes: maximum length of the file.
        max_pixels: maximum number of pixels at 3 bytes each; fewer with 4 channels or 16 bits.
        reduce_jpeg: decode a larger JPEG at a half, a quarter or an eighth of its size instead of
            raising.

    Returns:
        `(height, width)` or `(height, width, 3)` uint8: grey levels, or red, green, blue.

    Raises:
        UserError: if it is not an image of a supported format, damaged, or beyond one of the
            limits.
    """
    if len(content) > max_bytes:
        raise UserError(f"{where} has {len(content):,} bytes, expected {max_bytes:,} at most")
    with _decoder_errors(where):
        header = _opencv_tiff_size(content)
        if header is not None:
            _check_size(header, where, max_pixels)
            return _decode_by_opencv(content, None)
        with _open_image(content) as image:
            if reduce_jpeg and image.format in ("JPEG", "MPO"):
                _reduce_jpeg(image, max_pixels)
            _check_size(_size(image), where, max_pixels)
            is_deep = _is_deep_colour(image)
            image.load()
            _scale_transparent_level(image, content)
            pixels = _decode_by_opencv(content, image) if is_deep else _to_eight_bits(image)
            return _apply_orientation(pixels, _orientation(image))
    raise AssertionError("unreachable")


def to_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert red, green, blue to grey levels by ITU-R BT.601; grey levels are returned as is."""
    import cv2

    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


@contextmanager
def _decoder_errors(where: str) -> Iterator[None]:
    """Turn any exception of a decoder on a damaged file into a one-line `UserError`."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns about many pixels and about unusual metadata.
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(
            f"{where} has too many pixels, expected {MAX_PIXELS // 10**6} million at most"
        ) from None
    except UnidentifiedImageError:
        raise UserError(f"cannot decode {where}: {EXPECTED}") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:80]
        raise UserError(f"cannot decode {where}: {EXPECTED} ({reason})") from None


@contextmanager
def _open_image(content: bytes) -> Iterator["Image.Image"]:
    from PIL import Image

    formats = _FORMATS
    if content[4:8] == b"ftyp":
        import pi_heif

        pi_heif.register_heif_opener()
        formats = ("AVIF", "HEIF")
    with Image.open(io.BytesIO(content), formats=formats) as image:
        yield image


def _size(image: "Image.Image") -> ImageSize:
    width, height = image.size
    channels = {"1": 1, "P": 3, "I": 4, "F": 4}.get(image.mode, len(image.getbands()))
    channels += "transparency" in image.info
    is_deep = image.mode.startswith("I;16") or _is_deep_colour(image)
    return ImageSize(width, height, channels * (2 if is_deep else 1))


def _check_size(size: ImageSize, where: str, max_pixels: int) -> None:
    million = f"{max_pixels / 1e6:,.3g} million"
    shape = f"{size.width}x{size.height} pixels"
    if size.width * size.height > max_pixels:
        raise UserError(f"{where} is {shape}, expected {million} at most")
    if size.decoded_bytes > _MAX_BYTES_PER_PIXEL * max_pixels:
        raise UserError(
            f"{where} is {shape} of {size.bytes_per_pixel} bytes each, expected {million} pixels "
            f"of {_MAX_BYTES_PER_PIXEL} bytes at most"
        )
    if max(size.width, size.height) > MAX_SIDE:
        raise UserError(f"{where} is {shape}, expected {MAX_SIDE:,} a side at most")
    if not size.width * size.height:
        raise UserError(f"cannot decode {where}: {EXPECTED} (it has no pixels)")


def _reduce_jpeg(image: "Image.Image", max_pixels: int) -> None:
    """Make the decoder of a JPEG that is too large return a smaller image."""
    if image.info.get("progressive"):
        return  # all its coefficients are in memory, whatever the scale of the decoded image
    size = _size(image)
    for scale in (1, 2, 4, 8):
        width, height = size.width // scale, size.height // scale
        reduced = ImageSize(width, height, size.bytes_per_pixel)
        fits = width * height <= max_pixels and max(width, height) <= MAX_SIDE
        if fits and reduced.decoded_bytes <= _MAX_BYTES_PER_PIXEL * max_pixels:
            if scale > 1:
                image.draft(image.mode, (max(1, width), max(1, height)))
            return


def _to_eight_bits(image: "Image.Image") -> NDArray[np.uint8]:
    """Convert a loaded image to 8 bits, in strips to avoid a second copy of it in memory."""
    if image.mode.startswith("I") or image.mode == "F":
        levels = np.asarray(image)
        tags = getattr(image, "tag_v2", {})
        if levels.dtype == np.int32 and tags.get(258) == (32,) and tags.get(_SAMPLE_FORMAT) != (2,):
            levels = levels.view(np.uint32)  # Pillow reads them as signed
        grey = scale_levels(levels)
        key = image.info.get("transparency")
        if isinstance(key, int):
            grey[levels == key] = 255
        return grey
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return np.array(image.convert("L"), np.uint8)
    width, height = image.size
    colours = np.empty((height, width, 3), np.uint8)
    for rows in iter_strips(colours):
        strip = image.crop((0, rows.start, width, rows.stop))
        colours[rows] = np.asarray(_composite_on_white(strip).convert("RGB"))
    return colours


def _composite_on_white(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


def _scale_transparent_level(image: "Image.Image", content: bytes) -> None:
    """Scale the transparent level of a 2-bit or 4-bit PNG to 8 bits, as Pillow scales pixels."""
    key = image.info.get("transparency")
    if image.format == "PNG" and image.mode == "L" and isinstance(key, int):
        depth = content[24]
        image.info["transparency"] = key * 255 // (2**depth - 1)


def _is_deep_colour(image: "Image.Image") -> bool:
    """Return whether the file has 16-bit colours or transparency, of which Pillow keeps 8 bits."""
    tiles = getattr(image, "tile", ())
    return len(image.getbands()) > 1 and any(";16" in str(tile) for tile in tiles)


def _decode_by_opencv(content: bytes, image: "Image.Image | None") -> NDArray[np.uint8]:
    """Decode colours of more than 8 bits: `(height, width)` or `(height, width, 3)` uint8."""
    import cv2

    # OpenCV would print several lines for a damaged file; the error is raised below.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    levels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.dtype.kind not in "uif":
        raise ValueError("it is damaged, or its levels are of an unusual type")
    colours = levels[..., :3] if levels.ndim == 3 else levels
    eight = scale_levels(colours)
    if levels.ndim == 3 and levels.shape[2] == 4:
        opaque = 1.0 if levels.dtype.kind == "f" else 2.0 ** (8 * levels.dtype.itemsize) - 1
        for rows in iter_strips(levels):
            alpha = np.clip(levels[rows, :, 3:].astype(np.float32) / opaque, 0, 1)
            eight[rows] = np.rint(255 + (eight[rows].astype(np.float32) - 255) * alpha)
    elif eight.ndim == 3:
        key = image.info.get("transparency") if image is not None else None
        if isinstance(key, tuple):
            eight[(levels[..., ::-1] == key).all(axis=2)] = 255
    if eight.ndim == 3:
        eight = np.asarray(cv2.cvtColor(eight, cv2.COLOR_BGR2RGB, dst=eight), np.uint8)
    return eight


def _opencv_tiff_size(content: bytes) -> ImageSize | None:
    """Return the size of a TIFF that OpenCV must decode; `None` for any other image.

    Pillow does not read, or reads wrongly, colours of more than 8 bits, signed levels of 8 bits and
    floats of 64 bits.
    """
    if content[:4] not in _TIFF_MAGIC:
        return None
    from PIL import TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
    stream = io.BytesIO(content)
    stream.seek(tags.next)
    tags.load(stream)
    bits = max(np.atleast_1d(tags.get(258, 1)).tolist())
    samples = int(tags.get(277, 1))
    signed = 2 in np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1))
    if bits < 64 and not (signed and bits == 8) and (samples < 3 or bits <= 8):
        return None
    return ImageSize(int(tags[256]), int(tags[257]), samples * -(-bits // 8))


def _orientation(image: "Image.Image") -> int:
    # The decoder of a HEIC rotates it by the properties in the file; its EXIF data are ignored.
    with suppress(Exception):  # damaged metadata of an intact image
        return int(image.getexif().get(0x0112, 1))
    return 1


def _apply_orientation(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Rotate and mirror an image by its EXIF orientation, 1 to 8."""
    swapped = image.swapaxes(0, 1)
    upright = {
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: swapped,
        6: swapped[:, ::-1],
        7: swapped[::-1, ::-1],
        8: swapped[::-1],
    }.get(orientation, image)
    return np.ascontiguousarray(upright)
