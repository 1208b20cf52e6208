"""The table of published figures: complete, consistent, and computed from runs alone."""

import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from fercore import metrics
from fercore.cli import app, main
from fercore.cli._scheduler import command_for
from fercore.cli.papers import list_missing_runs, make_job
from fercore.config.loading import list_configs, load_config
from fercore.errors import UserError
from fercore.reproduction import ablations, goals, papers, published_figures
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run
from fercore.runs.schema import Results
from tests.update_readme import README, SCREENSHOT, TABLE

RUNS = Path(__file__).parents[2] / "runs"


@functools.cache
def committed_runs() -> list[Run]:
    return list_runs(RUNS)


def made(experiment: str, accuracy: float, seed: int = 0, fold: int = 0, **changes) -> Run:
    """A finished run that was never trained, in memory."""
    template = next(run for run in committed_runs() if run.config.name == "le2019-deep")
    config = load_config(
        experiment, {"seed": seed, "protocol.fold": fold, **changes} if fold else {"seed": seed}
    )
    if changes:
        config = load_config(experiment, {"seed": seed, **changes})
    fields = template.results.model_dump()
    correct = round(accuracy * 1000)
    for split in fields["splits"].values():
        split |= {"n": 1000, "accuracy": correct / 1000}
    fields |= {"stopped_by": "epochs", "epochs_run": config.epochs}
    results = Results.model_validate(fields)
    path = Path(f"{experiment}-s{seed}-f{fold}")
    return Run(path, "finished", config, template.status, template.environment, results)


def comparison(experiment: str, runs: list[Run]) -> papers.Comparison:
    return next(
        found
        for found in papers.compare(runs)
        if found.row.experiment == experiment and found.row.overall
    )


def test_every_published_experiment_is_in_the_table_and_names_a_system():
    keys = {system.key for system in published_figures.systems()}
    in_table = {row.experiment for row in published_figures.rows()}
    for name in list_configs():
        published = load_config(name).published
        if published:
            assert published.system in keys
            assert name in in_table
    assert {row.system for row in published_figures.rows()} == keys
    assert sum(row.overall for row in published_figures.rows()) == 18
    assert len(published_figures.rows()) > 80


def test_every_experiment_exists_and_the_honest_ones_are_honest():
    for row in published_figures.rows():
        assert row.leak_free is None or load_config(row.leak_free).protocol.leak_free
    assert all(published_figures.minutes(name) < 1000 for name in published_figures.experiments())
    costs = [
        published_figures.minutes(name) * len(published_figures.folds(name))
        for name in published_figures.experiments()
    ]
    assert costs == sorted(costs)


def test_a_figure_is_the_mean_over_seeds_with_its_interval():
    runs = [made("le2019-deep", accuracy, seed) for seed, accuracy in enumerate((0.64, 0.66))]
    found = comparison("le2019-deep", runs)
    assert found.paper.mean == pytest.approx(65.0)
    assert found.paper.spread == pytest.approx(2**0.5)
    assert found.paper.seeds == 2
    assert found.difference == pytest.approx(-0.55)
    # Wilson's interval of 650 in 1,000.
    assert found.paper.low == pytest.approx(61.99, abs=0.01)
    assert found.paper.high == pytest.approx(67.89, abs=0.01)
    assert found.status == "within"
    assert found.paper.first == pytest.approx(64.0)
    assert not found.first_reaches
    lucky = comparison("le2019-deep", [made("le2019-deep", 0.66), made("le2019-deep", 0.64, 1)])
    assert (lucky.paper.mean, lucky.paper.first) == pytest.approx((65.0, 66.0))
    assert (lucky.status, lucky.first_reaches) == ("within", True)


@pytest.mark.parametrize(
    ("accuracy", "status"), [(0.656, "reached"), (0.63, "within"), (0.6, "short")]
)
def test_the_status_of_a_row(accuracy: float, status: str):
    assert comparison("le2019-deep", [made("le2019-deep", accuracy)]).status == status


