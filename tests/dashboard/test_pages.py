"""Every page in every state: no exception, and the same names on all of them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.app_pages.live import video_section
from dashboard.components import model_picker
from fercore.config.run import RunConfig
from fercore.data.labels import FER2013
from fercore.data.registry import load_dataset
from fercore.importers.import_run import import_predictions
from fercore.inference.ensemble import combine
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run, read_run
from tests.dashboard import make_runs
from tests.dashboard.pages import APP, PAGES, RUNS, open_page, words


@pytest.mark.parametrize("page", [page for page in PAGES if page != "papers"])
def test_without_runs_a_page_says_what_to_do(empty: Path, page: str):
    said = words(open_page(page))
    assert "No runs yet" in said
    assert "fercore train synthetic-quick" in said
    assert "fercore data add fer2013 PATH" in said
    assert "fercore train katkar2021-model1-original" in said


@pytest.mark.parametrize("page", PAGES)
def test_broken_folders_alone(empty: Path, page: str):
    empty.mkdir()
    make_runs.broken(empty)
    open_page(page)


def test_pages_show_runs_that_start_were_killed_or_diverged(root: Path):
    plans = [make_runs.Plan(name, name, done=done) for name, done in NEW_STATES]
    starting = make_runs.running(root, plans[0])
    starting.set_status(state="starting", phase="starting", epoch=0)
    (starting.path / "environment.json").unlink()
    killed = make_runs.killed(root, plans[1])
    said = "the training loss of epoch 6 is nan"
    diverged = make_runs.ended(root, plans[2], "diverged", said)
    open_page("runs")
    page = words(open_page("run", run=starting.path.name))
    assert "To train it" not in page
    page = words(open_page("run", run=killed.name))
    assert "To train it from the start:" in page
    assert f"fercore train --resume {killed.name}" in page
    page = words(open_page("run", run=diverged.name))
    assert said in page
    assert "--resume" not in page
    open_page("compare", runs=[starting.path.name, killed.name, diverged.name])


NEW_STATES = (("loading-run", 0), ("killed-run", 0), ("diverged-run", 5))


@pytest.mark.parametrize("file", ["log.jsonl", "layers.json", "results.json", "predictions.npz"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"null\n"])
def test_torn_files_break_no_page(root: Path, runs: dict[str, Run], file: str, content: bytes):
    run = runs["le2019-deep"]
    (run.path / file).write_bytes(content)
    open_page("runs")
    open_page("compare", runs=[run.id, runs["le2019-shallow"].id])
    open_page("run", run=run.id)


def test_a_matrix_of_the_wrong_shape_breaks_no_page(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"]
    fields = json.loads((run.path / "results.json").read_bytes())
    fields["splits"]["test"]["confusion"] = [[1, 2], [3]]
    (run.path / "results.json").write_text(json.dumps(fields))
    open_page("runs")
    open_page("compare", runs=[run.id, runs["le2019-shallow"].id])
    said = words(open_page("run", run=run.id))
    assert "is not of the 7 classes of class" in said


def test_predictions_of_the_wrong_shape_count_as_none(root: Path, runs: dict[str, Run]):
    run = runs["le2019-deep"]
    path = run.path / "predictions.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"test_probabilities": arrays["test_probabilities"][:, :3]}))
    assert "The predictions on this split are not stored" in words(open_page("run", run=run.id))


@pytest.fixture(scope="module")
def heavy_imports(made: Path) -> dict[str, list[str]]:
    """Open every page in turn, in one new process; return the heavy modules loaded after each."""
    run_ids = sorted(path.name for path in made.glob("le2019-*"))
    script = f"""
import json, sys
from streamlit.testing.v1 import AppTest
# scipy.special takes 0.4 s once, scipy.stats 3 s.
heavy = {{"keras", "tensorflow", "jax", "sklearn", "scipy.stats", "cv2", "onnxruntime", "cleanlab"}}
loaded = {{}}
for page in {PAGES!r}:
    app = AppTest.from_file({APP!r}, default_timeout=60)
    if page != "overview":
        app.switch_page(f"app_pages/{{page}}/{{page}}.py")
        app.query_params["runs"] = {run_ids!r}
        app.query_params["run"] = {run_ids[0]!r}
    app.run()
    assert not app.exception
    loaded[page] = sorted(heavy & set(sys.modules))
