"""Build unusual and hostile image files: unusual pixels and formats, and too large images."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

SIDE = 64


def ramp(high: float = 255.0) -> np.ndarray:
    """Return grey levels from 0 to `high`, rising to the right and down: `(64, 64)` float64."""
    steps = np.arange(SIDE, dtype=np.float64)
    return high * (steps[None] + steps[:, None]) / (2 * SIDE - 2)


def eight() -> np.ndarray:
    """Return the ramp in 8 bits, the expected result of decoding any file of it."""
    return np.rint(ramp()).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Encode an image with Pillow."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def by_opencv(levels: np.ndarray, suffix: str) -> bytes:
    """Encode levels of any depth with OpenCV."""
    return cv2.imencode(suffix, levels)[1].tobytes()


def deep(bits: int, suffix: str, channels: int = 1) -> bytes:
    """Encode the ramp in levels of `bits` bits, stored in 16 as scanners do."""
    levels = np.rint(ramp(2**bits - 1)).astype(np.uint16)
    return by_opencv(levels if channels == 1 else np.dstack([levels] * channels), suffix)


def floats(low: float, high: float, channels: int = 1) -> bytes:
    """Encode the ramp as a TIFF of floats from `low` to `high`."""
    levels = (low + ramp(high - low)).astype(np.float32)
    return by_opencv(levels if channels == 1 else np.dstack([levels] * channels), ".tiff")


def float_with_nan() -> bytes:
    """Encode floats from 0 to 1 with one NaN and one infinite value."""
    levels = ramp(1.0).astype(np.float32)
    levels[0, 0], levels[0, 1] = np.nan, np.inf
    return by_opencv(levels, ".tiff")


def transparent() -> dict[str, bytes]:
    """Return black images with a transparent left half, in every form that formats have."""
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    alpha[:, SIDE // 2 :] = 255
    black = Image.new("RGB", (SIDE, SIDE), (0, 0, 0))
    rgba = black.copy()
    rgba.putalpha(Image.fromarray(alpha))
    la = Image.merge("LA", [Image.new("L", (SIDE, SIDE), 0), Image.fromarray(alpha)])
    index = Image.fromarray((alpha // 255).astype(np.uint8), "P")
    index.putpalette([0, 0, 0, 0, 0, 0])
    keyed = np.zeros((SIDE, SIDE), np.uint8)
    keyed[:, : SIDE // 2] = 7
    wide = np.zeros((SIDE, SIDE, 4), np.uint16)
    wide[..., 3] = alpha.astype(np.uint16) * 257
    key16 = keyed.astype(np.uint16)
    key16[0, -1] = 65_535  # so that the levels take 16 bits
    return {
        "rgba.png": saved(rgba, "PNG"),
        "la.png": saved(la, "PNG"),
        "palette.png": saved(index, "PNG", transparency=bytes([0, 255])),
        "palette-index.png": saved(index, "PNG", transparency=0),
        "palette.gif": saved(index, "GIF", transparency=0),
        "grey-key.png": saved(Image.fromarray(keyed), "PNG", transparency=7),
        "colour-key.png": saved(
            Image.fromarray(np.dstack([keyed] * 3)), "PNG", transparency=(7, 7, 7)
        ),
        "grey-key-16.png": saved(Image.fromarray(key16), "PNG", transparency=7),
        "rgba.webp": saved(rgba, "WEBP", lossless=True, exact=True),
        "rgba.tiff": saved(rgba, "TIFF"),
        "rgba-16.png": by_opencv(wide, ".png"),
        "rgba-16.tiff": by_opencv(wide, ".tiff"),
        "rgba.avif": saved(rgba, "AVIF", quality=100),
        "rgba.heic": heic(rgba),
    }


def heic(image: Image.Image) -> bytes:
    """Encode a photo as Apple's telephones do."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=-1)
    return file.getvalue()


def formats() -> dict[str, bytes]:
    """Return the ramp in every supported format and pixel type, by file name."""
    grey = Image.fromarray(eight())
    colour = grey.convert("RGB")
    return {
        "grey.png": saved(grey, "PNG"),
        "colour.png": saved(colour, "PNG"),
        "palette.png": saved(grey.convert("P"), "PNG"),
        "photo.jpg": saved(colour, "JPEG", quality=100),
        "photo.jpe": saved(grey, "JPEG", quality=100),
        "photo.jfif": saved(colour, "JPEG", quality=100),
        "cmyk.jpeg": saved(colour.convert("CMYK"), "JPEG", quality=100),
        "photo.webp": saved(colour, "WEBP", lossless=True),
        "photo.bmp": saved(colour, "BMP"),
        "photo.dib": saved(colour, "DIB"),
        "photo.gif": saved(grey, "GIF"),
        "animated.gif": saved(
            grey, "GIF", save_all=True, append_images=[Image.new("L", grey.size, 9)]
        ),
        "photo.tif": saved(grey, "TIFF"),
        "photo.tiff": saved(colour, "TIFF", compression="tiff_lzw"),
        "photo.heic": heic(colour),
        "photo.heif": heic(grey),
        "photo.avif": saved(colour, "AVIF", quality=100),
    }