@pytest.mark.parametrize(
    ("accuracy", "status"), [(0.8496, "reached"), (0.844, "within"), (0.6, "short")]
)
def test_a_figure_is_compared_in_the_digits_it_is_printed_in(accuracy: float, status: str):
    assert comparison("rath2021-original", [made("rath2021-original", accuracy)]).status == status


def test_a_zero_is_no_mark_to_reach():
    rows = papers.compare(committed_runs())
    zeros = [row.status for row in rows if row.row.figure == 0]
    assert zeros == ["noted"] * 12  # four classes, by precision, recall and F1


def test_what_trained_or_chose_has_no_honest_figure():
    rows = papers.compare([made("ranjan2023-model2-fer2013", 0.7)])
    chose = next(row for row in rows if row.row.metric == "validation accuracy" and row.paper)
    assert chose.leak_free is None
    assert chose.row.experiments == ("ranjan2023-model2-fer2013",)
    assert "ranjan2023-model2-fer2013" not in papers.untrained(rows)


def test_a_run_with_another_recipe_does_not_count():
    changed = made("le2019-deep", 0.99, epochs=3)
    assert comparison("le2019-deep", [changed]).status == "missing"
    assert papers.runs_of("le2019-deep", [changed]) == ()
    # Precision is the machine's choice.
    assert papers.runs_of("le2019-deep", [made("le2019-deep", 0.9, precision="float32")])


def test_runs_on_two_versions_of_a_dataset_have_no_mean():
    seeds = [made("le2019-deep", accuracy, seed) for seed, accuracy in enumerate((0.64, 0.66))]
    on_other = seeds[1].environment.model_copy(update={"dataset_fingerprint": "f" * 16})
    later = seeds[1].results.model_copy(update={"finished": "2100-01-01T00:00:00+00:00"})
    other = replace(seeds[1], environment=on_other, results=later)
    found = comparison("le2019-deep", [seeds[0], other])
    assert (found.paper.mean, found.paper.seeds) == (pytest.approx(66.0), 1)


def test_a_seed_that_is_trained_again_counts_once():
    first, other = made("le2019-deep", 0.64), made("le2019-deep", 0.66, 1)
    results = first.results.model_copy(update={"finished": "2100-01-01T00:00:00+00:00"})
    # The official division has no seed: this one trained the same.
    config = load_config("le2019-deep", {"protocol.split_seed": 7})
    again = replace(first, path=Path("again"), config=config, results=results)
    found = comparison("le2019-deep", [first, again, other]).paper
    assert (found.seeds, found.runs) == (2, ("again", other.id))


def test_copies_of_one_face_give_no_interval():
    found = comparison("rath2021-balanced", [made("rath2021-balanced", 0.79)])
    assert (found.paper.low, found.paper.high, found.status) == (None, None, "reached")
    assert found.paper.mean == pytest.approx(79.0)


def row_for(experiment: str) -> papers.Comparison:
    return comparison(experiment, committed_runs())


def test_the_interval_of_dependent_images_is_over_the_groups_of_all_runs():
    found = row_for("ranjan2023-model1-ckplus")
    assert found.paper.grouping == "by subject, 85 groups"
    # Three seeds on the same frames: as wide as one of them, about, and wider than Wilson's.
    low, high = metrics.accuracy_interval(round(found.paper.mean * 1.48), 148)
    assert found.paper.high - found.paper.low > 1.05 * 100 * (high - low)
    # All folds together: every subject once.
    honest = found.leak_free
    assert honest.grouping == "by subject, 118 groups"
    assert honest.low < honest.mean < honest.high
    right, groups, weights = [], [], []
    for run in papers.runs_of("ranjan2023-model1-ckplus-subjects", committed_runs()):
        said = run.predictions("test")
        right.append(said.probabilities.argmax(axis=1) == said.labels)
        groups.append(said.groups)
        weights.append(np.full(len(said.ids), 1 / len(said.ids)))
    ends = metrics.clustered_interval(*map(np.concatenate, (right, groups, weights)))
    assert (honest.low, honest.high) == pytest.approx([100 * end for end in ends])
    # Copies have an interval, now that it is known of whom they are.
    copies = row_for("rath2021-balanced").paper
    assert copies.grouping == "by subject, 1,877 groups"
    low, high = metrics.accuracy_interval(round(copies.mean * copies.n / 100), copies.n)
    assert copies.high - copies.low > 2 * 100 * (high - low)


