"""Saved views: named links to a page of the dashboard with its selection and settings.

All views of a runs root are in one JSON file, so that everybody who uses the root shares them.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from fercore.errors import UserError
from fercore.io import bounded_json, files
from fercore.runs import damage
from fercore.runs.annotations import locked_root

FILE = ".views.json"
MAX_VIEWS = 200
_MAX_BYTES = 1 << 20
_Text = Annotated[str, StringConstraints(max_length=500)]


class SavedView(BaseModel):
    """A named link.

    Attributes:
        name: for people, from 1 to 60 characters.
        page: URL path of the page, empty for the first one.
        query: values by query parameter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]
    page: Annotated[str, StringConstraints(max_length=60)]
    query: dict[_Text, list[_Text]] = {}


_VIEWS = TypeAdapter(tuple[SavedView, ...])


def read_views(root: Path) -> tuple[SavedView, ...]:
    """Return the saved views of a runs root, by name.

    Raises:
        UserError: if the file cannot be read or is damaged.
    """
    path = root / FILE
    try:
        content = files.read_regular(path, _MAX_BYTES)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UserError(f"cannot read the saved views in {path}: {error.strerror}") from None
    try:
        views = _VIEWS.validate_python(bounded_json.parse(content))
    except ValidationError as error:
        raise UserError(f"{path} is damaged: {damage.describe(error)}") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged: expected JSON, {error}") from None
    return tuple(sorted(views, key=lambda view: view.name.casefold()))


def save_view(root: Path, name: str, page: str, query: dict[str, list[str]]) -> SavedView:
    """Save a view; it replaces one of the same name.

    Args:
        root: the runs root.
        name: see `SavedView`.
        page: see `SavedView`.
        query: see `SavedView`.

    Raises:
        UserError: if the name is empty or too long, there are too many views, the file is damaged,
            or the disk refuses.
    """
    try:
        view = SavedView(name=name, page=page, query=query)
    except ValidationError as error:
        raise UserError(f"cannot save the view: {damage.describe(error)}") from None
    with suppress(OSError):
        root.mkdir(parents=True, exist_ok=True)
    with locked_root(root):
        others = [other for other in read_views(root) if other.name != view.name]
        if len(others) >= MAX_VIEWS:
            raise UserError(
                f"{MAX_VIEWS} views are saved already; delete one before you save another"
            )
        _write(root, [*others, view])
    return view


def delete_view(root: Path, name: str) -> None:
    """Delete the view of that name, if there is one.

    Raises:
        UserError: if the file is damaged, or the disk refuses.
    """
    with locked_root(root):
        views = read_views(root)
        others = [view for view in views if view.name != name]
        if len(others) < len(views):
            _write(root, others)


def _write(root: Path, views: list[SavedView]) -> None:
    content = json.dumps([view.model_dump() for view in views], indent=1, ensure_ascii=False)
    try:
        with files.atomic_write(root / FILE) as file:
            file.write(f"{content}\n".encode())
    except OSError as error:
        raise UserError(f"cannot write {root / FILE}: {error.strerror}") from None
