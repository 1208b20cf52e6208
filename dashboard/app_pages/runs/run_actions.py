"""Notes, tags, pins, the archive and deletion, from the Runs page."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import formats
from fercore.errors import UserError
from fercore.paths import runs_root
from fercore.runs import annotations
from fercore.runs.reader import Run
from fercore.runs.schema import Notes

_DELETED = "deleted_runs"
_NEWER = "newer_notes"  # by run id: what someone else wrote while a note was edited here


def buttons(runs: Sequence[Run]) -> None:
    """What can be done with the runs that are ticked, in a menu."""
    with st.popover("Edit", icon=":material/edit:", disabled=not runs):
        if not runs:
            return
        what = formats.markdown(runs[0].id) if len(runs) == 1 else f"{len(runs)} runs"
        st.caption(what)
        if st.button("Note and tags", icon=":material/sell:", width="stretch"):
            st.session_state.pop(_NEWER, None)
            _edit(runs)
        pinned = all(run.notes.pinned for run in runs)
        st.button(
            "Unpin" if pinned else "Pin",
            icon=":material/keep_off:" if pinned else ":material/keep:",
            on_click=_annotate,
            args=(runs,),
            kwargs={"pinned": not pinned},
            width="stretch",
        )
        archived = all(run.notes.archived for run in runs)
        st.button(
            "Take out of the archive" if archived else "Archive",
            icon=":material/unarchive:" if archived else ":material/archive:",
            on_click=_annotate,
            args=(runs,),
            kwargs={"archived": not archived},
            width="stretch",
        )
        if st.button("Delete", icon=":material/delete:", width="stretch"):
            _confirm(runs)


def undo() -> None:
    """After a deletion: how to take it back, and what else can be restored."""
    lately: list[str] = st.session_state.get(_DELETED, [])
    root = runs_root()
    gone = [run.id for run in annotations.deleted(root)]
    still = [run_id for run_id in lately if run_id in gone]
    if still:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            count = "1 run" if len(still) == 1 else f"{len(still)} runs"
            st.markdown(f":material/delete: Deleted {count}: {formats.markdown(', '.join(still))}")
            st.button("Undo", icon=":material/undo:", on_click=_restore, args=(still,))


def deleted() -> None:
    """The deleted runs, each with a button that brings it back."""
    gone = annotations.deleted(runs_root())
    if not gone:
        return
    with st.expander(f"Deleted runs ({len(gone)})", icon=":material/delete:"):
        st.caption("They take room until `fercore runs purge` removes them for good.")
        for run in gone:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(formats.markdown(run.id))
                st.button(
                    "Restore",
                    icon=":material/undo:",
                    key=f"restore-{run.id}",
                    on_click=_restore,
                    args=([run.id],),
                )


@st.dialog("Note and tags")
def _edit(runs: Sequence[Run]) -> None:
    first = runs[0].notes
    alone = len(runs) == 1
    st.caption(formats.markdown(", ".join(run.id for run in runs)))
    newer: dict[str, Notes] = st.session_state.get(_NEWER, {})
    if alone and runs[0].id in newer:
        st.warning(
            "Someone else changed this note while you edited it, and yours was not saved. The note "
            "now reads as below. Copy what you need into yours; Save replaces it.",
            icon=":material/sync_problem:",
        )
        st.code(newer[runs[0].id].text or "(empty)", language=None, wrap_lines=True)
    with st.form("notes", border=False):
        text = st.text_area(
            "Note" if alone else "Paragraph to add to each note",
            first.text if alone else "",
            max_chars=10_000,
        )
        tags = st.text_input(
            "Tags" if alone else "Tags to add",
            " ".join(first.tags) if alone else "",
            help="Words, parted by spaces or commas.",
        )
        saved = st.form_submit_button("Save", type="primary")
    if not saved:
        return
    wanted = annotations.parse_tags(tags)
    if not alone:
        _annotate(runs, base=Notes(), add_text=text, tags=wanted)
        st.rerun()
    # The tags that the form began with, the text that was seen last.
    base = newer.get(runs[0].id, first).model_copy(update={"tags": first.tags})
    try:
        annotations.annotate(runs[0], base, text=text, tags=wanted)
    except annotations.NoteConflictError as error:
        st.session_state[_NEWER] = {runs[0].id: error.newer}
        st.rerun(scope="fragment")
    except UserError as error:  # the dialog stays open, with the text in it
        st.error(formats.markdown(str(error)), icon=":material/error:")
    else:
        st.rerun()


@st.dialog("Delete runs")
def _confirm(runs: Sequence[Run]) -> None:
    for run in runs:
        st.markdown(f"- {formats.markdown(run.id)}")
    st.caption("They can be restored from the foot of the Runs page.")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:", key="delete-for-sure"):
            done = []
            for run in runs:
                try:
                    annotations.delete(run)
                    done.append(run.id)
                except UserError as error:
                    st.toast(formats.markdown(str(error)), icon=":material/error:")
            st.session_state[_DELETED] = done
            st.rerun()
        if st.button("Keep"):
            st.rerun()


def _annotate(runs: Sequence[Run], **changes: Any) -> None:
    for run in runs:
        try:
            annotations.annotate(run, **changes)
        except UserError as error:
            st.toast(formats.markdown(str(error)), icon=":material/error:")


def _restore(run_ids: Sequence[str]) -> None:
    for run_id in run_ids:
        try:
            annotations.restore(runs_root(), run_id)
        except UserError as error:
            st.toast(formats.markdown(str(error)), icon=":material/error:")