def test_the_interval_of_a_recall_is_over_the_groups_of_its_class():
    rows = papers.compare(committed_runs())
    found = next(
        row
        for row in rows
        if row.row.experiment == "rath2021-balanced"
        and (row.row.metric, row.row.class_name) == ("recall", "fear")
    )
    assert found.paper.n > 900
    # Copies of twelve faces.
    assert found.paper.grouping == "by subject, 12 groups"
    assert found.paper.high - found.paper.low > 5


def test_images_without_groups_have_a_caution():
    found = comparison("ranjan2023-model1-ckplus", [made("ranjan2023-model1-ckplus", 0.95)])
    assert found.paper.grouping == "interval takes images as independent"
    assert comparison("le2019-deep", [made("le2019-deep", 0.64)]).paper.grouping == ""


def test_the_difference_from_another_test_set_has_the_error_of_both_figures():
    found = row_for("katkar2021-model2-original")
    ours, printed = found.paper, 0.568
    both = metrics.difference_interval(
        (ours.mean / 100, ours.low / 100, ours.high / 100),
        (printed, *metrics.wilson_interval(printed, 3533)),
    )
    assert found.difference_interval == pytest.approx([100 * end for end in both], abs=0.01)
    assert found.difference_interval[1] - found.difference_interval[0] > 1.3 * (
        ours.high - ours.low
    )
    # On frames of the same persons the paper's figure is taken to be as uncertain as ours.
    frames = row_for("ranjan2023-model2-ckplus")
    low, high = frames.difference_interval
    alone = metrics.accuracy_interval(145, 148)
    independent = metrics.difference_interval(
        tuple(value / 100 for value in (frames.paper.mean, frames.paper.low, frames.paper.high)),
        (145 / 148, *alone),
    )
    assert low < 100 * independent[0] < 0 < 100 * independent[1] < high
    # Where the test set is the same, or unknown, there is only the interval of our figure.
    for name in ("ranjan2023-model2-fer2013", "ranjan2023-model2-ckplus-svm", "le2019-deep"):
        assert row_for(name).difference_interval is None


def test_a_figure_of_another_test_set_is_short_only_beyond_both_errors():
    """Two points below 54.06: outside of our interval, inside that of the difference."""
    name = "katkar2021-model1-original"
    found = comparison(name, [made(name, 0.507)])
    assert found.paper.high < 54.06
    assert (found.status, found.difference_interval[1] > 0) == ("within", True)
    assert comparison(name, [made(name, 0.4)]).status == "short"
    assert comparison("le2019-deep", [made("le2019-deep", 0.62)]).difference_interval is None


def test_folds_count_once_all_of_them_are_there():
    experiment = "ranjan2023-model1-ckplus-subjects"
    runs = [made(experiment, 0.8 + fold / 100, fold=fold) for fold in range(10)]
    row = next(row for row in published_figures.rows() if row.leak_free == experiment)
    assert papers.reproduce_row(row, "test", papers.runs_of(experiment, runs[:9])) is None
    whole = papers.reproduce_row(row, "test", papers.runs_of(experiment, runs))
    assert whole.folds == 10
    assert whole.seeds == 1
    assert whole.n == 10_000
    assert whole.mean == pytest.approx(84.5)
    # Student's interval of ten folds: 2.2622 times 3.0277 over the root of ten.
    assert (whole.low, whole.high) == pytest.approx((84.5 - 2.1659, 84.5 + 2.1659), abs=1e-3)
    seeds = runs + [made(experiment, 0.8 + fold / 100, 1, fold) for fold in range(10)]
    again = papers.reproduce_row(row, "test", papers.runs_of(experiment, seeds))
    assert again.high - again.low == pytest.approx(whole.high - whole.low, rel=0.03)
    assert list_missing_runs(experiment, 1, runs[:8]) == [(0, 8), (0, 9)]
    assert list_missing_runs(experiment, 2, runs)[0] == (1, 0)


