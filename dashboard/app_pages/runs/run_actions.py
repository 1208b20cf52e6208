"""Actions on runs: notes, tags, pins, archive and deletion."""

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
_NEWER = "newer_notes"  # by run id: notes that someone else saved while they were edited here


def buttons(runs: Sequence[Run]) -> None:
    """Draw the menu of actions on the selected runs."""
    with st.popover("Edit", icon=":material/edit:", disabled=not runs):
        if not runs:
            return
        st.caption(formats.markdown(runs[0].id) if len(runs) == 1 else f"{len(runs)} runs")
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
            "Unarchive" if archived else "Archive",
            icon=":material/unarchive:" if archived else ":material/archive:",
            on_click=_annotate,
            args=(runs,),
            kwargs={"archived": not archived},
            width="stretch",
        )
        if st.button("Delete", icon=":material/delete:", width="stretch"):
            _confirm(runs)


def undo() -> None:
    """Draw the button that undoes the last deletion of this session."""
    last: list[str] = st.session_state.get(_DELETED, [])
    restorable = {run.id for run in annotations.deleted(runs_root())}
    run_ids = [run_id for run_id in last if run_id in restorable]
    if run_ids:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            count = "1 run" if len(run_ids) == 1 else f"{len(run_ids)} runs"
            names = formats.markdown(", ".join(run_ids))
            st.markdown(f":material/delete: Deleted {count}: {names}")
            st.button("Undo", icon=":material/undo:", on_click=_restore, args=(run_ids,))


def deleted() -> None:
    """Draw the deleted runs, each with a button that restores it."""
    runs = annotations.deleted(runs_root())
    if not runs:
        return
    with st.expander(f"Deleted runs ({len(runs)})", icon=":material/delete:"):
        st.caption("`fercore runs purge` removes them permanently and frees their disk space.")
        for run in runs:
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
    single = len(runs) == 1
    st.caption(formats.markdown(", ".join(run.id for run in runs)))
    newer: dict[str, Notes] = st.session_state.get(_NEWER, {})
    if single and runs[0].id in newer:
        st.warning(
            "Someone else changed this note while you edited it, so yours was not saved. Their "
            "note is below. Copy what you need into yours. Save replaces theirs.",
            icon=":material/sync_problem:",
        )
        st.code(newer[runs[0].id].text or "(empty)", language=None, wrap_lines=True)
    with st.form("notes", border=False):
        text = st.text_area(
            "Note" if single else "Paragraph to add to each note",
            first.text if single else "",
            max_chars=10_000,
        )
        tags = st.text_input(
            "Tags" if single else "Tags to add",
            " ".join(first.tags) if single else "",
            help="Words separated by spaces or commas.",
        )
        saved = st.form_submit_button("Save", type="primary")
    if not saved:
        return
    new_tags = annotations.parse_tags(tags)
    if not single:
        _annotate(runs, base=Notes(), add_text=text, tags=new_tags)
        st.rerun()
    # The tags that the form started with, and the text that the user saw last.
    base = newer.get(runs[0].id, first).model_copy(update={"tags": first.tags})
    try:
        annotations.annotate(runs[0], base, text=text, tags=new_tags)
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
    st.caption("You can restore them at the bottom of the Runs page.")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", icon=":material/delete:", key="delete-for-sure"):
            deleted_ids = []
            for run in runs:
                try:
                    annotations.delete(run)
                    deleted_ids.append(run.id)
                except UserError as error:
                    st.toast(formats.markdown(str(error)), icon=":material/error:")
            st.session_state[_DELETED] = deleted_ids
            st.rerun()
        if st.button("Cancel"):
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
