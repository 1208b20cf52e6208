"""List the photos in uploaded files and ZIP archives, within limits.

The content of the files stays in Streamlit's memory. Photos are decompressed and decoded one at a
time; a session keeps their names, reduced pictures and predictions.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

from streamlit.runtime.uploaded_file_manager import UploadedFile

from fercore.errors import UserError
from fercore.inference.media.photos import PhotoArchive, ZipPhoto

MAX_FILE_BYTES = 256 << 20
MAX_PHOTOS = 500
MAX_UNPACKED_BYTES = 512 << 20
MAX_PIXELS = 24_000_000
MAX_FACES = 3000
LIMITS = (
    f"At most {MAX_PHOTOS} photos, {MAX_UNPACKED_BYTES >> 20} MB once unpacked and "
    f"{MAX_FACES:,} faces; each photo up to 64 MB and {MAX_PIXELS // 10**6} million pixels (18 "
    "million with transparency; a larger JPEG is read at a reduced size)."
)


@dataclass(frozen=True)
class UploadedPhoto:
    """One photo of an upload.

    Attributes:
        name: of the file.
        digest: identifies the photo: by its content, or by its archive and position there.
        read: returns the content of the file; may raise a `UserError`.
    """

    name: str
    digest: str
    read: Callable[[], bytes] = field(compare=False)


@dataclass(frozen=True)
class Listing:
    """The photos in an uploaded file, without their content.

    Attributes:
        digest: SHA-256 of the file.
        size: of the file in bytes.
        photos: of an archive; `None` if the file is a photo.
        refused: one message for each part that is not read, with the reason.
    """

    digest: str
    size: int
    photos: tuple[ZipPhoto, ...] | None = None
    refused: tuple[str, ...] = ()


def photo_from_bytes(name: str, content: bytes) -> UploadedPhoto:
    """Return a photo with the given content."""
    return UploadedPhoto(name, hashlib.sha256(content).hexdigest(), lambda: content)


def list_photos(file: UploadedFile) -> Listing:
    """List the photos in an uploaded file without decompressing it."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not file.name.lower().endswith(".zip"):
        return Listing(digest, file.size)
    try:
        archive = PhotoArchive(file, file.name)
    except UserError as error:
        return Listing(digest, file.size, (), (str(error),))
    refused = [f"{name} in {file.name}: not an image by its name" for name in archive.others]
    if not archive.photos:
        refused.append(f"{file.name} holds no image; expected a ZIP of photos")
    return Listing(digest, file.size, tuple(archive.photos), tuple(refused))


def within_limits(
    files: Sequence[tuple[UploadedFile, Listing]],
) -> tuple[list[UploadedPhoto], list[str]]:
    """Select the photos within the limits on their number and on their decompressed bytes.

    Args:
        files: uploaded files and their listings. The limits apply to all files together.

    Returns:
        The accepted photos in order, and one message for each refused one.
    """
    accepted: list[UploadedPhoto] = []
    refused: list[str] = []
    unpacked = too_many = 0
    for file, listing in files:
        refused += listing.refused
        archive = cache(partial(PhotoArchive, file, file.name))
        photos = [None] if listing.photos is None else listing.photos
        for photo in photos:
            name, size = (file.name, listing.size) if photo is None else (photo.name, photo.size)
            if len(accepted) >= MAX_PHOTOS:
                too_many += 1
            elif unpacked + size > MAX_UNPACKED_BYTES:
                refused.append(
                    f"{name} has {size:,} bytes once unpacked, which exceeds the limit of "
                    f"{MAX_UNPACKED_BYTES >> 20} MB for all photos together"
                )
            else:
                unpacked += size
                accepted.append(_make_photo(file, listing, photo, archive))
    if too_many:
        refused.append(
            f"received {len(accepted) + too_many:,} photos, expected {MAX_PHOTOS} at most: "
            f"the last {too_many:,} are not read"
        )
    return accepted, refused


def _make_photo(
    file: UploadedFile,
    listing: Listing,
    photo: ZipPhoto | None,
    archive: Callable[[], PhotoArchive],
) -> UploadedPhoto:
    if photo is None:
        return UploadedPhoto(file.name, listing.digest, file.getvalue)
    digest = hashlib.sha256(f"{listing.digest}-{photo.entry}".encode()).hexdigest()
    return UploadedPhoto(photo.name, digest, lambda: archive().read(photo))
