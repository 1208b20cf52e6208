"""The Photo and Webcam pages in Chromium, with a real face and the committed networks."""

import io
import itertools
import re
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.dashboard import browser
from tests.photos import astronaut, encoded, film, huge_png, scene

pytestmark = pytest.mark.browser

RUNS = Path(__file__).parents[2] / "runs"
KATKAR = "katkar2021-model2-original-s0-20261121T024609"
RANJAN = "ranjan2023-model1-fer2013-s0-20261121T064611"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with browser.server(RUNS, tmp_path_factory.mktemp("data")) as address:
        yield address


@pytest.fixture(scope="module")
def window(tmp_path_factory, address):
    path = film(tmp_path_factory.mktemp("film") / "face.y4m", frames=50)
    with browser.chromium(path) as chromium:
        yield chromium


@pytest.fixture
def page(window):
    context = window.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"])
    page = context.new_page()
    # The page sends no request to another host.
    elsewhere: list[str] = []
    page.on(
        "request",
        lambda request: (
            elsewhere.append(request.url)
            if not request.url.startswith(("http://127.0.0.1", "data:", "blob:", "ws://127.0.0.1"))
            else None
        ),
    )
    yield page
    context.close()
    assert elsewhere == []


def hand_in(page: Page, **files: bytes) -> None:
    page.set_input_files(
        "input[type=file]",
        [
            {"name": name, "mimeType": "application/octet-stream", "buffer": content}
            for name, content in files.items()
        ],
    )


def faces(page: Page) -> list[str]:
    return [card.inner_text() for card in page.locator("section.face").all()]


def test_a_photo_is_classified_by_two_networks_and_explained(page, address):
    page.goto(f"{address}/photo?networks={KATKAR}&networks={RANJAN}&heat=occlusion")
    browser.settle(page)
    hand_in(page, **{"portrait.jpg": encoded(astronaut())})
    page.wait_for_selector("section.face", timeout=30_000)
    browser.settle(page)
    (card,) = faces(page)
    # The label and the first bar of each network, and the caption of each map.
    assert card.count("happy") == 6
    assert "disagree" not in card
    # The model input, and one map for each network.
    assert page.locator("section.face img").count() == 3
    assert re.search(r"Occlusion, Katkar 2021, Model 2, original data · seed 0, class happy", card)
    assert re.search(r"Occlusion, Ranjan 2023, Model 1, class happy", card)
    occluded = page.locator("section.face img").last.get_attribute("src")
    page.get_by_text("Grad-CAM", exact=True).click()
    expect(page.locator("section.face img").last).not_to_have_attribute("src", occluded or "")
    assert "heat=grad-cam" in page.url
    page.get_by_text("Off", exact=True).click()
    expect(page.locator("section.face img")).to_have_count(1)
    assert page.locator(".photo img").get_attribute("alt") == "portrait.jpg with 1 face in boxes"
    box = page.locator(".photo > div").bounding_box()
    photo = page.locator(".photo").bounding_box()
    assert (box["x"] + box["width"] / 2 - photo["x"]) / photo["width"] == pytest.approx(
        222 / 512, abs=0.03
    )
    expect(page.get_by_text("The models agree on 1 of 1 faces")).to_be_visible()


def test_files_that_are_not_photos_do_not_stop_the_others(page, address):
    page.goto(f"{address}/photo?networks={KATKAR}")
    browser.settle(page)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("../../portrait.jpg", encoded(astronaut()))
    files = {
        "fake.jpg": b"\xff\xd8 no photo",
        "empty.png": b"",
        "huge.png": huge_png(),
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "wall.png": encoded(np.full((200, 300, 3), 120, np.uint8), ".png"),
        "broken.zip": b"PK no archive",
        "photos.zip": archive.getvalue(),
    }
    hand_in(page, **files)
    for name in ("fake.jpg", "huge.png", "drawing.png", "broken.zip"):
        expect(page.get_by_text(name).last).to_be_visible(timeout=30_000)
    expect(page.get_by_text("cannot decode fake.jpg")).to_be_visible()
    expect(page.get_by_text("huge.png has too many pixels")).to_be_visible()
    expect(page.get_by_text("No face was found")).to_be_visible()
    page.get_by_text("2", exact=True).first.click()
    page.wait_for_selector("section.face", timeout=30_000)
    assert "happy" in faces(page)[0]
    assert page.locator("[data-testid=stException]").count() == 0


