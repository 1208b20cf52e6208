"""The files that a visitor uploads to the Photo page: listed at once, read one at a time.

The uploaded files stay where Streamlit keeps them. What is inflated or decoded from them is one
photo at a time; a session keeps names, reduced pictures and predictions.
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
MAX_INFLATED = 512 << 20
MAX_PIXELS = 24_000_000
MAX_FACES = 3000
LIMITS = (
    f"At most {MAX_PHOTOS} photos, {MAX_INFLATED >> 20} MB once unpacked and {MAX_FACES:,} faces; "
    f"each photo up to 64 MB and {MAX_PIXELS // 10**6} million pixels (18 million with "
    "transparency; a larger JPEG is read at a reduced size)."
)


@dataclass(frozen=True)
class UploadedPhoto:
    """One photo that was handed in.

    Attributes:
        name: of the file.
        digest: the same for the same photo of the same upload.
        read: returns its content; may raise a `UserError`.
    """

    name: str
    digest: str
    read: Callable[[], bytes] = field(compare=False)


@dataclass(frozen=True)
class Listing:
    """What an uploaded file holds, without any of its content.

    Attributes:
        digest: of the file.
        size: of the file in bytes.
        photos: those of an archive; `None` for a file that is a photo itself.
        refused: one line for each part that is not read, with the reason.
    """

    digest: str
    size: int
    photos: tuple[ZipPhoto, ...] | None = None
    refused: tuple[str, ...] = ()


def given(name: str, content: bytes) -> UploadedPhoto:
    """A photo whose content is at hand."""
    return UploadedPhoto(name, hashlib.sha256(content).hexdigest(), lambda: content)


def listing(file: UploadedFile) -> Listing:
    """List what an uploaded file holds; nothing is inflated."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not file.name.lower().endswith(".zip"):
        return Listing(digest, file.size)
    try:
        archive = PhotoArchive(file, file.name)
    except UserError as error:
        return Listing(digest, file.size, (), (str(error),))
    refused = [f"{name} in {file.name}: no image by its name" for name in archive.others]
    if not archive.photos:
        refused.append(f"{file.name} holds no image; expected photos in it")
    return Listing(digest, file.size, tuple(archive.photos), tuple(refused))


def within_limits(
    files: Sequence[tuple[UploadedFile, Listing]],
) -> tuple[list[UploadedPhoto], list[str]]:
    """Return the photos that one upload may hold, in order, and lines on those that are not read.

    All files together share one budget of photos and of bytes once inflated.
    """
    accepted: list[UploadedPhoto] = []
    refused: list[str] = []
    inflated = too_many = 0
    for file, listed in files:
        refused += listed.refused
        archive = cache(partial(PhotoArchive, file, file.name))
        photos = [None] if listed.photos is None else listed.photos
        for photo in photos:
            name, size = (file.name, listed.size) if photo is None else (photo.name, photo.size)
            if len(accepted) >= MAX_PHOTOS:
                too_many += 1
            elif inflated + size > MAX_INFLATED:
                refused.append(
                    f"{name} has {size:,} bytes once unpacked, which makes more than the "
                    f"{MAX_INFLATED >> 20} MB that all photos may have together"
                )
            else:
                inflated += size
                accepted.append(_photo(file, listed, photo, archive))
    if too_many:
        refused.append(
            f"received {len(accepted) + too_many:,} photos, expected {MAX_PHOTOS} at most: "
            f"the last {too_many:,} are not read"
        )
    return accepted, refused


def _photo(
    file: UploadedFile,
    listed: Listing,
    photo: ZipPhoto | None,
    archive: Callable[[], PhotoArchive],
) -> UploadedPhoto:
    if photo is None:
        return UploadedPhoto(file.name, listed.digest, file.getvalue)
    digest = hashlib.sha256(f"{listed.digest}-{photo.entry}".encode()).hexdigest()
    return UploadedPhoto(photo.name, digest, lambda: archive().read(photo))
