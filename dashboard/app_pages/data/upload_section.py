"""Add a dataset from uploaded files, replace one, and undo that."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard import formats
from dashboard.components import url_widgets
from fercore.data.registry import (
    add_dataset,
    dataset_status,
    has_previous,
    list_custom_datasets,
    list_datasets,
    undo_change,
)
from fercore.errors import UserError
from fercore.paths import data_root

_UPLOAD_MB = 512
_MAX_NAME = 60  # characters of an uploaded file's name, at 4 bytes each
ADDED_KEY = "added dataset"
_TO_REPLACE = "replacement to confirm"


def upload_form() -> None:
    """Draw the form that adds the files of a dataset."""
    names = [name for name in list_datasets() if name != "synthetic"]
    name = st.selectbox("Dataset to add", names, key="add-name")
    files = st.file_uploader(
        "Files (CSV, ZIP or TAR)",
        accept_multiple_files=True,
        max_upload_size=_UPLOAD_MB,
        key="add-files",
        help="They are converted into one file under the data root; nothing else is stored.",
    )
    skip_bad = st.checkbox("Skip files that cannot be used", key="add-skip-bad")
    st.caption("Or on the command line, for files of any size:")
    st.code(f"fercore data add {name} PATH", language="bash")
    selection = (name, *(file.file_id for file in files or []))
    if files and st.button("Add", type="primary", icon=":material/add:"):
        if not dataset_status(name, data_root()).counts:
            _add(name, files, skip_bad)
        else:
            st.session_state[_TO_REPLACE] = selection
    if files and st.session_state.get(_TO_REPLACE) == selection:
        _confirm_replacing(name, files, skip_bad)
    undo_button()


def _confirm_replacing(name: str, files: Sequence[UploadedFile], skip_bad: bool) -> None:
    """Ask before an installed dataset is replaced, and add the files after consent."""
    text = (
        f"{formats.markdown(name)} is installed with {_total(name):,} images. The splits that "
        "these files contain are replaced for everyone who uses this data root. You can restore "
        "the current version here."
    )
    if has_previous(name, data_root()):
        text += " The version before the current one is deleted."
    st.warning(text, icon=":material/sync:")
    with st.container(horizontal=True):
        if st.button("Replace", type="primary", key="add-replace"):
            st.session_state.pop(_TO_REPLACE, None)
            _add(name, files, skip_bad)
        if st.button("Cancel", key="add-cancel"):
            st.session_state.pop(_TO_REPLACE, None)
            st.rerun()


def undo_button() -> None:
    """Draw a button for each dataset with a replacement that can be undone."""
    root = data_root()
    names = [n for n in (*list_datasets(), *list_custom_datasets(root)) if has_previous(n, root)]
    if not names:
        return
    st.caption("Restore the version before the last change:")
    with st.container(horizontal=True):
        for name in names:
            st.button(
                f"Undo: {name}",
                icon=":material/undo:",
                key=f"undo-{name}",
                on_click=_undo,
                args=(name,),
            )


def _undo(name: str) -> None:
    try:
        undo_change(name, data_root())
    except UserError as error:
        st.toast(formats.markdown(str(error)), icon=":material/error:")
        return
    st.session_state[ADDED_KEY] = [
        f"The previous version of {name} is restored: {_total(name):,} images."
    ]


def _total(name: str) -> int:
    return sum(
        sum(classes.values()) for classes in dataset_status(name, data_root()).counts.values()
    )


def _add(name: str, files: Sequence[UploadedFile], skip_bad: bool) -> None:
    bar = st.progress(0.0, text="Reading")

    def on_progress(done: int, total: int | None) -> None:
        bar.progress(min(1.0, done / (total or 36_000)), text=f"Reading: {done:,} images")

    try:
        with tempfile.TemporaryDirectory(prefix="fercore-") as folder:
            paths = store_uploads(files, Path(folder))
            report = add_dataset(name, paths, data_root(), on_progress, skip_bad=skip_bad)
    except (UserError, OSError) as error:
        bar.empty()
        st.error(formats.markdown(str(error)), icon=":material/error:")
        return
    st.session_state[ADDED_KEY] = [f"{_total(name):,} images of {name} are ready.", *report.notes]
    url_widgets.set_values({"dataset": name})
    st.rerun()


def store_uploads(files: Sequence[UploadedFile], folder: Path) -> list[Path]:
    """Write uploaded files, each into a separate folder, since two may have the same name.

    Names are shortened, and characters that file systems refuse are replaced.
    """
    paths = []
    for number, file in enumerate(files):
        path = folder / str(number) / _file_name(file.name)
        path.parent.mkdir()
        path.write_bytes(file.getbuffer())
        paths.append(path)
    return paths


def _file_name(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2]
    safe = re.sub(r"[^\w.()+ -]", "_", last).lstrip(".")
    stem, dot, endings = safe.partition(".")
    if len(safe) <= _MAX_NAME:
        return safe or "upload"
    # Keep the suffix: it tells the type of the file.
    suffix = (dot + endings)[-12:] if dot else ""
    return f"{stem[: _MAX_NAME - len(suffix)]}{suffix}"