def test_two_hundred_faces_are_paged(page, address):
    page.goto(f"{address}/photo?networks={KATKAR}")
    browser.settle(page)
    small = scene(40, 46, 0.55, (90, 80))
    crowd = np.tile(small, (10, 20, 1))
    hand_in(page, **{"crowd.png": encoded(crowd, ".png")})
    page.wait_for_selector("section.face", timeout=30_000)
    browser.settle(page)
    assert page.locator(".photo > div").count() == 200
    assert len(faces(page)) == 12
    page.get_by_role("button", name="Page 17").click()
    # The run that the click begins has to draw them: a page at rest may not have heard of it yet.
    expect(page.locator("section.face")).to_have_count(8, timeout=30_000)
    assert [re.search(r"Face (\d+)", card)[1] for card in faces(page)] == [
        str(number) for number in range(193, 201)
    ]


def test_a_face_is_tracked_while_the_network_changes(page, address):
    page.goto(f"{address}/live?networks={KATKAR}")
    browser.settle(page)
    page.frame_locator("iframe").first.get_by_role("button", name="START").click(timeout=30_000)
    page.wait_for_selector("section.live-face", timeout=60_000)
    counts, lags = [], []
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        page.wait_for_timeout(2000)
        counts.append(number(page, "Frames"))
        lags.append(number(page, "Delay"))
        assert "happy" in page.locator("section.live-face").first.inner_text()
    assert all(later > earlier for earlier, later in itertools.pairwise(counts))
    # A lag that grows would end far above.
    assert max(lags) < 2000
    shown = page.frame_locator("iframe").first.locator("video")
    before = shown.evaluate("v => v.getVideoPlaybackQuality().totalVideoFrames")

    # The list is drawn as far as it is seen: what is typed narrows it down.
    page.get_by_role("combobox", name="Models").fill("Ranjan 2023, Model 1")
    page.get_by_role("option", name="Ranjan 2023, Model 1", exact=True).click()
    page.keyboard.press("Escape")
    page.wait_for_selector("section.live-face:has-text('Ranjan 2023, Model 1')")
    assert "happy" in page.locator("section.live-face").first.inner_text()
    assert number(page, "Frames") > counts[-1]
    page.wait_for_timeout(1500)
    assert shown.evaluate("v => v.getVideoPlaybackQuality().totalVideoFrames") > before
    expect(page.locator("img.timeline")).to_have_count(2, timeout=20_000)

    page.get_by_role("button", name="Snapshot").click()
    page.get_by_role("link", name="Snapshots on the Photo page").click()
    page.wait_for_selector("section.face", timeout=30_000)
    assert "happy" in faces(page)[0]

    # And back, from a page with a switch for the camera.
    page.get_by_role("link", name="Webcam", exact=True).first.click()
    expect(page.locator("h1")).to_have_text("Webcam")
    page.frame_locator("iframe").first.get_by_role("button", name="START").click(timeout=30_000)
    page.wait_for_selector("section.live-face", timeout=60_000)
    assert page.locator("[data-testid=stException]").count() == 0


def start(page: Page, address: str) -> None:
    page.goto(f"{address}/live?networks={KATKAR}")
    browser.settle(page)
    page.frame_locator("iframe").first.get_by_role("button", name="START").click(timeout=30_000)
    page.wait_for_selector("section.live-face", timeout=60_000)


