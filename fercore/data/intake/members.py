"""Walk the files of a folder, a ZIP, a TAR or a table, without extracting any of them.

Names inside an archive are only ever read as text: no path is built from them.
"""

import hashlib
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from fercore.errors import UserError

TABLES = (".csv",)
ZIPS = (".zip",)
TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
EXPECTED = "a folder, or a file that ends in " + ", ".join(TABLES + ZIPS + TARS)


@dataclass(frozen=True)
class Member:
    """One file, valid until the next one is asked for (a TAR is read front to back).

    Attributes:
        name: path with forward slashes; begins with the name of the folder, or with that of the
            archive without its suffix.
        where: the file in words, for messages.
        open: opens its content.
    """

    name: str
    where: str
    open: Callable[[], IO[bytes]]

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders it lies in, outermost first."""
        return PurePosixPath(self.name).parts[:-1]

    @property
    def stem(self) -> str:
        """Its own name without the suffix."""
        return PurePosixPath(self.name).stem

    def has_suffix(self, suffixes: tuple[str, ...]) -> bool:
        """Whether its name ends in one of these, in any case."""
        return self.name.lower().endswith(suffixes)

    def read(self, limit: int) -> bytes:
        """Its content.

        Args:
            limit: most bytes to accept, so that no archive can fill the memory.

        Raises:
            UserError: if it cannot be read or is longer.
        """
        with readable(self.where), self.open() as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise UserError(f"{self.where} is longer than {limit} bytes, expected a small file")
        return content


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Turn what the archive readers raise on a damaged file into one line for the user."""
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
        UnicodeDecodeError,  # a name in a ZIP that is not in the code that it says it is
    ) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or "ends too early"
        raise UserError(
            f"cannot read {where} ({reason}): expected a complete, unencrypted file; "
            "fetch it again and compare its checksum"
        ) from error


def walk(path: Path) -> Iterator[Member]:
    """Every regular, visible file under a path, archives in a folder opened in turn.

    Hidden files, `__MACOSX`, links, and names that climb with `..` are left out. An archive inside
    an archive is yielded as a plain file.

    Args:
        path: a folder, or a file with a known suffix.

    Raises:
        UserError: if there is no such path, its suffix is unknown, or it is damaged.
    """
    if path.is_dir():
        yield from _walk_folder(path)
    elif not path.exists():
        raise UserError(f"received {path}, which does not exist; expected {EXPECTED}")
    elif _ends_in(path.name, TABLES):
        yield Member(path.name, path.name, lambda: path.open("rb"))
    elif _ends_in(path.name, ZIPS):
        yield from _walk_zip(path)
    elif _ends_in(path.name, TARS):
        yield from _walk_tar(path)
    else:
        raise UserError(f"received {path.name}, expected {EXPECTED}")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, or of the names and contents of all visible files in a folder.

    Raises:
        UserError: if there is no such path, or it cannot be read.
    """
    if not path.exists():
        raise UserError(f"received {path}, which does not exist; expected {EXPECTED}")
    with readable(path.name):
        if not path.is_dir():
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        digest = hashlib.sha256()
        for file, name in _visible_files(path):
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"{content}  {name}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def _walk_folder(folder: Path) -> Iterator[Member]:
    for file, name in _visible_files(folder):
        if _ends_in(file.name, ZIPS + TARS):
            yield from walk(file)
        else:
            yield Member(name, name, lambda file=file: file.open("rb"))  # type: ignore[misc]


def _visible_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files and their names, which begin with the folder's own, in a fixed order."""
    base = folder.resolve()
    with readable(folder.name):
        for parent, subfolders, files in os.walk(base):
            subfolders[:] = sorted(name for name in subfolders if _is_visible(name))
            for file in (Path(parent, name) for name in sorted(files) if _is_visible(name)):
                if file.is_file() and not file.is_symlink():
                    yield file, PurePosixPath(base.name, file.relative_to(base)).as_posix()


def _walk_zip(path: Path) -> Iterator[Member]:
    with readable(path.name), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            if not info.is_dir() and not is_link and _is_visible(info.filename):
                yield Member(
                    _inner_name(path, info.filename),
                    f"{path.name}: {info.filename}",
                    lambda info=info: archive.open(info),  # type: ignore[misc]
                )


def _walk_tar(path: Path) -> Iterator[Member]:
    with readable(path.name), tarfile.open(path) as archive:
        for info in archive:
            if info.isfile() and _is_visible(info.name):
                stream = archive.extractfile(info)
                if stream is not None:
                    yield Member(
                        _inner_name(path, info.name),
                        f"{path.name}: {info.name}",
                        lambda stream=stream: stream,  # type: ignore[misc]
                    )


def _inner_name(archive: Path, name: str) -> str:
    return f"{archive.name.split('.')[0]}/{name.lstrip('/')}"


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _ends_in(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes)