def turned(kind: str, orientation: int) -> bytes:
    """Encode a wide image with a bright left half, stored so that its EXIF tag restores it."""
    seen = np.zeros((SIDE, 2 * SIDE), np.uint8)
    seen[:, :SIDE] = 200
    stored = {1: seen, 3: seen[::-1, ::-1], 6: np.rot90(seen), 8: np.rot90(seen, -1)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(stored), kind, exif=exif)


def plain_tiff(levels: np.ndarray, orientation: int = 1) -> bytes:
    """Encode an uncompressed TIFF of levels of any type, with an EXIF orientation."""
    height, width = levels.shape[:2]
    samples = 1 if levels.ndim == 2 else levels.shape[2]
    bits, kind = 8 * levels.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[levels.dtype.kind]
    pixels = levels.astype(levels.dtype.newbyteorder("<")).tobytes()
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, samples, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 1 if samples == 1 else 2),
        (273, 4, 1, 0),
        (274, 3, 1, orientation),
        (277, 3, 1, samples),
        (278, 4, 1, height),
        (279, 4, 1, len(pixels)),
        (284, 3, 1, 1),
        (339, 3, samples, kind),
    ]
    start = 8 + 2 + 12 * len(entries) + 4
    several = struct.pack("<3H", *[bits] * 3) + struct.pack("<3H", *[kind] * 3)
    directory = struct.pack("<H", len(entries))
    for tag, code, count, value in entries:
        if tag == 273:
            value = start + len(several)
        if count > 1:
            value, code = start + (6 if tag == 339 else 0), 3
        directory += struct.pack("<HHII", tag, code, count, value)
    return b"II*\0\x08\0\0\0" + directory + bytes(4) + several + pixels


def grey_png(depth: int, key: int) -> bytes:
    """Encode a PNG of 1 to 8 bits, brighter to the right, with one transparent level."""
    levels = np.tile(np.arange(SIDE) * 2**depth // SIDE, (SIDE, 1)).astype(np.uint8)
    bits = np.unpackbits(levels[..., None], axis=2)[..., 8 - depth :].reshape(SIDE, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, 0, 0, 0, 0)
    return _png(header, zlib.compress(rows), _chunk(b"tRNS", struct.pack(">H", key)))


def png_of_one_level(width: int, height: int, colour_type: int = 6, depth: int = 8) -> bytes:
    """Encode a valid PNG of one colour: a few hundred kilobytes that decode to gigabytes."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    row = b"\0" + b"\x80" * (width * channels * depth // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return _png(struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0), packed)


def _png(header: bytes, packed: bytes, between: bytes = b"") -> bytes:
    parts = (_chunk(b"IHDR", header), between, _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def damaged() -> dict[str, bytes]:
    """Return files that are not images, are incomplete, or declare a false size."""
    grey = Image.fromarray(eight())
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8))
    whole = {
        "png": saved(noise, "PNG"),
        "jpg": saved(noise, "JPEG"),
        "webp": saved(noise, "WEBP", lossless=True),
        "tiff": saved(noise, "TIFF"),
        "bmp": saved(noise, "BMP"),
        "heic": heic(noise.convert("RGB")),
        "avif": saved(noise.convert("RGB"), "AVIF"),
    }
    halves = {f"half.{kind}": content[: len(content) // 2] for kind, content in whole.items()}
    heads = {f"head.{kind}": content[:12] for kind, content in whole.items()}
    loop = saved(grey, "TIFF")
    return {
        **halves,
        **heads,
        "empty.png": b"",
        "text.jpg": b"not an image",
        "page.gif": b"<html>GIF89a</html>",
        "tiff-header.tif": b"II*\0\x08\0\0\0",
        "tiff-entries.tif": b"II*\0\x08\0\0\0" + b"\xff\xff" + b"\0" * 40,
        "tiff-bits.tif": loop[:8] + b"\x01\0\x02\x01\x03\0\xff\xff\xff\xff\0\0\0\0" + loop[8:],
        "other.heic": b"\0\0\0\x18ftypheic" + b"\0" * 40,
        "other.avif": b"\0\0\0\x18ftypavif" + b"\0" * 40,
        "film.heic": b"\0\0\0\x18ftypisom" + b"\0" * 40,
    }
