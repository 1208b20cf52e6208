"""Decode photos that anyone may have sent: in memory, whatever they turn out to be."""

import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fercore.data.intake.members import readable
from fercore.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MAX_BYTES = 64 << 20
MAX_PIXELS = 64_000_000
MAX_SIDE = 32_000  # OpenCV counts places in 16 bits
MAX_PHOTOS = 500
MAX_ARCHIVE_BYTES = 256 << 20
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
_EXPECTED = "expected a whole JPEG, PNG, WebP, BMP, GIF or TIFF image"


def decode_photo(content: bytes, where: str) -> NDArray[np.uint8]:
    """Decode a photo as a person would see it: turned as its EXIF data say, the first frame.

    Args:
        content: the file.
        where: the file in words, for messages.

    Returns:
        `(height, width, 3)` uint8, blue, green, red. What is transparent lies on white.

    Raises:
        UserError: if it is no such image, damaged, longer than 64 MB, or larger than 64 million
            pixels, as the header states before anything is decoded.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if len(content) > MAX_BYTES:
        raise UserError(f"{where} has {len(content):,} bytes, expected {MAX_BYTES:,} at most")
    try:
        with warnings.catch_warnings():
            # Its own bound on pixels, and what is odd in a file's metadata.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise UserError(
                        f"{where} is {width}x{height} pixels, expected 64 million at most"
                    )
                if max(width, height) > MAX_SIDE:
                    raise UserError(
                        f"{where} is {width}x{height} pixels, expected {MAX_SIDE:,} a side at most"
                    )
                image.load()
                upright = ImageOps.exif_transpose(image)
                colours = _eight_bits(upright)
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"{where} has too many pixels, expected 64 million at most") from None
    except UnidentifiedImageError:
        raise UserError(f"cannot decode {where}: {_EXPECTED}") from None
    except Exception as error:  # Pillow raises whatever the decoder of a damaged file stumbles over
        reason = " ".join(str(error).split())[:80]
        raise UserError(f"cannot decode {where}: {_EXPECTED} ({reason})") from None
    return np.ascontiguousarray(colours[..., ::-1])


def _eight_bits(image: "object") -> NDArray[np.uint8]:
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.mode.startswith("I") or image.mode == "F":
        levels: NDArray[np.floating] = np.asarray(image).astype(np.float32)
        # 16 bits where the values need them, else what they are.
        levels = levels / 257 if levels.max(initial=0) > 255 else levels
        grey = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return np.asarray(image.convert("RGB"), np.uint8)


def photos_in_zip(content: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """The image files of a ZIP, by name and content, one at a time; nothing is written.

    Hidden files and folders are passed over. A name is only ever read as text.

    Raises:
        UserError: if it is no whole ZIP, holds no image or more than 500, or its images are longer
            than 256 MB once inflated: no more than that is ever read, whatever its lists say.
    """
    with readable(where):
        archive = zipfile.ZipFile(io.BytesIO(content))
    entries = [entry for entry in archive.infolist() if _is_photo(entry.filename)]
    if not entries:
        raise UserError(f"{where} holds no image; {_EXPECTED} in it")
    if len(entries) > MAX_PHOTOS:
        raise UserError(f"{where} holds {len(entries):,} images, expected {MAX_PHOTOS} at most")
    left = MAX_ARCHIVE_BYTES
    for entry in entries:
        name = PurePosixPath(entry.filename).name
        with readable(f"{name} in {where}"), archive.open(entry) as stream:
            found = stream.read(min(MAX_BYTES, left) + 1)
        left -= len(found)
        if left < 0:
            raise UserError(
                f"{where} holds images of more than {MAX_ARCHIVE_BYTES >> 20} MB once inflated; "
                "expected a smaller one, or several"
            )
        yield name, found


def photos_under(path: Path) -> list[Path]:
    """The image files of a folder and those below it, sorted; a file is itself.

    Raises:
        UserError: if the path is not there.
    """
    if path.is_dir():
        return sorted(
            found
            for found in path.rglob("*")
            if found.is_file() and _is_photo(str(found.relative_to(path)))
        )
    if not path.is_file():
        raise UserError(f"received {path}, expected an image, a video or a folder of images")
    return [path]


def _is_photo(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
    return not hidden and name.lower().endswith(SUFFIXES)
