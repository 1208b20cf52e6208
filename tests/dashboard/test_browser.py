"""The dashboard in a real browser: what a person does, and what they must never see."""

import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from fercore.data.labels import FER2013
from fercore.runs import annotations
from fercore.runs.reader import read_run
from fercore.runs.writer import RunWriter
from tests.dashboard import browser, make_runs

REQUIRED = os.environ.get("FERCORE_REQUIRE_BROWSER") == "1"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not REQUIRED and browser.find_chromium() is None, reason="no Chromium is installed"
    ),
]

# On a page that is not the first, Streamlit's client tries its endpoints below that page first.
PROBES = re.compile(
    r"/(augmentation|runs|compare|confusion|data|live|photo|run|papers)/_stcore/(health|host-config)$"
)
TROUBLE = (
    '[data-testid="stException"], [data-testid="stAlertContentError"], '
    '[data-testid="stConnectionStatus"]'
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> RunWriter:
    return make_runs.full_root(tmp_path_factory.mktemp("browser") / "runs")


@pytest.fixture(scope="module")
def root(running: RunWriter) -> Path:
    return running.path.parent


@pytest.fixture(scope="module")
def address(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("data")
    make_runs.faces(data, root)
    with browser.server(root, data) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.chromium() as found:
        yield found


class Visitor:
    """A person with a window of their own, and a list of all that went wrong in it."""

    def __init__(self, chromium: Browser, address: str, **settings: object):
        self.address = address
        self.context = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 900}} | settings
        )
        self.page: Page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", self._see)

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        browser.settle(self.page)
        return self.page

    def leave(self) -> None:
        assert self.page.locator(TROUBLE).count() == 0
        self.context.close()
        assert self.troubles == []

    def _hear(self, message) -> None:
        if message.type == "error" and not PROBES.search(message.location.get("url", "")):
            self.troubles.append(f"{message.text} ({message.location})")

    def _see(self, request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.troubles.append(f"a request left the machine: {request.url}")


@pytest.fixture
def visitor(chromium: Browser, address: str, running: RunWriter) -> Iterator[Visitor]:
    running.set_status(state="running")
    found = Visitor(chromium, address)
    yield found
    found.leave()


def run_id(root: Path, name: str) -> str:
    return next(path.name for path in root.glob(f"{name}-s*"))


def tick(page: Page, *rows: int) -> None:
    """Tick rows of the first table, counted from 0; the table is a canvas."""
    table = page.locator('[data-testid="stDataFrameResizable"]').first
    font = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    # A row is 2.1875 times as high as the page's font, in whole pixels.
    height = round(font * 2.1875)
    for row in rows:
        table.click(position={"x": height / 2, "y": height * (row + 1.5)})
        browser.settle(page)


# A page is as wide in the dark: every width once, the narrow one in both colours. It is opened in
# a narrow window, which is then widened.
@pytest.mark.parametrize(
    ("scheme", "widened"), [("light", (1920, 1080)), ("dark", (1280, 800))], ids=["light", "dark"]
)
def test_every_page_at_every_width(chromium, address, root, running, scheme, widened):
    running.set_status(state="running")
    visitor = Visitor(chromium, address, color_scheme=scheme)
    pair = f"runs={run_id(root, 'le2019-deep')}&runs={run_id(root, 'le2019-shallow')}"
    pages = {
        "/": "Which model",
        "/runs": "Runs",
        "/compare": "Compare",
        f"/compare?{pair}": "Compare",
        "/confusion": "Confusion",
        f"/confusion?{pair}&true=fear&said=sad": "Confusion",
        f"/run?run={run_id(root, 'katkar2021-model1-original')}": "Katkar 2021",
        f"/run?run={running.path.name}": "Khopkar 2021",
        "/run?run=holiday-pictures": "holiday-pictures",
        "/papers": "Paper reproductions",
        "/data": "Datasets",
        "/augmentation?rotation=10": "Augmentation",
        "/papers?system=rath2021": "Paper reproductions",
        "/photo": "Photo",
        "/live": "Webcam",
        "/run?run=gone": "Le 2019, Deep CNN",
    }
    for path, heading in pages.items():
        visitor.page.set_viewport_size({"width": 390, "height": 844})
        page = visitor.open(path)
        for width, height in ((390, 844), widened):
            page.set_viewport_size({"width": width, "height": height})
            browser.settle(page)
            expect(page.locator("h1")).to_contain_text(heading)
            assert page.locator(TROUBLE).count() == 0
            assert page.evaluate("window.innerWidth") == width
            page.wait_for_timeout(200)  # charts and tables follow the window a moment later
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} scrolls sideways: {wide} pixels"
    visitor.leave()


