"""The Photo page, without a browser."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import ElementTree

from dashboard.analysis import example_photos
from dashboard.app_pages.live import video_section
from dashboard.app_pages.photo import face_html
from dashboard.app_pages.photo import sections as photo_sections
from dashboard.app_pages.photo.face_html import Picture
from dashboard.app_pages.photo.upload_section import MAPS, PICTURES, PREDICTIONS, TABLE
from dashboard.components import photo_store
from fercore.faces.geometry import Face
from tests.dashboard.pages import RUNS, open_page, words
from tests.photos import astronaut, encoded

TINY = "facet-tiny-s0-20261121T151906"
KATKAR = "katkar2021-model2-original-s0-20261121T024609"
RANJAN = "ranjan2023-model2-fer2013-s0-20261121T165519"


def test_photos_that_are_shown_are_the_last_to_be_forgotten(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    class Counting:
        def predict(self, image: np.ndarray, whole: object) -> list[str]:
            asked.append(int(image[0, 0, 0]))
            return [str(image[0, 0, 0])]

    monkeypatch.setattr(photo_sections, "MAX_CACHED", 6)
    monkeypatch.setattr(photo_sections, "_load_predictor", lambda view: Counting())
    monkeypatch.setattr(
        photo_sections,
        "decode_photo",
        lambda content, name, **_: np.full((1, 1, 3), int(name), np.uint8),
    )
    monkeypatch.setattr(photo_sections.st, "session_state", {})
    given = [
        photo_sections.UploadedPhoto(str(number), f"digest-{number}", lambda: b"")
        for number in range(4)
    ]
    views = [photo_sections.View({}, finder, False, 0.0, (), "") for finder in ("haar", "yunet")]
    for view in (*views, views[0], views[0]):
        assert list(photo_sections.predict_photos(given, view)) == [one.digest for one in given]
    # Two of the first four had gone, and nothing that is shown does.
    assert asked == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERCORE_RUNS", str(RUNS))
    # Without a browser there is no video: the camera is off.
    off = SimpleNamespace(state=SimpleNamespace(playing=False))
    monkeypatch.setattr(video_section, "webrtc_streamer", lambda **_: off)


def shown(app: AppTest) -> str:
    """The HTML of the page."""
    return "\n".join(element.value for element in app.get("html"))


def press(app: AppTest, label: str) -> AppTest:
    (button,) = (button for button in app.button if button.label == label)
    button.click().run()
    assert not app.exception
    return app


def visit(app: AppTest, page: str, **query: str) -> AppTest:
    """Go to a page by a link, as a visitor does: the query of the page before is dropped."""
    app.switch_page(f"app_pages/{page}/{page}.py")
    # A browser sends no values of the widgets of the page that is left.
    app._tree = ElementTree()
    app._tree._runner = app
    app.query_params.clear()
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def test_an_example_is_one_click_away_and_stands_in_the_address(committed: None):
    app = open_page("photo")
    assert shown(app).count('class="example"') == 2
    press(app, "Try an example: portrait")
    assert app.query_params["example"] == "astronaut"
    assert 'alt="astronaut.jpg with 1 face in boxes"' in shown(app)
    assert "NASA (public domain). 512 × 512 pixels, 1 face." in words(app)
    assert re.search(r"1 happy \d\d\u202f%", shown(app))
    # A link to it, and a link to an example that does not exist.
    assert "1 face in boxes" in shown(open_page("photo", example="astronaut"))
    assert "Upload a photo" in words(open_page("photo", example="moon"))


def test_every_drawn_face_is_found_and_numbered_in_reading_order(committed: None):
    app = open_page("photo", example="synthetic", networks=[TINY, KATKAR])
    page = shown(app)
    assert "8 faces in boxes" in page
    table = page[page.index("face-summary") :]
    assert [int(n) for n in re.findall(r'<th scope="row"[^>]*>(\d+)</th>', table)] == [*range(1, 9)]
    expected = [name for row in example_photos.DRAWN_FACES for name, _ in row]
    rows = re.findall(r"<tr style.*?</tr>", table)
    assert len(rows) == 8
    # Surprise is the most legible drawing, in the first row.
    assert "surprise" in rows[expected.index("surprise")]
    # One column for each network, with a mark where they disagree.
    assert all(row.count("<td ") == 3 for row in rows)
    assert "models disagree" in table


def test_a_low_confidence_is_shown_with_its_class(committed: None):
    app = open_page("photo", example="astronaut", least="1", networks=TINY)
    assert "unsure" not in shown(app)
    assert re.search(r"happy \d\d\u202f% · low confidence", shown(app))
    assert "2px dashed" in shown(app)
    table = app.dataframe[0].value
    assert list(table["Expression"]) == ["happy"]
    assert list(table["Low confidence"]) == [True]
    sure = open_page("photo", example="astronaut", least="0", networks=TINY)
    assert "low confidence" not in shown(sure)
    assert "2px solid" in shown(sure)


def test_each_model_has_a_saliency_map_with_its_name_and_class(committed: None):
    app = open_page("photo", example="astronaut", heat="grad-cam", networks=[TINY, KATKAR])
    assert re.findall(r">(Grad-CAM, [^<]*)<", shown(app)) == [
        "Grad-CAM, Facet, tiny · seed 0 · 2026-11-21 15:19, class happy",
        "Grad-CAM, Katkar 2021, Model 2, original data · seed 0, class happy",
    ]


def test_a_photo_and_the_models_are_found_again_after_another_page(committed: None):
    app = open_page("photo", networks=[TINY, KATKAR, RANJAN])
    app.file_uploader(key="photos").set_value(("me.jpg", encoded(astronaut()), "image/jpeg"))
    app.run()
    assert "me.jpg with 1 face" in shown(app)
    # The Webcam page takes two models, and leaves the third one selected for Photo.
    visit(app, "live")
    assert app.multiselect(key="networks").value == [TINY, KATKAR]
    visit(app, "photo")
    assert app.multiselect(key="networks").value == [TINY, KATKAR, RANJAN]
    assert "me.jpg with 1 face" in shown(app)
    # A third visit, and an example that a link asks for beside it.
    visit(app, "overview")
    visit(app, "photo", example="astronaut")
    assert list(app.dataframe[0].value["Photo"].unique()) == ["astronaut.jpg", "me.jpg"]
    press(app, "Remove photos")
    assert "Upload a photo" in words(app)
    assert "example" not in app.query_params
    # What was computed from the photos is gone, too.
    assert not [key for key in (PREDICTIONS, PICTURES, TABLE, MAPS) if key in app.session_state]
    visit(app, "live")
    visit(app, "photo")
    assert "Upload a photo" in words(app)


def test_a_selection_on_the_webcam_page_is_that_of_photo(committed: None):
    app = open_page("live", networks=KATKAR)
    visit(app, "photo", example="astronaut")
    assert app.multiselect(key="networks").value == [KATKAR]
    app.multiselect(key="networks").set_value([RANJAN]).run()
    visit(app, "live")
    assert app.multiselect(key="networks").value == [RANJAN]


def test_files_beyond_the_limit_are_not_kept_for_the_next_visit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(photo_store, "MAX_KEPT_BYTES", 100)
    files = [SimpleNamespace(name=str(size), size=size) for size in (60, 50, 40)]
    store = photo_store.StoredFiles(earlier=files[2:], current=files[:2])
    store.begin_visit()
    assert [file.size for file in store.earlier] == [60, 40]
    assert store.current == []


def test_labels_stay_inside_the_photo():
    picture = Picture("", 1000, 800)
    assert face_html._label_place(Face(100, 300, 200), picture) == "bottom:100%;left:-2px;"
    assert face_html._label_place(Face(100, 10, 200), picture) == "top:0;left:-2px;"
    assert face_html._label_place(Face(790, 300, 200), picture) == "bottom:100%;right:-2px;"
