"""Test `fercore ablate`: its tables, its selections and the trainings that it begins."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fercore.cli import app
from fercore.cli._scheduler import TrainingJob
from fercore.data.reports import DatasetStatus
from fercore.errors import UserError
from fercore.reproduction import ablations
from tests.reproduction.studies import (
    COMMITTED,
    PARTS,
    RECIPE,
    STEPS,
    by_key,
    untrained_run,
    write_log,
)


@pytest.fixture
def ablate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run `fercore ablate` on the two studies above, with an empty runs root."""
    monkeypatch.setattr(ablations, "studies", lambda: (PARTS, STEPS))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["ablate", *arguments, "--runs-root", str(tmp_path)])

    return call


@pytest.fixture(autouse=True)
def every_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test needs data."""
    status = DatasetStatus("any", installed=True)
    monkeypatch.setattr("fercore.cli.ablations.datasets.dataset_status", lambda name, root: status)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Record the trainings that `--train` would begin."""
    begun: list[tuple[str, int]] = []

    def record(job: TrainingJob, *_: object) -> None:
        begun.append((job.config.name, job.config.seed))

    monkeypatch.setattr("fercore.cli.ablations.run_job", record)
    return begun


def test_every_study_has_a_heading_and_a_table_with_the_columns_that_it_needs(
    ablate: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    known = by_key(STEPS)
    runs = [untrained_run(STEPS, known["muon"], 0, 84), untrained_run(STEPS, known["facet"], 0, 98)]
    write_log(runs[0], tmp_path, [0.5, 0.7])
    monkeypatch.setattr("fercore.cli._options.list_runs", lambda root: runs)
    text = ablate().output
    parts, steps = text.split("\n\n")
    assert parts.splitlines()[:2] == ["Parts of a recipe", "One thing is changed at a time."]
    assert "not trained yet: start, flip, sgd: fercore ablate --train parts" in parts
    assert "compared with" not in parts
    assert "epochs to" not in parts
    assert steps.splitlines()[0] == "Step by step"
    assert "not trained yet: start, wide, sgd: fercore ablate --train steps" in steps

    heading, _, *rows = (
        line.split(" | ") for line in ablate("steps", "--markdown").output.splitlines()
    )
    assert heading[:6] == [
        "| change",
        "compared with",
        "PublicTest %",
        "difference",
        "95% CI",
        "epochs to 60%",
    ]
    assert {len(row) for row in rows} == {len(heading)}
    assert [row[1] for row in rows] == ["-", "As it is", "Muon", "Facet, tiny", "As it is"]
    assert [row[5] for row in rows] == ["-", "2.0", "-", "-", "-"]
    assert [row[3] for row in rows] == ["-", "-", "+10.00", "-", "-"]

    both = ablate("--markdown").output
    assert both.startswith("### Parts of a recipe\n\n| change | PublicTest %")
    assert "\n\n### Step by step\n\n| change | compared with |" in both

    studies = json.loads(ablate("--json").output)
    assert [(study["key"], study["target"]) for study in studies] == [
        ("parts", None),
        ("steps", 60),
    ]
    line = studies[1]["lines"][2]
    assert (line["change"]["key"], line["change"]["on"], line["reference"]) == (
        "facet",
        "muon",
        "muon",
    )
    assert line["difference"]["difference"] == pytest.approx(0.1)


def test_findings_are_printed_below_a_complete_study(monkeypatch: pytest.MonkeyPatch):
    def printed(*words: str) -> str:
        answer = CliRunner().invoke(app, ["ablate", *words, "--runs-root", str(COMMITTED)])
        return " ".join(answer.stdout.split())

    (finding,) = (f for f in RECIPE.findings if f.startswith("Samples weighted by class"))
    assert printed("recipe").count(f"- {finding}") == 1
    assert "- Samples" not in printed("recipe/balanced")
    assert finding not in printed("recipe", "--markdown")


@pytest.mark.parametrize(
    ("only", "titles"),
    [
        (["parts"], ["As it is", "No erasing", "SGD"]),
        (["flip"], ["As it is", "No erasing"]),
        (["wide"], ["Facet, tiny", "Facet, tiny, wider, without dropout"]),
        (["steps/sgd"], ["As it is", "SGD"]),
        (["parts/start"], ["As it is"]),
        (
            ["wide", "steps/sgd"],
            ["As it is", "Facet, tiny", "Facet, tiny, wider, without dropout", "SGD"],
        ),
    ],
)
def test_a_study_or_a_change_is_selected_with_what_it_is_compared_with(
    ablate: Callable[..., Result], only: list[str], titles: list[str]
):
    rows = ablate(*only, "--markdown").output.splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == titles


def test_changes_of_several_studies_are_printed_in_the_order_asked_for(
    ablate: Callable[..., Result],
):
    headings = [
        line
        for line in ablate("muon", "parts/sgd", "--markdown").output.splitlines()
        if line[:1] == "#"
    ]
    assert headings == ["### Step by step", "### Parts of a recipe"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sgd", "'sgd', a change of several studies, expected one of: parts/sgd, steps/sgd"),
        (
            "nope",
            "received 'nope', expected one of: parts, steps, parts/start, flip, parts/sgd, "
            "steps/start, muon, facet, wide, steps/sgd",
        ),
        ("parts/nope", "received 'parts/nope', expected one of: parts, steps"),
        ("parts/wide", "received 'parts/wide', expected one of: parts, steps"),
    ],
)
def test_a_name_that_is_unknown_or_ambiguous_is_refused(
    ablate: Callable[..., Result], begun: list[tuple[str, int]], name: str, message: str
):
    done = ablate("--train", "flip", name)
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)
    assert begun == []


def test_a_study_is_trained_with_its_own_number_of_seeds(
    ablate: Callable[..., Result], begun: list[tuple[str, int]]
):
    assert ablate("--train", "wide", "flip").exit_code == 0
    steps = [("synthetic-quick-facet", 0), ("synthetic-quick-wide", 0)]
    parts = [("facet-screening-start", 0), ("facet-screening-flip", 0)]
    assert begun == [*steps, *((name, 1) for name, _ in steps), *parts]
    begun.clear()
    ablate("--train", "wide", "--seeds", "1")
    assert begun == steps


def test_a_change_whose_dataset_is_not_installed_is_left_out_in_one_line(
    ablate: Callable[..., Result], begun: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
):
    def status(name: str, root: Path) -> DatasetStatus:
        raise UserError("received the dataset 'elsewhere'")

    monkeypatch.setattr("fercore.cli.ablations.datasets.dataset_status", status)
    done = ablate("--train", "wide")
    assert done.exit_code == 0
    assert begun == []
    assert "steps/wide is skipped: received the dataset 'elsewhere'" in done.stderr.splitlines()
