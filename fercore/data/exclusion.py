"""Exclude training images that are listed in a CSV file (`protocol.exclude` of a config)."""

import csv
import hashlib
import io
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.data.splits import COPY_MARK, Split, Splits
from fercore.errors import UserError


@dataclass(frozen=True)
class Exclusion:
    """The ids in a CSV file.

    Attributes:
        name: of the file, as given in the config.
        ids: of the images to exclude.
        sha256: of the file's content.
    """

    name: str
    ids: frozenset[str]
    sha256: str

    def require(self, splits: Splits, *, official: bool) -> None:
        """Raise if the dataset lacks one of the ids.

        Args:
            splits: the dataset as loaded.
            official: whether only ids of the training split are allowed.

        Raises:
            UserError: if an id is unknown, or is that of a validation or test image of an official
                split.
        """
        parts = [splits["train"]] if official and "train" in splits.parts else splits.parts.values()
        unknown = self.ids.difference(*(part.ids.tolist() for part in parts))
        if not unknown:
            return
        where = f"the training images of {splits.name}"
        if len(unknown) == len(self.ids):
            raise UserError(
                f"received protocol.exclude = {self.name!r}, but none of its {len(self.ids):,} ids "
                f"is among {where}: the file was made for another edition of the dataset; make "
                "one for this edition with `fercore labels`"
            )
        raise UserError(
            f"received protocol.exclude = {self.name!r}, but {len(unknown):,} of its ids are not "
            f"among {where}, such as {min(unknown)!r}; expected ids of training images only"
        )

    def mask(self, split: Split) -> NDArray[np.bool_]:
        """Return which samples are excluded, `(n,)` bool; copies go with their originals."""
        ids = split.ids.tolist()
        if split.copies is not None:
            ids = [
                name.rpartition(COPY_MARK)[0] if copied else name
                for name, copied in zip(ids, split.copies, strict=True)
            ]
        return np.fromiter((name in self.ids for name in ids), bool, len(ids))


def list_shipped() -> tuple[str, ...]:
    """Return the sorted names of the CSV files in the package's folder of configs."""
    names = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name for name in names if name.endswith(".csv")))


def read(name: str) -> Exclusion:
    """Read a CSV file with a column `id`.

    Args:
        name: one of `list_shipped()` if it has no slash, else a path.

    Raises:
        UserError: if there is no such file, it cannot be read, or it has no column `id`.
    """
    source: Traversable = Path(name)
    if Path(name).name == name:
        if name not in list_shipped():
            raise UserError(
                f"received protocol.exclude = {name!r}, expected a path with a slash, such as "
                f"./{name}, or a file that the package ships: "
                f"{', '.join(list_shipped()) or 'none'}"
            )
        source = _folder() / name
    try:
        content = source.read_bytes()
    except OSError as error:
        raise UserError(
            f"received protocol.exclude = {name!r}, which cannot be read ({error.strerror}); "
            "expected the path of a CSV file with a column id"
        ) from None
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        columns = reader.fieldnames or []
        if "id" not in columns:
            raise UserError(
                f"received protocol.exclude = {name!r} with the columns "
                f"{', '.join(columns) or 'none'}; expected a column id"
            )
        ids = frozenset(row["id"] for row in reader if row["id"])
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"received protocol.exclude = {name!r}, which is not a CSV file in UTF-8 ({error})"
        ) from None
    return Exclusion(name, ids, hashlib.sha256(content).hexdigest())


def _folder() -> Traversable:
    return resources.files("fercore") / "configs"