def test_what_was_interrupted_is_gone_on_with(tmp_path):
    begun = made("le2019-deep", 0.3)
    interrupted = Run(tmp_path / begun.id, "interrupted", begun.config)
    interrupted.path.mkdir()
    (interrupted.path / "log.jsonl").write_text("{}\n{}\n")
    job = make_job("le2019-deep", 0, 0)
    # Without a checkpoint, as in a clone of what another machine began, there is nothing to go on.
    assert command_for(job, [interrupted]) == ["train", "le2019-deep", "--seed", "0"]
    interrupted.last_path.parent.mkdir(parents=True)
    interrupted.last_path.touch()
    assert command_for(job, [interrupted]) == ["train", "--resume", begun.id]
    assert command_for(make_job("le2019-deep", 1, 0), [interrupted])[:2] == ["train", "le2019-deep"]
    other = begun.config.model_copy(update={"batch_size": 2})
    changed = Run(interrupted.path, "interrupted", other)
    assert command_for(job, [changed]) == ["train", "le2019-deep", "--seed", "0"]
    with pytest.raises(UserError, match="is being trained at this moment"):
        command_for(job, [interrupted, Run(begun.path, "running", begun.config)])


def test_folds_and_random_splits_are_named_on_the_command_line():
    folds = make_job("ranjan2023-model1-ckplus-subjects", 2, 7).words
    assert folds[2:] == ("--seed", "2", "--protocol.fold", "7")
    random = make_job("ranjan2023-model1-ckplus", 2, 0).words
    assert random[2:] == ("--seed", "2", "--protocol.split-seed", "2")


