"""What a rerun of a page reads and computes again, and that it misses no change on the disk."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.analysis import board_grouping, run_properties
from dashboard.app_pages.confusion import sections as confusion_sections
from dashboard.app_pages.data import sections as data_sections
from dashboard.app_pages.papers import goals_and_ablations, papers_table
from dashboard.app_pages.run import sections as run_sections
from dashboard.charts import confusion_matrix
from dashboard.components import export_menu
from dashboard.reports import builder
from dashboard.state import comparison_cache, network_cache, run_cache
from dashboard.tables import run_details_tables, runs_table
from fercore.data import store
from fercore.data.labels import FER2013
from fercore.data.quality import Audit
from fercore.reproduction import ablations, goals, papers
from fercore.runs import annotations, reader
from fercore.runs.schema import Notes
from fercore.runs.writer import RunWriter
from tests.dashboard import make_runs
from tests.photos import astronaut, encoded
from tests.tiny import make_splits

APP = str(Path(__file__).parents[2] / "dashboard" / "navigation.py")
COMMITTED = Path(__file__).parents[2] / "runs"
TINY = "facet-tiny-s0-20261121T151906"
DEEP = "le2019-deep-s0-20261121T052505"


def page(name: str, **query: str | list[str]) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    if name != "overview":
        app.switch_page(f"app_pages/{name}/{name}.py")
    for key, value in query.items():
        app.query_params[key] = value
    return rerun(app)


def rerun(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of some committed runs, without their networks."""
    root = tmp_path / "committed"
    for name in ("le2019-deep", "facet-screening-recipe", "facet-screening-mixup", "facet-tiny-s"):
        for path in COMMITTED.glob(f"{name}*"):
            ignored = shutil.ignore_patterns("*.onnx")
            shutil.copytree(path, root / path.name, ignore=ignored)
    monkeypatch.setenv("FERCORE_RUNS", str(root))
    return root


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[str]:
    """The calls of a function from now on."""
    calls: list[str] = []
    function: Callable[..., Any] = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a, **k: calls.append(name) or function(*a, **k))
    return calls


def test_tables_of_papers_goals_and_ablations_are_computed_once(
    committed: Path, monkeypatch: pytest.MonkeyPatch
):
    app = page("papers")
    calls = [
        counted(monkeypatch, module, name)
        for module, name in (
            (papers, "compare"),
            (goals, "compare"),
            (ablations, "compare"),
            (reader, "read_run"),
        )
    ]
    rerun(app)
    assert calls == [[], [], [], []]
    # A run that trains says so every few seconds, and changes none of these figures.
    make_runs.running(committed, make_runs.Plan("another", "Another"))
    rerun(app)
    assert calls == [[], [], [], ["read_run"]]