def test_from_runs_to_a_link_that_opens_fresh(visitor, chromium, address, root):
    page = visitor.open("/runs")
    expect(page.get_by_role("button", name="Compare selected")).to_be_disabled()
    # Newest first: the running run, Le's deep network, a broken run, Le's shallow network.
    tick(page, 1, 3)
    page.get_by_role("button", name="Compare selected (2)").click()
    expect(page.locator("h1")).to_have_text("Compare")
    pair = [run_id(root, "le2019-deep"), run_id(root, "le2019-shallow")]
    expect(page.get_by_text("Metrics on PrivateTest (deduplicated)", exact=True)).to_be_visible()
    # Quick: the second click cuts the run of the first short.
    page.get_by_role("radio", name="PublicTest").click()
    page.get_by_role("radio", name="Time").click()
    expect(page.get_by_text("Metrics on PublicTest", exact=True)).to_be_visible()
    browser.settle(page)
    link = page.url
    assert parse_qs(urlsplit(link).query) == {
        "runs": pair,
        "split": ["validation"],
        "x": ["time"],
    }

    other = Visitor(chromium, address)
    fresh = other.open(link.removeprefix(address))
    expect(fresh.get_by_text("Metrics on PublicTest", exact=True)).to_be_visible()
    expect(fresh.get_by_role("radio", name="Time")).to_be_checked()
    # A forest, two curves, the recalls, two ranking curves, two costs, parallel coordinates.
    expect(fresh.locator('[data-testid="stPlotlyChart"]')).to_have_count(9)
    chosen = '[data-testid="stMultiSelect"] >> nth=0'
    assert fresh.locator(chosen).inner_text() == page.locator(chosen).inner_text()
    other.leave()


def test_ticks_outlive_a_visit_to_another_page(visitor, root):
    page = visitor.open("/runs")
    tick(page, 1, 3)
    page.get_by_role("button", name="Compare selected (2)").click()
    expect(page.locator("h1")).to_have_text("Compare")
    page.get_by_role("link", name="Runs").first.click()
    expect(page.get_by_role("button", name="Compare selected (2)")).to_be_enabled()
    page.get_by_role("link", name="Compare").first.click()
    expect(page.get_by_text("Metrics on PrivateTest (deduplicated)", exact=True)).to_be_visible()
    assert run_id(root, "le2019-deep") in page.url


def test_ticks_are_in_the_address_and_go_back(visitor, chromium, address, root):
    page = visitor.open("/runs")
    tick(page, 1)
    expect(page).to_have_url(re.compile("runs=le2019-deep"))
    tick(page, 3)
    expect(page.get_by_role("button", name="Compare selected (2)")).to_be_enabled()
    expect(page).to_have_url(re.compile("runs=le2019-shallow"))
    other = Visitor(chromium, address)
    fresh = other.open(page.url.removeprefix(address))
    expect(fresh.get_by_role("button", name="Compare selected (2)")).to_be_enabled()
    other.leave()
    page.go_back()
    expect(page.get_by_role("button", name="Compare selected (1)")).to_be_visible()
    tick(page, 3)
    expect(page.get_by_role("button", name="Compare selected (2)")).to_be_enabled()


def test_open_a_run_by_its_row(visitor):
    page = visitor.open("/runs")
    tick(page, 1)
    page.get_by_role("button", name="Open run").click()
    expect(page.locator("h1")).to_have_text("Le 2019, Deep CNN")
    assert "run=le2019-deep" in page.url


def test_open_a_run_by_its_button(visitor):
    page = visitor.open("/runs")
    table = page.locator('[data-testid="stDataFrameResizable"]').first
    # Behind the tick and the name of the fourth run, Le's shallow network.
    table.click(position={"x": 33 + 236 + 22, "y": 33 * 4.5})
    expect(page.locator("h1")).to_have_text("Le 2019, Shallow CNN")


def test_running_run_grows_without_a_reload(visitor, running):
    plan = make_runs.Plan("khopkar2021", "Khopkar 2021, CNN", done=12, epochs=40)
    page = visitor.open(f"/run?run={running.path.name}")
    born = page.evaluate("performance.timeOrigin")
    expect(page.get_by_text("epoch 12 of 40")).to_be_visible()
    page.get_by_role("radio", name="Time").click()
    make_runs.another_epoch(running, plan, 13)
    expect(page.get_by_text("epoch 13 of 40")).to_be_visible(timeout=10_000)
    expect(page.get_by_role("radio", name="Time")).to_be_checked()
    assert page.evaluate("performance.timeOrigin") == born