Call = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def fercore(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line on the committed runs, in this process."""

    def call(*words: str) -> subprocess.CompletedProcess:
        arguments = ["fercore", *words, "--runs-root", str(RUNS)]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            main()
        return subprocess.CompletedProcess(arguments, ended.value.code, *capsys.readouterr())

    return call


def test_the_command_prints_every_form(fercore: Call):
    table = fercore("papers")
    assert table.returncode == 0, table.stderr
    assert "Table 3, Model 1, original" in table.stdout
    rows = json.loads(fercore("papers", "--json", "--classes").stdout)
    assert len(rows) == len(published_figures.rows())
    markdown = fercore("papers", "--markdown", "le2019").stdout.splitlines()
    assert len(markdown) == 2 + 3
    assert all(line.count("|") == markdown[0].count("|") for line in markdown)
    latex = fercore("papers", "--latex", "khopkar2021").stdout
    assert latex.startswith("\\begin{tabular}")
    assert "66.70" in latex


@pytest.mark.parametrize("command", ["goals", *(f"ablate {s.key}" for s in ablations.studies())])
def test_the_tables_of_our_networks_as_markdown_hold_the_results(fercore: Call, command: str):
    lines = fercore(*command.split(), "--markdown").stdout.splitlines()
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    cells = [line.strip("| ").split(" | ") for line in lines[2:]]
    runs = list_runs(RUNS)
    if command == "goals":
        results = [status.reached for status in goals.compare(runs)]
        column = 2
    else:
        study = next(s for s in ablations.studies() if command == f"ablate {s.key}")
        results = [r if r.mean else None for r in ablations.compare(study, runs)]
        column = 2 if study.cumulative else 1
    expected = ["-" if result is None else f"{result.mean:.2f}" for result in results]
    assert [row[column].split(" ± ")[0] for row in cells] == expected


def test_the_summary_has_the_main_results_of_every_paper(fercore: Call):
    rows = json.loads(fercore("papers", "--summary", "--json").stdout)
    assert {row["system"] for row in rows} == {s.key for s in published_figures.systems()}
    assert all(row["metric"] == "accuracy" and row["figure"] for row in rows)
    table = fercore("papers", "--summary", "--markdown").stdout.splitlines()
    assert len(table) == 2 + len(rows) + 2
    # The counts are of all published accuracies, not of the lines shown.
    counts = papers.outcome(papers.compare(list_runs(RUNS)))
    assert table[-1].startswith(f"{counts}, by the mean over the seeds")
    khopkar = next(line for line in table if "Khopkar" in line)
    assert "| 66.7 |" in khopkar
    assert khopkar.endswith("| below |")
    # The highest accuracy of every paper on full test sets is among them, but for one that the text
    # of a paper mentions beside its table.
    for system in published_figures.systems():
        own = [row for row in published_figures.rows() if row.overall and row.system == system.key]
        highest = max(row.figure for row in own if not row.label.startswith("Text"))
        assert highest in {row["figure"] for row in rows}


def test_explain_prints_the_notes_of_a_paper_or_one_result(fercore: Call):
    def joined(*words: str) -> str:
        return " ".join(fercore("papers", "--explain", *words).stdout.split())

    every, one = joined(), joined("khopkar2021")
    for system in published_figures.systems():
        assert system.verdict in every
        assert (system.verdict in one) == (system.key == "khopkar2021")
    assert "0 of 1 accuracies matched, 1 below. Not reproduced" in one
    assert "Most likely the accuracy on the training images, see the next row." in one
    row = row_for("ranjan2023-model1-ckplus")
    result = joined("ranjan2023-model1-ckplus")
    assert "Published: 93.92%" in result
    assert f"{row.leak_free.mean:.2f} ± {row.leak_free.spread:.2f}% (95% CI " in result
    assert "by subject, 118 groups, 1 seed x 10 folds" in result
    assert "fercore papers --train ranjan2023-model1-ckplus-subjects" in result
    assert joined("ranjan2023-model2-ckplus").count("not trained yet") == 1
    markdown = fercore("papers", "--explain", "--markdown").stdout
    assert f"- {published_figures.general_notes()[0]}\n" in markdown
    fields = json.loads(fercore("papers", "--explain", "--json", "le2019").stdout)
    assert [system["key"] for system in fields["systems"]] == ["le2019"]
    assert fields["notes"] == []


def test_the_outcome_counts_published_accuracies_of_full_test_sets():
    rows = papers.compare([made("le2019-deep", 0.6, 0), made("le2019-shallow", 0.57)])
    own = [row for row in rows if row.row.system == "le2019"]
    assert papers.outcome(own) == "1 of 2 accuracies matched, 1 below"
    assert papers.outcome(papers.compare([])).endswith("18 not trained yet")


README_TABLES = TABLE.findall(README.read_text())


def test_the_readme_has_every_table():
    assert {command for command, _ in README_TABLES} == {"papers --summary", "models"}
    text = README.read_text()
    assert len(README_TABLES) == text.count("<!-- fercore ") == text.count("<!-- end -->")


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = README.read_text()
    assert text.count("\n") <= 150
    targets = re.findall(r"\]\((?!http)([^)]+)\)", text)
    assert str(SCREENSHOT.relative_to(README.parent)) in targets
    assert all((README.parent / target).exists() for target in targets)
    assert SCREENSHOT.stat().st_size < 150_000


COMMANDS = re.findall(r"(?:^    |`)(?:uv run )?fercore ([^`\n]+)", README.read_text(), re.MULTILINE)


def test_every_command_of_the_readme_exists():
    assert len(COMMANDS) >= 10
    runs = {run.id for run in list_runs(RUNS)}
    for command in COMMANDS:
        words = command.split()
        found: Any = typer.main.get_command(app)
        context = found.make_context("fercore", [], resilient_parsing=True)
        while hasattr(found, "commands") and words and not words[0].startswith("-"):
            found = found.get_command(context, words.pop(0))
            assert found, command
        options = {name for parameter in found.params for name in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, command
        assert {word for word in words if "-s0-2026" in word} <= runs


@pytest.mark.parametrize(("command", "table"), README_TABLES)
def test_the_readme_prints_what_the_runs_give(fercore: Call, command: str, table: str):
    assert table == fercore(*command.split(), "--markdown").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nobody2020",), "expected a system"),
        (("--json", "--latex"), "expected one"),
        (("--explain", "--summary"), "expected --explain alone"),
    ],
)
def test_a_wrong_request_is_one_line(fercore: Call, words: tuple[str, ...], message: str):
    answer = fercore("papers", *words)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1
