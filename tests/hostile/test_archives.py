"""Test the Photo page with archives and images that are larger than the memory."""

import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec
from streamlit.testing.v1 import AppTest

from dashboard.app_pages.photo import upload_section, uploads
from fercore.errors import UserError
from fercore.inference.media.photos import PhotoArchive
from tests.hostile import archives
from tests.photos import astronaut, encoded

ROOT = Path(__file__).parents[2]
NETWORK = "facet-tiny-s0-20261121T151906"


def uploaded(name: str, content: bytes, number: int = 0) -> UploadedFile:
    record = UploadedFileRec(f"{name}-{number}", name, "application/octet-stream", content)
    return UploadedFile(record, None)


def read_photos(*files: UploadedFile) -> tuple[list[uploads.UploadedPhoto], list[str]]:
    return uploads.within_limits([(file, uploads.list_photos(file)) for file in files])


def test_archives_share_one_budget_and_what_is_over_it_is_named():
    bombs = [uploaded(f"{n}.zip", archives.zip_of_zeros(7, 40), n) for n in range(3)]
    photos, refused = read_photos(*bombs)
    assert len(photos) == (512 // 40)
    assert len(photos) + len(refused) == 21
    assert all("512 MB" in line for line in refused)
    # What comes later and fits is read.
    photos, _ = read_photos(*bombs, uploaded("small.png", b"x"))
    assert photos[-1].name == "small.png"


def test_photos_over_the_number_are_counted_in_one_line():
    one, other = (uploaded(f"{n}.zip", archives.zip_of_many(300), n) for n in range(2))
    photos, refused = read_photos(one, other)
    assert len(photos) == uploads.MAX_PHOTOS
    assert refused == [
        "received 600 photos, expected 500 at most: the last 100 are not read",
    ]


def test_an_encrypted_archive_is_called_so():
    (photo,), _ = read_photos(uploaded("secret.zip", archives.encrypted_zip()))
    with pytest.raises(UserError, match=r"secret\.zip \(it is encrypted\)"):
        photo.read()


def test_a_long_list_of_files_that_are_not_read_is_cut(monkeypatch: pytest.MonkeyPatch):
    shown: list[str] = []
    monkeypatch.setattr(upload_section.st, "error", lambda text, **_: shown.append(text))
    upload_section.show_unreadable(
        [f"{n}.txt in a.zip: not an image by its name" for n in range(9000)]
    )
    assert shown[0].startswith("Not read (9,000):")
    assert shown[0].endswith("- and 8,900 more")
    assert len(shown[0]) < 10_000


def test_a_zip_of_too_many_files_is_refused_before_its_list_is_read():
    photos, (refused,) = read_photos(uploaded("many.zip", archives.zip_of_many(40_000)))
    assert photos == []
    assert "many.zip lists more than 10,000 files" in refused


def test_files_of_a_zip_that_are_no_images_are_named():
    content = archives.zipped({"a/notes.txt": b"x", "b.png": b"y", "__MACOSX/c.png": b"z"})
    photos, refused = read_photos(uploaded("mixed.zip", content))
    assert [photo.name for photo in photos] == ["b.png"]
    assert refused == ["notes.txt in mixed.zip: not an image by its name"]
    photos, refused = read_photos(uploaded("empty.zip", archives.zipped({})))
    assert (photos, refused) == ([], ["empty.zip holds no image; expected a ZIP of photos"])


@pytest.mark.parametrize("content", [archives.lying_zip(), archives.encrypted_zip()])
def test_a_member_that_lies_or_is_encrypted_is_one_line(content: bytes):
    ((photo,), refused) = read_photos(uploaded("odd.zip", content))
    assert refused == []
    with pytest.raises(UserError, match=r"\.png in odd\.zip"):
        photo.read()


def test_a_member_over_the_length_is_refused_without_inflating_it():
    ((photo,), _) = read_photos(uploaded("long.zip", archives.zip_of_zeros(1, 80)))
    with pytest.raises(UserError, match=r"0\.png has 83,886,080 bytes, expected 67,108,864"):
        photo.read()


def test_equal_names_in_two_archives_are_two_photos():
    one = uploaded("1.zip", archives.zipped({"a.png": b"one"}), 1)
    two = uploaded("2.zip", archives.zipped({"a.png": b"two", "b/a.png": b"three"}), 2)
    photos, _ = read_photos(one, two)
    assert [photo.read() for photo in photos] == [b"one", b"two", b"three"]
    assert len({photo.digest for photo in photos}) == 3
    again, _ = read_photos(uploaded("renamed.zip", one.getvalue(), 3))
    assert again[0].digest == photos[0].digest


# Prints the growth of the peak memory of the process in megabytes.
_MEASURE = """
import resource, sys
from pathlib import Path
import numpy as np
import cv2
from PIL import Image
from dashboard.app_pages.photo import sections
from fercore.errors import UserError
from tests.hostile.test_archives import read_photos, uploaded

files = [uploaded(path.name, path.read_bytes()) for path in sorted(Path(sys.argv[1]).iterdir())]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
photos, refused = read_photos(*files)
sizes = []
for photo in photos:
    try:
        sizes.append(sections._decode(photo).shape)
    except UserError as error:
        refused.append(str(error))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024, len(refused), sizes)
"""


def measure_memory(folder: Path) -> tuple[int, int, list[tuple[int, ...]]]:
    """Return the megabytes that reading a folder takes, the number of errors, and the shapes."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    growth, refused, shapes = done.stdout.strip().splitlines()[-1].split(" ", 2)
    return int(growth), int(refused), eval(shapes)


def test_memory_is_bounded_whatever_the_files_hold(tmp_path: Path):
    for number in range(3):
        (tmp_path / f"bomb-{number}.zip").write_bytes(archives.zip_of_zeros(7, 40))
    (tmp_path / "rgba.png").write_bytes(archives.flat_png(8000, 8000))
    (tmp_path / "camera.jpg").write_bytes(archives.large_jpeg())
    growth, refused, shapes = measure_memory(tmp_path)
    # Three archives of 840 MB and an image of 256 MB: not one is read whole.
    assert growth < 350
    assert refused == 22
    assert shapes == [(3000, 4500, 3)]


def test_the_page_states_its_limits_names_what_it_does_not_read_and_keeps_little(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("FERCORE_RUNS", str(ROOT / "runs"))
    app = AppTest.from_file(str(ROOT / "dashboard" / "navigation.py"), default_timeout=60)
    app.switch_page("app_pages/photo/photo.py")
    app.query_params["networks"] = NETWORK
    app.run()
    assert uploads.LIMITS in app.file_uploader(key="photos").help
    portrait = encoded(astronaut())
    files: list[Any] = [
        ("portrait.jpg", portrait, "image/jpeg"),
        ("rgba.png", archives.flat_png(8000, 8000), "image/png"),
        ("photos.zip", archives.zipped({"inner.jpg": portrait, "notes.txt": b""}), "a/zip"),
        ("bomb.zip", archives.zip_of_zeros(2, 60), "a/zip"),
    ]
    app.file_uploader(key="photos").set_value(files)
    app.run()
    assert not app.exception
    told = "\n".join(error.value for error in app.error)
    for name in ("rgba.png", "notes.txt in photos.zip", "0.png", "1.png"):
        assert unescape_markdown(name) in unescape_markdown(told)
    assert "expected 24 million at most" in told
    faces = next(frame.value for frame in app.dataframe if "Photo" in frame.value)
    assert list(faces["Photo"]) == ["portrait.jpg", "inner.jpg"]
    kept = {
        key: app.session_state[key] for key in app.session_state if str(key).startswith("photo:")
    }
    assert len(pickle.dumps(kept)) < 2_000_000


def unescape_markdown(text: str) -> str:
    """Remove the Markdown escapes from a text."""
    return text.replace("\\", "")


def test_a_photo_that_cannot_be_read_is_tried_once(monkeypatch: pytest.MonkeyPatch):
    from dashboard.app_pages.photo import sections

    tried = []

    def refuse(content: bytes, name: str, **limits: Any) -> None:
        tried.append(name)
        raise UserError(f"{name} is damaged")

    monkeypatch.setattr(sections, "decode_photo", refuse)
    monkeypatch.setattr(sections, "_load_predictor", lambda view: None)
    monkeypatch.setattr(sections.st, "session_state", {})
    view = sections.View({}, "haar", False, 0.0, None, "off")
    for _ in range(3):
        assert sections.predict_photos([uploads.photo_from_bytes("a.png", b"x")], view) == {}
    assert tried == ["a.png"]


def test_an_archive_is_read_from_a_stream_that_was_read_before():
    stream = io.BytesIO(archives.zipped({"a.png": b"x"}))
    stream.read()
    assert len(PhotoArchive(stream, "a.zip").photos) == 1
