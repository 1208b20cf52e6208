"""Read arrays from an `.npz` file of unknown origin, with limits on size and number.

NumPy allocates the size that an array's header declares before it reads the first value, so a file
of one kilobyte can allocate 100 GB. Here the header must agree with the size in the archive, and
that size is limited.
"""

import math
import zipfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fercore.io.files import open_regular

MAX_MEMBERS = 64
MAX_BYTES = 1 << 28  # of one array, unpacked

_END, _END_BYTES = b"PK\x05\x06", 22  # the record that ends a ZIP archive without a comment


class BoundedNpz:
    """An open `.npz` file; `archive[name]` reads one array. No object arrays, no pickle.

    Args:
        path: of the file.

    Raises:
        OSError: if the file cannot be read or is not a regular file.
        ValueError: if it is not a complete ZIP archive, or has too many members.
    """

    def __init__(self, path: Path):
        self._file = open_regular(path)
        try:
            require_zip_end(self._file)
            self._archive = _open_archive(self._file)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "BoundedNpz":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._archive.namelist()

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read one array.

        Raises:
            KeyError: if there is no array of that name.
            ValueError: if it is damaged, has objects, or is larger than 256 MiB.
        """
        entry = self._archive.getinfo(f"{name}.npy")
        if entry.file_size > MAX_BYTES:
            raise ValueError(
                f"{name} unpacks to {entry.file_size:,} bytes, more than {MAX_BYTES:,}"
            )
        try:
            with self._archive.open(entry) as member:
                return _read_array(member, entry.file_size)
        except Exception as error:  # zipfile and its decompressors raise a dozen unrelated classes
            raise ValueError(f"{name} is damaged ({error})") from None


def require_zip_end(file: IO[bytes]) -> None:
    """Raise unless a file begins and ends as a ZIP archive of up to `MAX_MEMBERS` members does.

    Raises:
        ValueError: if it does not.
    """
    start = file.read(4)
    size = file.seek(0, 2)
    if size == 0:
        raise ValueError("it is empty")
    file.seek(max(0, size - _END_BYTES))
    end = file.read(_END_BYTES)
    file.seek(0)
    if start != b"PK\x03\x04" or len(end) < _END_BYTES or not end.startswith(_END):
        raise ValueError("it is not a complete ZIP archive")
    members = int.from_bytes(end[10:12], "little")
    directory = int.from_bytes(end[12:16], "little") + int.from_bytes(end[16:20], "little")
    if members > MAX_MEMBERS or directory != size - _END_BYTES:
        raise ValueError("its table of contents is damaged")


def _open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except Exception as error:  # as above
        raise ValueError(f"it is not a readable ZIP archive ({error})") from None


def _read_array(member: IO[bytes], size: int) -> NDArray[Any]:
    version = npy.read_magic(member)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = header(member)
    if dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"the type {dtype} is not supported")
    content = member.read(size)
    if math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"its shape {shape} does not fit its {len(content):,} bytes")
    array = np.frombuffer(bytearray(content), dtype)  # a copy, so that the array is writable
    return array.reshape(shape, order="F" if fortran else "C")