print(json.dumps(loaded))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"FERCORE_RUNS": str(made), "PATH": "/usr/bin:/bin"},
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("page", PAGES)
def test_no_page_imports_keras(heavy_imports: dict[str, list[str]], page: str):
    assert heavy_imports[page] == []


def test_dashboard_imports_neither_training_nor_the_command_line():
    for file in (Path(APP).parent).rglob("*.py"):
        source = file.read_text()
        for forbidden in (
            "fercore.cli",
            "fercore.training.trainer",
            "import keras",
            "import tensorflow",
        ):
            assert forbidden not in source, file


def test_no_module_takes_a_standard_name():
    names = {file.stem for file in Path(APP).parent.glob("*.py")}
    assert not names & sys.stdlib_module_names


def test_pages_are_thin():
    for folder in (Path(APP).parent / "app_pages").glob("[a-z]*"):
        file = folder / f"{folder.name}.py"
        assert len(file.read_text().splitlines()) < 130
        assert "numpy" not in file.read_text()


def test_a_run_has_one_name_on_all_pages(root: Path, runs: dict[str, Run]):
    """Two runs of one name and seed are told apart even where one of them is shown alone."""
    one = runs["le2019-deep"]
    shutil.copytree(one.path, root / "le2019-deep-again")
    app = open_page("compare", runs=[one.id, runs["le2019-shallow"].id])
    shown = pd.concat([frame.value for frame in app.dataframe if "Run" in frame.value])
    assert f"Le 2019, Deep CNN · {one.id}" in set(shown["Run"])
    assert "Le 2019, Shallow CNN" in set(shown["Run"])


@pytest.mark.parametrize("page", ["photo", "live", "confusion"])
def test_a_page_that_can_show_none_of_the_runs_says_what_they_lack(root: Path, page: str):
    for run in list_runs(root):
        if run.state != "running":
            shutil.rmtree(run.path)
    said = words(open_page(page))
    assert "No run here has" in said
    assert "No runs yet" not in said


def test_an_imported_run_stands_beside_our_own(root: Path, runs: dict[str, Run], tmp_path: Path):
    data = tmp_path / "data"
    make_runs.faces(data, root)
    splits = load_dataset("fer2013", data)
    names = splits.class_names
    table = pd.DataFrame(np.full((3589, 7), 0.1), columns=list(names))
    table[names[3]] = 0.4
    table.insert(0, "id", splits["test"].ids)
    (tmp_path / "theirs.csv").write_text(table.to_csv(index=False))
    config = RunConfig(name="theirs", title="Theirs", dataset="fer2013", model="theirs")
    path = import_predictions({"test": tmp_path / "theirs.csv"}, config, splits, root, "import")
    real = open_page("runs").dataframe[0].value
    assert list(real.loc[path.name, "Tags"]) == ["imported"]
    assert real.loc[path.name, "Accuracy"] == pytest.approx(100 * 879 / 3589)
    pair = [runs["le2019-deep"].id, path.name]
    for page in ("compare", "confusion"):
        app = open_page(page, runs=pair)
        assert "They have judged no samples in common" not in words(app)
    app = open_page("run", run=path.name)
    assert "Theirs" in words(app)
    assert "No run" not in words(app)


