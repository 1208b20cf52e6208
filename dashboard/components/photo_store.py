"""Photos that a session keeps while the visitor is on other pages. Nothing is written to disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

MAX_KEPT_BYTES = 64 << 20
_MAX_SNAPSHOTS = 6
_FILES, _SHOTS = "photo:files", "photo:shots"


@dataclass
class StoredFiles:
    """The uploaded files of a session.

    Attributes:
        earlier: files of earlier visits to the Photo page, newest first.
        current: files in the page's own widgets.
    """

    earlier: list[UploadedFile] = field(default_factory=list)
    current: list[UploadedFile] = field(default_factory=list)

    def begin_visit(self) -> None:
        """Keep the files of the last visit, newest first, up to `MAX_KEPT_BYTES` altogether."""
        kept, total = [], 0
        for file in (*self.current, *self.earlier):
            if total + file.size <= MAX_KEPT_BYTES:
                kept.append(file)
                total += file.size
        self.earlier, self.current = kept, []


def stored_files() -> StoredFiles:
    """Return the uploaded files of this session."""
    files: StoredFiles = st.session_state.setdefault(_FILES, StoredFiles())
    return files


def snapshots() -> list[tuple[str, bytes]]:
    """Return the names and PNG files of the snapshots from the Webcam page, newest first."""
    return list(st.session_state.get(_SHOTS, []))


def add_snapshot(name: str, content: bytes) -> None:
    """Keep a snapshot; the oldest one is dropped if there are more than six."""
    st.session_state[_SHOTS] = [(name, content), *snapshots()][:_MAX_SNAPSHOTS]


def clear(keys: Sequence[str] = ()) -> None:
    """Remove all photos of this session, and further entries of the session state.

    Args:
        keys: of entries that were derived from the photos.
    """
    for key in (_FILES, _SHOTS, *keys):
        st.session_state.pop(key, None)
