"""Iterate over the files of a folder, a ZIP, a TAR or a table, without extracting any of them.

Names inside an archive are read as text only: no path is built from them. An archive may have up to
500,000 files and 32 GB of content.
"""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fercore.errors import UserError
from fercore.io.file_names import storable_name
from fercore.io.files import sha256_of_file

TABLES = (".csv",)
ZIPS = (".zip",)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
LINKS, PARENT_REFERENCES = "links", 'names with ".."'
MAX_MEMBERS = 500_000
MAX_INFLATED = 32 << 30
_MAX_READ = 128 << 20  # per call: more than any member or header of a TAR that is read
_MAX_DIRECTORY = 64 << 20  # bytes of the central directory at the end of a ZIP
_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
EXPECTED = "a folder, or a file that ends in " + ", ".join(TABLES + ZIPS + TARS)


@dataclass(frozen=True)
class Member:
    """One file, valid until the next one is requested (a TAR is read front to back).

    Attributes:
        name: path with forward slashes; begins with the name of the folder, or with that of the
            archive without its suffix.
        where: the file, for messages.
        open: opens its content.
    """

    name: str
    where: str
    open: Callable[[], IO[bytes]]

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of its path, outermost first."""
        return PurePosixPath(self.name).parts[:-1]

    @property
    def stem(self) -> str:
        """Its file name without the suffix."""
        return PurePosixPath(self.name).stem

    def has_suffix(self, suffixes: tuple[str, ...]) -> bool:
        """Return whether its name has one of these suffixes, in upper or lower case."""
        return self.name.lower().endswith(suffixes)

    def read(self, limit: int) -> bytes:
        """Read its content.

        Args:
            limit: maximum number of bytes, so that no archive can fill the memory.

        Raises:
            UserError: if it cannot be read or is longer.
        """
        with archive_errors(self.where), self.open() as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise UserError(f"{self.where} has more than {limit} bytes, expected a small file")
        return content


@contextmanager
def archive_errors(where: str) -> Iterator[None]:
    """Turn the exceptions of the archive readers on a damaged file into a one-line `UserError`."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        RuntimeError,  # an encrypted ZIP, or one of a compression that Python lacks
        UnicodeDecodeError,  # a name in a ZIP that is not in the encoding that the ZIP declares
    ) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or "ends too early"
        if isinstance(error, RuntimeError) and "encrypted" in reason:
            reason = "it is encrypted"
        raise UserError(
            f"cannot read {where} ({reason}): expected a complete, unencrypted file; "
            "download it again and compare its checksum"
        ) from error


def walk(path: Path, left_out: Counter[str] | None = None) -> Iterator[Member]:
    """Iterate over the regular, visible files under a path, and in archives in a folder.

    Hidden files, `__MACOSX`, links, and names with `..` are left out. An archive inside an archive
    is yielded as a plain file.

    Args:
        path: a folder, or a file with a known suffix.
        left_out: counts the links and the names with `..` that are left out.

    Raises:
        UserError: if there is no such path, its suffix is unknown, or it is damaged.
    """
    left_out = Counter() if left_out is None else left_out
    if os.path.isdir(path):
        yield from _walk_folder(path, left_out)
    elif not os.path.exists(path):
        raise _missing_path_error(path)
    elif _has_suffix(path.name, TABLES):
        yield Member(path.name, storable_name(path.name), lambda: path.open("rb"))
    elif _has_suffix(path.name, ZIPS):
        yield from _walk_zip(path, left_out)
    elif _has_suffix(path.name, TARS):
        yield from _walk_tar(path, left_out)
    else:
        raise UserError(f"received {storable_name(path.name)}, expected {EXPECTED}")