def test_runs_page_follows_a_run_to_its_end(visitor, running, root):
    page = visitor.open("/runs")
    born = page.evaluate("performance.timeOrigin")
    tick(page, 1, 3)
    expect(page.get_by_role("button", name="Compare selected (2)")).to_be_enabled()
    expect(page.locator('[data-testid="stProgress"]')).to_have_count(1)
    another = make_runs.running(root, make_runs.Plan("newcomer", "A run that begins", done=1))
    expect(page.locator('[data-testid="stProgress"]')).to_have_count(2, timeout=10_000)
    expect(page.get_by_role("button", name="Compare selected (2)")).to_be_enabled()
    another.set_status(state="interrupted")
    running.set_status(state="interrupted")
    expect(page.locator('[data-testid="stProgress"]')).to_have_count(0, timeout=10_000)
    expect(
        page.get_by_text("9 runs on real faces: 4 finished, 5 failed or stopped.")
    ).to_be_visible()
    assert page.evaluate("performance.timeOrigin") == born


def choose(page: Page, label: str, option: str) -> None:
    """Pick an option of a list that can be searched."""
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()
    browser.settle(page)


def click_cell(page: Page, chart: int, true: str, said: str) -> None:
    """Click a cell of a confusion matrix, counted from 0."""
    drawn = page.locator('[data-testid="stPlotlyChart"]').nth(chart)
    drawn.scroll_into_view_if_needed()
    area = drawn.locator(".nsewdrag").first.bounding_box()
    assert area
    column, row = FER2013.index(said) + 0.5, FER2013.index(true) + 0.5
    page.mouse.move(area["x"] + area["width"] * column / 7, area["y"] + area["height"] * row / 7)
    page.mouse.down()
    page.mouse.up()
    browser.settle(page)


def faces(page: Page) -> list[str]:
    """What the faces that are shown say."""
    page.wait_for_selector(".faces img")
    return page.locator(".faces").first.locator("img").evaluate_all("all => all.map(i => i.alt)")


def test_the_whole_story(visitor, chromium, address, root):
    """Sort, pick two runs, set a baseline, click a cell, see its faces, share the view."""
    page = visitor.open("/runs")
    choose(page, "Sort by", "Accuracy")
    # The best first: Le's deep network, Katkar's runs below it are of fewer classes.
    tick(page, 0, 1)
    page.get_by_role("button", name="Compare selected (2)").click()
    expect(page.locator("h1")).to_have_text("Compare")
    pair = [run_id(root, "le2019-deep"), run_id(root, "le2019-shallow")]
    choose(page, "Baseline", "Le 2019, Shallow CNN")
    expect(page).to_have_url(re.compile("baseline=le2019-shallow"))

    page.get_by_role("link", name="Confusion matrices and samples").click()
    expect(page.locator("h1")).to_have_text("Confusion matrix")
    browser.settle(page)
    click_cell(page, 1, "fear", "sad")
    expect(page).to_have_url(re.compile("true=fear"))
    browser.settle(page)
    query = parse_qs(urlsplit(page.url).query)
    assert query["runs"] == pair
    assert (query["of"], query["true"], query["said"]) == ([pair[1]], ["fear"], ["sad"])
    shown = faces(page)
    assert len(shown) == 24
    assert all("true fear; predicted: sad" in alt for alt in shown)

    other = Visitor(chromium, address)
    fresh = other.open(page.url.removeprefix(address))
    assert faces(fresh) == shown
    other.leave()

    # Another cell, then back: the first cell again.
    click_cell(page, 0, "angry", "angry")
    expect(page).to_have_url(re.compile("true=angry"))
    browser.settle(page)
    assert all("true angry; predicted: angry" in alt for alt in faces(page))
    page.go_back()
    expect(page.get_by_role("combobox", name="True class")).to_have_value("fear")
    browser.settle(page)
    assert faces(page) == shown