def test_predicted_classes_without_probabilities_are_shown_without_calibration(
    root: Path, runs: dict[str, Run], tmp_path: Path
):
    data = tmp_path / "data"
    make_runs.faces(data, root)
    test = load_dataset("fer2013", data)["test"]
    said = [FER2013[place] for place in np.where(np.arange(len(test)) % 3, test.labels, 3)]
    pd.DataFrame({"id": test.ids, "predicted": said}).to_csv(tmp_path / "theirs.csv", index=False)
    config = RunConfig(name="theirs", title="Theirs", dataset="fer2013", model="theirs")
    splits = load_dataset("fer2013", data)
    path = import_predictions({"test": tmp_path / "theirs.csv"}, config, splits, root, "import")
    pair = [runs["le2019-deep"].id, path.name]
    app = open_page("compare", runs=pair)
    assert "McNemar" in words(app)
    app = open_page("confusion", runs=pair)
    assert "without probabilities" in words(app)
    quality = next(e.value for e in app.dataframe if "ECE after" in e.value)
    theirs = quality[quality["Run"].str.contains("heirs")].iloc[0]
    assert all(pd.isna(theirs[name]) for name in ("Top-2", "ECE", "ECE after", "NLL"))
    faces = words(open_page("confusion", runs=pair, of=path.name))
    assert "images, in the order of the dataset." in faces
    (line,) = (line for line in faces.splitlines() if line.startswith("Theirs: "))
    assert "most confident first" not in line
    app = open_page("run", run=path.name)
    assert "without probabilities" in words(app)
    assert "100%" not in words(app)
    assert np.isfinite(open_page("runs").dataframe[0].value.loc[path.name, "Accuracy"])


def test_an_ensemble_without_a_network_is_shown_but_not_offered_for_photos(
    root: Path, runs: dict[str, Run], tmp_path: Path
):
    made_data = tmp_path / "data"
    make_runs.faces(made_data, root)
    first, second = read_run(runs["le2019-deep"].path), read_run(runs["le2019-shallow"].path)
    path = combine(
        [first, second],
        load_dataset("fer2013", made_data),
        root,
        name="selected",
        title="Two networks",
        tta="none",
        command="fercore ensemble --select 2",
        average="geometric",
        network=False,
        candidates=5,
    )
    assert list(open_page("runs").dataframe[0].value.loc[path.name, "Tags"]) == ["combined"]
    for page in ("compare", "confusion"):
        app = open_page(page, runs=[first.id, path.name])
        assert "They have judged no samples in common" not in words(app)
    said = words(open_page("run", run=path.name, details="network"))
    assert f"The geometric mean probability of `{first.id}`, `{second.id}`" in said
    assert "selected on PublicTest among 5 runs" in said
    assert "has no network of its own" in said
    offered = model_picker.networks(list_runs(root))
    assert path.name not in offered
    for page in ("photo", "live"):
        open_page(page)


def test_a_link_to_a_run_without_its_network_says_how_to_make_it(
    root: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    make_runs.faces(tmp_path / "data", root)
    kept = next(RUNS.glob("katkar2021-model2-original-s0-*"))
    shutil.copytree(kept, root / kept.name)
    lacking = runs["le2019-deep"]
    line = f"{lacking.id} has no network (model.onnx) here; "

    def plain(app: AppTest) -> str:
        return words(app).replace("\\", "")

    def no_camera(**_: object) -> SimpleNamespace:
        return SimpleNamespace(state=SimpleNamespace(playing=False))

    monkeypatch.setattr(video_section, "webrtc_streamer", no_camera)
    for page, key in (("photo", "networks"), ("live", "networks"), ("data", "run")):
        app = open_page(page, **{key: lacking.id})
        assert line in plain(app)
        assert "fercore train" in plain(app)
        box = app.multiselect(key=key) if key == "networks" else app.selectbox(key=key)
        assert [label for label in box.options if label.startswith("Le 2019")] == []
    assert line not in plain(open_page("photo", networks=kept.name))
    # It stays until the choice is changed.
    app = open_page("photo", networks=lacking.id)
    assert line in plain(app.run())
    app.multiselect(key="networks").set_value([]).run()
    assert line not in plain(app)
    assert line in plain(open_page("run", run=lacking.id, details="network"))
    assert line not in plain(open_page("run", run=kept.name, details="network"))
    app = open_page("run", run=lacking.id, details="provenance")
    assert "the file is not here" in "".join(frame.value.to_string() for frame in app.dataframe)