def test_closed_sections_and_menus_compute_nothing(
    committed: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = [
        counted(monkeypatch, module, name)
        for module, name in (
            (papers_table, "class_table"),
            (confusion_matrix, "confusion"),
            (goals_and_ablations, "change_table"),
            (run_details_tables, "layer_table"),
            (builder, "of_comparison"),
            (builder, "of_run"),
            (export_menu, "_writer"),
        )
    ]
    both = {"runs": [TINY, DEEP]}
    shown = [page("papers"), page("compare", **both)]
    assert calls == [[]] * len(calls)
    for app in shown:
        rerun(app)
    assert calls == [[]] * len(calls)
    papers_page, compare_page = shown
    for key in ("by-class-le2019", "our-matrices-le2019", "study-recipe"):
        papers_page.session_state[key] = True
    rerun(papers_page)
    for key in ("layers", "export"):
        compare_page.session_state[key] = True
    rerun(compare_page)
    assert all(calls[:5])
    assert len(calls[6]) == 3


def test_which_networks_take_a_dataset_is_found_once_and_follows_the_disk(
    committed: Path, monkeypatch: pytest.MonkeyPatch
):
    splits = SimpleNamespace(name="fer2013", class_names=FER2013)
    path = committed / TINY / "model.onnx"
    assert TINY not in network_cache.runs_on(splits)
    shutil.copyfile(COMMITTED / TINY / "model.onnx", path)
    assert TINY in network_cache.runs_on(splits)
    calls = counted(monkeypatch, network_cache, "has_network")
    assert TINY in network_cache.runs_on(splits)
    assert calls == []
    path.unlink()
    assert TINY not in network_cache.runs_on(splits)


def test_a_link_to_matrices_opens_their_section(committed: Path):
    app = page("papers", **{"system": "le2019", "matrices-le2019": ["1"]})
    assert len(app.get("plotly_chart")) == 1


def test_a_figure_of_papers_follows_the_results_on_the_disk(committed: Path):
    app = page("papers", system="le2019")

    def ours() -> float:
        table = next(frame.value for frame in app.dataframe if "Paper" in frame.value)
        figures = pd.to_numeric(table.set_index("Result")["Ours"])
        return float(figures["Table 1, Deep"])

    before = ours()
    results = committed / DEEP / "results.json"
    fields = json.loads(results.read_bytes())
    fields["splits"]["test"]["accuracy"] = 0.125
    results.write_text(json.dumps(fields))  # in place
    rerun(app)
    assert ours() == 12.5 != before
    annotations.delete(reader.read_run(committed / DEEP))
    rerun(app)
    assert np.isnan(ours())


def test_a_study_follows_the_logs_and_predictions_on_the_disk(committed: Path):
    study = next(study for study in ablations.studies() if study.key == "recipe")

    def line(key: str) -> ablations.AblationResult:
        lines = comparison_cache.ablation_results(study, run_cache.list_runs())
        return next(line for line in lines if line.change.key == key)

    before = line("mixup")
    assert before.difference is not None
    assert line("mixup") == before
    (run,) = committed.glob("facet-screening-mixup-*")
    log = run / "log.jsonl"
    rows = [json.loads(text) | {"seconds": 7.0} for text in log.read_text().splitlines()]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert line("mixup").seconds == 7.0 != before.seconds
    (run / "predictions.npz").unlink()
    assert line("mixup").difference is None


def test_a_note_an_epoch_and_a_deletion_show_at_the_next_rerun(root: Path):
    app = page("runs")
    deep = next(root.glob("le2019-deep-*"))

    def table() -> Any:
        return app.dataframe[0].value

    count = len(table())
    RunWriter(deep).write_record(Notes(text="a new note"))
    rerun(app)
    assert "a new note" in str(table()["Note"].tolist())
    running = next(root.glob("khopkar2021-*"))
    status = json.loads((running / "status.json").read_bytes())
    (running / "status.json").write_text(json.dumps(status | {"epoch": 33}))
    rerun(app)
    assert "33 of 40" in table()["Epochs"].tolist()
    annotations.delete(reader.read_run(deep))
    rerun(app)
    assert len(table()) == count - 1


def test_the_table_of_runs_is_built_once_and_no_page_changes_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    baseline = next(root.glob("le2019-deep-*")).name
    app = page("runs", baseline=baseline)
    real = app.dataframe[0].value
    calls = [
        counted(monkeypatch, module, name)
        for module, name in (
            (board_grouping, "boards"),
            (run_properties, "split_titles"),
            (runs_table, "_group_row"),
        )
    ]
    app.session_state["export"] = True
    for _ in range(2):
        rerun(app)
        pd.testing.assert_frame_equal(app.dataframe[0].value, real)
    assert calls == [[], [], []]
    groups = [[run_cache.find_run(name)] for name in real.index]
    shared = runs_table.runs_table(groups)
    assert runs_table.runs_table(groups) is shared
    assert "Open" not in shared
    RunWriter(root / baseline).write_record(Notes(pinned=True))
    rerun(app)
    assert app.dataframe[0].value.index[0] == baseline
    assert calls[2] == ["_group_row"] * len(real) + calls[2][len(real) :]


def test_labels_are_unique_and_read_nothing(root: Path, monkeypatch: pytest.MonkeyPatch):
    found = run_cache.list_runs()
    expected = run_properties.labels(found)
    assert run_cache.labels(found[:3]) == {run.id: expected[run.id] for run in found[:3]}
    run_cache.labels(found)[found[0].id] = "changed by a page"
    assert run_cache.labels(found) == expected
    calls = counted(monkeypatch, os, "stat") + counted(monkeypatch, os, "scandir")
    run_cache.labels(found)
    assert calls == []
    shutil.copytree(found[0].path, root / "copied")
    assert run_cache.labels(run_cache.list_runs())[found[0].id].endswith(found[0].id)


def test_every_page_scans_the_folder_of_runs_once(root: Path, monkeypatch: pytest.MonkeyPatch):
    pair = [path.name for path in root.glob("katkar2021-*")]
    for name, query in (
        ("runs", {}),
        ("compare", {"runs": pair}),
        ("confusion", {"runs": pair}),
        ("run", {"run": pair[0]}),
        ("papers", {}),
    ):
        app = page(name, **query)
        scans = counted(monkeypatch, run_cache.RunCache, "all")
        rerun(app)
        assert len(scans) == 1, name
        monkeypatch.undo()
        monkeypatch.setenv("FERCORE_RUNS", str(root))


def test_differences_from_a_baseline_follow_the_predictions(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    baseline, *others = [run for run in run_cache.list_runs() if run.results and run.experiment]
    others = [run for run in others if run.experiment.dataset == baseline.experiment.dataset]
    first = comparison_cache.accuracy_deltas(baseline, others)
    computed = counted(monkeypatch, comparison_cache, "_accuracy_delta")
    assert comparison_cache.accuracy_deltas(baseline, others) == first
    assert computed == []
    (others[0].path / "predictions.npz").unlink()
    changed = comparison_cache.accuracy_deltas(baseline, others)
    assert computed == ["_accuracy_delta"]
    assert first[others[0].id] is not None
    assert changed[others[0].id] is None
    # Bounded: what was asked for longest ago goes first, and is computed again.
    monkeypatch.setattr(comparison_cache, "_MAX_DELTAS", 1)
    os.utime(others[1].path / "predictions.npz")
    assert comparison_cache.accuracy_deltas(baseline, others) == changed
    computed.clear()
    assert comparison_cache.accuracy_deltas(baseline, others) == changed
    assert len(computed) == len(others)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERCORE_DATA", str(tmp_path / "data"))
    parts = make_splits().parts
    store.write(
        tmp_path / "data", "fer2013", FER2013, parts, (), validation_from_train=False, audit=Audit()
    )


@pytest.mark.parametrize(
    ("module", "name"),
    [(data_sections, "data"), (confusion_sections, "confusion"), (run_sections, "run")],
)
def test_a_gallery_makes_the_faces_of_its_page_alone(
    installed: None,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
):
    made = counted(monkeypatch, module, "SampleCard")
    run = next(root.glob("le2019-deep-*")).name
    page(name, **{"run": run} if name == "run" else {"runs": [run]})
    assert 0 < len(made) <= 24


def test_photos_are_decoded_once_and_seen_by_their_visitor_alone(
    monkeypatch: pytest.MonkeyPatch,
):
    from dashboard.app_pages.photo import sections as photo_sections

    monkeypatch.setenv("FERCORE_RUNS", str(COMMITTED))
    decoded = counted(monkeypatch, photo_sections, "decode_photo")
    encodings = counted(monkeypatch, photo_sections, "jpeg_data_url")
    one, other = (page("photo", networks=TINY) for _ in range(2))
    one.file_uploader(key="photos").set_value(("me.jpg", encoded(astronaut()), "image/jpeg"))
    for _ in range(3):
        rerun(one)
    assert (decoded, encodings) == (["decode_photo"], ["jpeg_data_url"])
    assert [list(frame.value["Photo"]) for frame in one.dataframe] == [["me.jpg"]]
    rerun(other)
    assert not other.dataframe
    assert any("Upload a photo" in info.value for info in other.info)
