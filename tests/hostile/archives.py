"""Build hostile archives and images: small files with content larger than the memory."""

import io
import struct
import zipfile
import zlib

from tests.hostile.images import saved


def zipped(files: dict[str, bytes]) -> bytes:
    """Build a ZIP of these files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def zip_of_zeros(members: int, megabytes: int) -> bytes:
    """Build a small ZIP of members named as images, each with that many megabytes of zeros."""
    return zipped({f"{number}.png": bytes(megabytes << 20) for number in range(members)})


def zip_of_many(members: int) -> bytes:
    """Build a ZIP of that many empty photos."""
    return zipped({f"{number}.png": b"" for number in range(members)})


def lying_zip() -> bytes:
    """Build a ZIP that declares 10 bytes for a member that unpacks to 40 MB."""
    content = bytearray(zip_of_zeros(1, 40))
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = content.find(signature)
        content[start + place : start + place + 4] = struct.pack("<I", 10)
    return bytes(content)


def encrypted_zip() -> bytes:
    """Build a ZIP with a member that is marked as encrypted."""
    content = bytearray(zipped({"secret.png": b"x" * 100}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + place] |= 1
    return bytes(content)


def flat_png(width: int, height: int, channels: int = 4) -> bytes:
    """Build a PNG of one colour: about 100 kB that decode to `width * height * channels` bytes."""
    kind = {1: 0, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    packer = zlib.compressobj(9)
    row = b"\0" + bytes([90] * channels) * width
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def large_jpeg(width: int = 9000, height: int = 6000) -> bytes:
    """Build a JPEG of one colour with 54 million pixels, as a large camera has."""
    from PIL import Image

    return saved(Image.new("RGB", (width, height), (120, 90, 60)), "JPEG", quality=30)