def test_viewers_do_not_disturb_each_other(page, window, address):
    start(page, address)
    other = window.new_context(permissions=["camera"])
    start(other.new_page(), address)
    more_frames(page)
    # A tab that is closed while its camera runs.
    other.close()
    more_frames(page)
    # Another page while the camera runs, and back: it is off, and can be started again.
    page.get_by_role("link", name="Runs", exact=True).first.click()
    expect(page.locator("h1")).to_have_text("Runs")
    page.get_by_role("link", name="Webcam", exact=True).first.click()
    expect(page.locator("h1")).to_have_text("Webcam")
    page.frame_locator("iframe").first.get_by_role("button", name="START").click(timeout=30_000)
    page.wait_for_selector("section.live-face", timeout=60_000)
    page.frame_locator("iframe").first.get_by_role("button", name="STOP").click()
    page.wait_for_timeout(3000)
    before = number(page, "Frames")
    page.wait_for_timeout(2000)
    assert number(page, "Frames") == before
    assert page.locator("[data-testid=stAlertContentWarning]").count() == 0


# The component asks for the camera in its frame; the page's own code cannot reach what it got.
KEEP_THE_CAMERA = """
const ask = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
if (ask) navigator.mediaDevices.getUserMedia = async wanted => (window.camera = await ask(wanted));
"""


def test_a_lost_camera_is_reported_and_can_be_started_again(page, address):
    page.add_init_script(KEEP_THE_CAMERA)
    start(page, address)
    inside = page.frame_locator("iframe").first.locator("body")
    # As when it is unplugged: the track ends, and the browser reports it.
    inside.evaluate(
        "() => window.camera.getTracks().forEach("
        "track => { track.stop(); track.dispatchEvent(new Event('ended')); })"
    )
    warning = page.get_by_text("the camera or the connection was lost")
    expect(warning).to_be_visible(timeout=20_000)
    assert page.locator("[data-testid=stException]").count() == 0
    # The statistics are kept.
    assert number(page, "Frames") > 0
    page.frame_locator("iframe").first.get_by_role("button", name="STOP").click()
    page.frame_locator("iframe").first.get_by_role("button", name="START").click(timeout=30_000)
    expect(warning).to_be_hidden(timeout=20_000)
    more_frames(page)
    assert "happy" in page.locator("section.live-face").first.inner_text()


def test_the_camera_works_in_a_server_that_has_loaded_keras(page, address):
    """TensorFlow and the library that encrypts video do not get on in every order."""
    page.goto(f"{address}/augmentation?rotation=10")
    page.wait_for_selector("figure img", timeout=180_000)
    start(page, address)


def more_frames(page: Page) -> None:
    """Wait until frames have been processed after this call."""
    before = number(page, "Frames")
    page.wait_for_function(
        "before => Number(document.querySelector("
        "'dl.stream-statistics [data-name=Frames] dd').innerText.replace(',', '')) > before",
        arg=before,
        timeout=30_000,
    )


def number(page: Page, label: str) -> int:
    value = page.locator(f"dl.stream-statistics [data-name='{label}'] dd").first.inner_text()
    return int(re.sub(r"[^0-9]", "", value))


def test_the_demonstration_plays_in_place_of_a_camera(page, address):
    page.goto(f"{address}/live?networks={KATKAR}")
    browser.settle(page)
    expect(page.get_by_text("Camera off", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Snapshot")).to_be_disabled()
    page.get_by_role("button", name="Play the demonstration").click()
    expect(page.locator("section.live-face")).to_have_count(2, timeout=60_000)
    video = page.frame_locator("iframe").first.locator("video")
    assert video.evaluate("v => [v.videoWidth, v.videoHeight]") == [640, 480]
    more_frames(page)
    expect(page.locator("img.timeline")).to_have_count(1)
    # Another page and back: it is off, and the camera can be started.
    page.get_by_role("link", name="Runs", exact=True).first.click()
    expect(page.locator("h1")).to_have_text("Runs", timeout=10_000)
    page.get_by_role("link", name="Webcam", exact=True).first.click()
    expect(page.get_by_role("button", name="Play the demonstration")).to_be_visible()
    assert page.locator("[data-testid=stException]").count() == 0