def test_a_note_that_was_changed_meanwhile_is_shown_and_not_replaced(visitor, root):
    plan = make_runs.Plan("noted", "A run that two people note", done=2, hours_ago=0.01)
    path = make_runs.ended(root, plan, "interrupted", "stopped")
    page = visitor.open("/runs?q=two+people+note")
    tick(page, 0)
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("button", name="Note and tags").click()
    page.get_by_role("textbox", name="Note").fill("from this tab")
    annotations.annotate(read_run(path), text="from another tab", tags=("other",))
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Someone else changed this note")).to_be_visible()
    expect(page.get_by_test_id("stDialog").get_by_text("from another tab")).to_be_visible()
    expect(page.get_by_role("textbox", name="Note")).to_have_value("from this tab")
    assert read_run(path).notes.text == "from another tab"
    page.get_by_role("textbox", name="Note").fill("from another tab, and from this one")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    browser.settle(page)
    assert read_run(path).notes.text == "from another tab, and from this one"
    assert read_run(path).notes.tags == ("other",)


def test_a_run_is_tagged_deleted_and_brought_back(visitor, root):
    plan = make_runs.Plan("passing-by", "A run that comes and goes", done=2, hours_ago=0.01)
    path = make_runs.ended(root, plan, "interrupted", "stopped")
    page = visitor.open("/runs?q=comes+and+goes")
    tick(page, 0)
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("button", name="Note and tags").click()
    page.get_by_role("textbox", name="Note").fill("never trust this one")
    page.get_by_role("textbox", name="Tags").fill("ablation, throwaway")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    browser.settle(page)
    assert read_run(path).notes.tags == ("ablation", "throwaway")
    assert read_run(path).notes.text == "never trust this one"

    page = visitor.open("/runs?q=throwaway")
    tick(page, 0)
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_test_id("stDialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted 1 run")).to_be_visible()
    assert not path.exists()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Deleted 1 run")).to_have_count(0)
    assert read_run(path).notes.tags == ("ablation", "throwaway")


@pytest.mark.parametrize(
    ("button", "end", "says"),
    [
        ("Table as CSV", ".csv", "Le 2019, Deep CNN"),
        ("Table as LaTeX", ".tex", r"\begin{tabular}"),
    ],
)
def test_the_table_of_runs_can_be_downloaded(visitor, button, end, says):
    page = visitor.open("/runs")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as found:
        page.get_by_role("button", name=button).click()
    assert found.value.suggested_filename == f"runs{end}"
    assert says in Path(found.value.path()).read_text()


def test_a_comparison_becomes_a_file_that_opens_without_a_server(visitor, chromium, root, tmp_path):
    pair = f"runs={run_id(root, 'le2019-deep')}&runs={run_id(root, 'le2019-shallow')}"
    page = visitor.open(f"/compare?{pair}")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as found:
        page.get_by_role("button", name="Report as HTML").click()
    path = tmp_path / "comparison.html"
    found.value.save_as(path)

    context = chromium.new_context(offline=True)
    report = context.new_page()
    troubles: list[str] = []
    report.on("pageerror", lambda error: troubles.append(str(error)))
    report.on("requestfailed", lambda request: troubles.append(request.url))
    report.goto(path.as_uri())
    expect(report.locator("h1")).to_have_text("Comparison of 2 runs")
    # A forest, two curves, two matrices, the recalls, accuracy against parameters and operations.
    expect(report.locator(".plotly-graph-div .main-svg").first).to_be_visible()
    assert report.locator(".plotly-graph-div").count() == 8
    assert "Only baseline correct" in report.content()
    context.close()
    assert troubles == []


def test_a_dataset_is_added_by_dropping_a_file(visitor, tmp_path):
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04 torn")
    archive = tmp_path / "ck.zip"
    with zipfile.ZipFile(archive, "w") as file:
        rng = np.random.default_rng(0)
        for number, kind in enumerate(("anger", "contempt")):
            for subject in range(4):
                face = rng.integers(0, 256, (48, 48)).astype(np.uint8)
                name = f"CK+48/{kind}/S{subject:03}_00{number}_00000017.png"
                file.writestr(name, cv2.imencode(".png", face)[1].tobytes())
    page = visitor.open("/data")
    page.get_by_text("Add a dataset").click()
    uploaded = page.locator("input[type=file]")
    uploaded.set_input_files(tmp_path / "torn.zip")
    page.get_by_role("button", name="Add", exact=True).click()
    # One line says what is wrong, and nothing is installed.
    expect(page.get_by_text(re.compile("torn.zip.*(damaged|broken|read)"))).to_be_visible()
    visitor.open("/data")
    page.get_by_text("Add a dataset").click()
    uploaded.set_input_files(archive)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("8 images of ckplus are ready.")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("8 images.", exact=True)).to_be_visible()
