"""The upload widgets of the Photo page, and the example photos."""

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard import formats
from dashboard.analysis.example_photos import EXAMPLES, thumbnail
from dashboard.app_pages.photo import uploads
from dashboard.app_pages.photo.uploads import Listing, UploadedPhoto
from dashboard.charts.data_urls import jpeg_data_url
from dashboard.components import photo_store, url_widgets
from fercore.images.decoding import IMAGE_SUFFIXES

# Keys of the session state: listings by file, name of the example, number of the upload widget.
_LISTINGS, _EXAMPLE, _GENERATION = "photo:listed", "photo:example", "photo:generation"
# What is computed from photos: removed with them.
PREDICTIONS, UNREADABLE = "photo:kept", "photo:unreadable"
PICTURES, TABLE, MAPS = "photo:pictures", "photo:table", "photo:maps"
_MAX_MESSAGES = 100
_HELP = (
    "Photos stay in the memory of this machine: they are neither stored nor sent on, and are gone "
    "when you close this tab. While you visit other pages, "
    f"{photo_store.MAX_KEPT_BYTES >> 20} MB of them are kept. {uploads.LIMITS}"
)


def collect_photos() -> list[UploadedPhoto]:
    """Draw the upload widgets; return the photos, and name the files that are not read.

    The example comes first, then the files of this visit, snapshots, and files of earlier visits.
    """
    generation = st.session_state.get(_GENERATION, 0)
    key = f"photos-{generation}" if generation else "photos"
    store = photo_store.stored_files()
    if key not in st.session_state:  # the visitor comes from another page
        store.begin_visit()
    example = _selected_example()
    suffixes = [suffix.removeprefix(".") for suffix in (*IMAGE_SUFFIXES, ".zip")]
    files = st.file_uploader(
        "Photos, or a ZIP of them",
        type=suffixes,
        accept_multiple_files=True,
        key=key,
        max_upload_size=uploads.MAX_FILE_BYTES >> 20,
        help=_HELP,
        on_change=_select_example,
        args=("",),
    )
    store.current = list(files or [])
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        uses_camera = url_widgets.toggle("Take a photo with the camera", key="camera")
        remove = st.empty()
    if uses_camera:
        picture = st.camera_input(
            "Camera", key=f"camera-picture-{generation}", label_visibility="collapsed"
        )
        if picture:
            picture.name = "camera.jpg"
            store.current.append(picture)
    photos = [_example_photo(example)] if example else []
    photos += _read_files(store)
    if photos:
        remove.button("Remove photos", icon=":material/delete:", on_click=_remove_photos)
    return photos


def show_examples() -> None:
    """Draw the example photos, each with a button that selects it."""
    st.info(
        "Upload a photo, take one with the camera, or try an example. Nothing leaves this machine.",
        icon=":material/add_a_photo:",
    )
    with st.grid(len(EXAMPLES) + 1, min_column_width=240, gap="medium"):
        for name, example in EXAMPLES.items():
            with st.container(border=True, gap="small"):
                st.html(
                    f'<img class="example" src="{jpeg_data_url(thumbnail(name), 85)}" '
                    f'alt="{example.caption}" '
                    'style="width:100%;aspect-ratio:3/2;display:block;border-radius:.4rem">'
                )
                st.caption(example.caption)
                st.button(
                    f"Try an example: {example.title.lower()}",
                    key=f"example-{name}",
                    type="primary" if name == next(iter(EXAMPLES)) else "secondary",
                    width="stretch",
                    on_click=_select_example,
                    args=(name,),
                )


def example_caption(photo: UploadedPhoto) -> str:
    """Return the source of a photo that is an example; empty for other photos."""
    name = st.session_state.get(_EXAMPLE, "")
    if name in EXAMPLES and photo.digest == _example_photo(name).digest:
        return EXAMPLES[name].caption
    return ""


def _example_photo(name: str) -> UploadedPhoto:
    example = EXAMPLES[name]
    return uploads.photo_from_bytes(example.file_name, example.read())


def _selected_example() -> str:
    """Return the name of the selected example, from the URL or from an earlier visit."""
    from_url = url_widgets.pending_value("example")
    if from_url is not None:
        name = from_url[0] if from_url else ""
        st.session_state[_EXAMPLE] = name if name in EXAMPLES else ""
    name = st.session_state.get(_EXAMPLE, "")
    url_widgets.sync_query("example", [name] if name else [])
    return str(name)


def _select_example(name: str) -> None:
    st.session_state[_EXAMPLE] = name
    url_widgets.mark_changed("example")


def _remove_photos() -> None:
    """Remove all photos and what was computed from them; the upload widget starts anew."""
    _select_example("")
    photo_store.clear((_LISTINGS, PREDICTIONS, UNREADABLE, PICTURES, TABLE, MAPS))
    st.session_state[_GENERATION] = st.session_state.get(_GENERATION, 0) + 1


def _read_files(store: photo_store.StoredFiles) -> list[UploadedPhoto]:
    """Return the photos in files and snapshots; name what is not read."""
    # Each file is listed once; listings of removed files are dropped.
    previous: dict[str, Listing] = st.session_state.get(_LISTINGS, {})
    listings: dict[str, Listing] = {}
    by_digest: dict[str, UploadedFile] = {}
    for file in (*store.current, *store.earlier):
        listing = previous.get(file.file_id) or uploads.list_photos(file)
        listings[file.file_id] = listing
        by_digest.setdefault(listing.digest, file)  # a file that was uploaded again is read once
    st.session_state[_LISTINGS] = listings
    files = [(file, listings[file.file_id]) for file in by_digest.values()]
    photos, refused = uploads.within_limits(files)
    show_unreadable(refused)
    current = {file.file_id for file in store.current}
    # The limits apply in order: these are the photos of the files in the widgets.
    count = len(uploads.within_limits([pair for pair in files if pair[0].file_id in current])[0])
    shots = [uploads.photo_from_bytes(*snapshot) for snapshot in photo_store.snapshots()]
    return [*photos[:count], *shots, *photos[count:]]


def show_unreadable(reasons: Sequence[str]) -> None:
    """Draw one message that lists the files that are not read."""
    if not reasons:
        return
    lines = [f"- {formats.markdown(reason)}" for reason in reasons[:_MAX_MESSAGES]]
    if len(reasons) > len(lines):
        lines.append(f"- and {len(reasons) - len(lines):,} more")
    # A long list scrolls.
    with st.container(height=260 if len(lines) > 8 else "content", border=False):
        title = f"Not read ({len(reasons):,}):\n" if len(reasons) > 1 else ""
        text = title + "\n".join(lines) if title else lines[0].removeprefix("- ")
        st.error(text, icon=":material/broken_image:")