def sha256_of_path(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all visible files in a folder.

    Raises:
        UserError: if there is no such path, or it cannot be read.
    """
    if not os.path.exists(path):
        raise _missing_path_error(path)
    with archive_errors(storable_name(path.name)):
        if not path.is_dir():
            return sha256_of_file(path)
        digest = hashlib.sha256()
        for file, name in _visible_files(path, Counter()):
            line = f"{sha256_of_file(file)}  {name}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()


def _walk_folder(folder: Path, left_out: Counter[str]) -> Iterator[Member]:
    for file, name in _visible_files(folder, left_out):
        if _has_suffix(file.name, ZIPS + TARS):
            yield from walk(file, left_out)
        else:
            where = storable_name(name)
            yield Member(name, where, lambda file=file: file.open("rb"))  # type: ignore[misc]


def _visible_files(folder: Path, left_out: Counter[str]) -> Iterator[tuple[Path, str]]:
    """Iterate over files and their paths, which begin with the folder's name, in a fixed order."""
    base = folder.resolve()
    with archive_errors(storable_name(folder.name)):
        for parent, subfolders, files in os.walk(base):
            subfolders[:] = sorted(name for name in subfolders if _is_visible(name))
            left_out[LINKS] += sum(os.path.islink(os.path.join(parent, n)) for n in subfolders)
            for file in (Path(parent, name) for name in sorted(files) if _is_visible(name)):
                if file.is_symlink():
                    left_out[LINKS] += 1
                elif file.is_file():
                    yield file, PurePosixPath(base.name, file.relative_to(base)).as_posix()


def _walk_zip(path: Path, left_out: Counter[str]) -> Iterator[Member]:
    name = storable_name(path.name)
    with archive_errors(name):
        with path.open("rb") as stream:
            check_zip_directory(stream, name, _MAX_DIRECTORY)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            limits = _Limits(name)
            for info in entries:
                limits.count(info.file_size)
            for info in entries:
                is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
                inner = info.filename.replace("\\", "/")  # as some programs on Windows write it
                if is_link or _has_parent_reference(inner):
                    left_out[LINKS if is_link else PARENT_REFERENCES] += 1
                elif not info.is_dir() and _is_visible(inner):
                    yield Member(
                        _inner_name(path, inner),
                        f"{name}: {storable_name(info.filename)}",
                        lambda info=info: archive.open(info),  # type: ignore[misc]
                    )


def _walk_tar(path: Path, left_out: Counter[str]) -> Iterator[Member]:
    name = storable_name(path.name)
    with (
        archive_errors(name),
        path.open("rb") as raw,
        _BoundedReader(_decompress(raw), name) as content,
        tarfile.open(fileobj=content, mode="r:") as archive,
    ):
        limits = _Limits(name)
        for info in archive:
            limits.count(info.size)
            has_parent = _has_parent_reference(info.name)
            if info.issym() or info.islnk() or has_parent:
                left_out[PARENT_REFERENCES if has_parent else LINKS] += 1
            elif info.isfile() and _is_visible(info.name):
                stream = archive.extractfile(info)
                if stream is not None:
                    yield Member(
                        _inner_name(path, info.name),
                        f"{name}: {storable_name(info.name)}",
                        lambda stream=stream: stream,  # type: ignore[misc]
                    )


@dataclass
class _Limits:
    """Counts the files and bytes that an archive declares, and raises when there are too many."""

    name: str
    members: int = 0
    size: int = 0

    def count(self, size: int) -> None:
        self.members += 1
        self.size += max(0, size)
        if self.members > MAX_MEMBERS:
            raise UserError(
                f"{self.name} has more than {MAX_MEMBERS:,} files; expected smaller archives, "
                "all added in one command"
            )
        if self.size > MAX_INFLATED:
            raise _too_large_error(self.name)


class _BoundedReader(io.RawIOBase):
    """A stream with limits on its position and on the bytes per read.

    The headers of a hostile TAR can request any number of bytes.
    """

    def __init__(self, stream: Any, name: str):
        self._stream, self._name = stream, name

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _MAX_READ or self._stream.tell() > MAX_INFLATED:
            raise _too_large_error(self._name)
        return bytes(self._stream.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        if offset > MAX_INFLATED:
            raise _too_large_error(self._name)
        return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()
        super().close()


def _too_large_error(name: str) -> UserError:
    """Return the error for an archive with more than `MAX_INFLATED` bytes of content."""
    return UserError(
        f"{name} has more than {MAX_INFLATED >> 30} GB when unpacked; expected smaller archives, "
        "all added in one command"
    )


def _decompress(raw: IO[bytes]) -> Any:
    head = raw.read(6)
    raw.seek(0)
    return next((opener(raw) for magic, opener in _OPENERS.items() if head.startswith(magic)), raw)


def check_zip_directory(stream: IO[bytes], name: str, limit: int) -> None:
    """Raise if the central directory of a ZIP is so long that reading it would fill the memory.

    Args:
        stream: the archive; must be seekable.
        name: of the archive, for the message.
        limit: maximum length of the directory in bytes.

    Raises:
        UserError: if the directory is longer.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - (1 << 16) - 100))
    end = stream.read()
    offset = end.rfind(b"PK\5\6")
    length = int.from_bytes(end[offset + 12 : offset + 16], "little") if offset >= 0 else 0
    zip64_offset = end.rfind(b"PK\6\6")
    if zip64_offset >= 0:
        zip64_length = int.from_bytes(end[zip64_offset + 40 : zip64_offset + 48], "little")
        length = max(length, zip64_length)
    # A directory cannot be longer than its file: a larger length is not one, or is damaged.
    if min(length, size) > limit:
        # An entry takes about 130 bytes.
        raise UserError(
            f"{name} lists more than {limit // 130:,} files; expected smaller archives, all added "
            "in one command"
        )


def _missing_path_error(path: Path) -> UserError:
    shown = storable_name(str(path))
    shown = shown if len(shown) <= 200 else f"...{shown[-200:]}"
    return UserError(f"received {shown}, which does not exist; expected {EXPECTED}")


def _inner_name(archive: Path, name: str) -> str:
    return f"{archive.name.split('.')[0]}/{name.lstrip('/')}"


def _has_parent_reference(name: str) -> bool:
    return ".." in PurePosixPath(name).parts


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _has_suffix(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes)
