"""`fercore ablate`: print the results of the ablation studies, and train missing runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fercore.cli._options import (
    AsJson,
    DataRoot,
    RunsRoot,
    list_runs_and_warn,
    markdown_table,
    plain_table,
    print_json,
    print_notes,
    print_table,
)
from fercore.cli._scheduler import TrainingJob, format_options, run_job
from fercore.config.loading import load_config
from fercore.data import registry as datasets
from fercore.errors import UserError
from fercore.paths import data_root, runs_root
from fercore.reproduction import ablations
from fercore.reproduction.ablations import AblationResult, Change, Study
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run

DASH = "-"


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command()(ablate)


def ablate(
    only: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STUDY | CHANGE]...", help="Studies and changes [default: all]"),
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Train missing runs first.")] = False,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="With --train: runs of each change [default: set by the study]"),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Compare trainings that differ from a base experiment in one change each.

    Every study has its own table. The runs are evaluated on PublicTest; PrivateTest is not read.
    With --train, missing runs are trained first. If the command is stopped, the same command
    continues where it stopped. If several studies have the same change, give it as STUDY/CHANGE.

    Example: fercore ablate --train no-squeeze adamw
    """
    if markdown and as_json:
        raise UserError("received both --markdown and --json, expected one")
    selected = _select(only or ())
    root = runs_root(runs)
    if train:
        for study, changes in selected:
            _train_missing(study, changes, seeds or study.seeds, root, data_root(data))
    existing_runs = list_runs_and_warn(root)
    tables = [
        (study, _compute_results(study, changes, existing_runs)) for study, changes in selected
    ]
    if as_json:
        print_json([_as_json(study, results) for study, results in tables])
    elif markdown:
        # A single table needs no heading.
        has_headings = len(tables) > 1
        texts = [
            (f"### {study.title}\n\n" if has_headings else "")
            + markdown_table(_headings(study), (_cells(study, result) for result in results))
            for study, results in tables
        ]
        print("\n\n".join(texts))
    else:
        for number, (study, results) in enumerate(tables):
            if number:
                typer.echo()
            _print_study(study, results)


def make_job(study: Study, change: Change, seed: int) -> TrainingJob:
    """Return the training job of one run."""
    fields = {**ablations.overrides(study, change), "seed": seed}
    words = ("train", study.base, *format_options(fields))
    return TrainingJob(load_config(study.base, fields), words)


def _select(only: Sequence[str]) -> list[tuple[Study, list[Change]]]:
    """Return the requested studies and changes in that order, with the changes they depend on."""
    studies = ablations.studies()
    if not only:
        return [(study, ablations.with_teachers(study, study.changes)) for study in studies]
    selected: dict[str, tuple[Study, list[Change]]] = {}
    for name in only:
        study, changes = _find_changes(name, studies)
        _, study_changes = selected.setdefault(study.key, (study, []))
        for change in changes:
            # The difference needs the runs of the reference.
            reference = study.reference(change)
            study_changes += [reference, change] if reference else [change]
    return [
        (study, ablations.with_teachers(study, changes)) for study, changes in selected.values()
    ]


def _find_changes(name: str, studies: Sequence[Study]) -> tuple[Study, tuple[Change, ...]]:
    """Return a study and its changes, or a change and its study, by name.

    Raises:
        UserError: if there is no such study or change, or several studies have the change.
    """
    for study in studies:
        if name == study.key:
            return study, study.changes
    pairs = [(study, change) for study in studies for change in study.changes]
    matches = [
        (study, change)
        for study, change in pairs
        if name in {change.key, f"{study.key}/{change.key}"}
    ]
    if len(matches) == 1:
        return matches[0][0], (matches[0][1],)
    if matches:
        names = [f"{study.key}/{change.key}" for study, change in matches]
        raise UserError(
            f"received {name!r}, a change of several studies, expected one of: {', '.join(names)}"
        )
    keys = [change.key for _, change in pairs]
    names = [
        f"{study.key}/{change.key}" if keys.count(change.key) > 1 else change.key
        for study, change in pairs
    ]
    valid_names = dict.fromkeys([*(study.key for study in studies), *names])
    raise UserError(f"received {name!r}, expected one of: {', '.join(valid_names)}")


def _train_missing(
    study: Study, changes: Sequence[Change], seeds: int, runs: Path, data: Path
) -> None:
    # One seed of every change comes before any second seed.
    trainable = [change for change in changes if not _lacks_dataset(study, change, data)]
    for seed in range(seeds):
        for change in trainable:
            if seed not in ablations.runs_of(study, change, list_runs(runs)):
                run_job(make_job(study, change, seed), runs, data)


def _lacks_dataset(study: Study, change: Change, data: Path) -> bool:
    """Return whether the dataset of a change is not installed, and print that it is skipped."""
    name = ablations.config_of(study, change).dataset
    try:
        if datasets.dataset_status(name, data).installed:
            return False
        reason = f"the dataset {name} is not installed"
    except UserError as error:
        reason = str(error)
    typer.echo(f"{study.key}/{change.key} is skipped: {reason}", err=True)
    return True


def _compute_results(
    study: Study, changes: Sequence[Change], runs: Sequence[Run]
) -> list[AblationResult]:
    keys = {change.key for change in changes}
    return [result for result in ablations.compare(study, runs) if result.change.key in keys]


def _print_study(study: Study, results: Sequence[AblationResult]) -> None:
    typer.secho(study.title, bold=True)
    if study.note:
        typer.echo(study.note)
    table = plain_table(*_headings(study))
    for result in results:
        table.add_row(*_cells(study, result))
    print_table(table)
    if len(results) == len(study.changes):
        print_notes(f"- {finding}" for finding in study.findings)
    if untrained := [result.change.key for result in results if result.mean is None]:
        typer.echo(f"not trained yet: {', '.join(untrained)}: fercore ablate --train {study.key}")


def _headings(study: Study) -> list[str]:
    return [
        "change",
        *(["compared with"] if study.cumulative else []),
        ">PublicTest %",
        ">difference",
        "95% CI",
        *([f">epochs to {study.target:g}%"] if study.target else []),
        ">n",
        ">seeds",
        ">s an epoch",
        ">parameters",
    ]


def _cells(study: Study, result: AblationResult) -> list[str]:
    titles = [result.change.title]
    if study.cumulative:
        titles.append(result.reference.title if result.reference else DASH)
    if result.mean is None:
        return titles + [DASH] * (len(_headings(study)) - len(titles))
    spread = "" if result.spread is None else f" ± {result.spread:.2f}"
    interval, epochs = result.difference, result.epochs_to_target
    return [
        *titles,
        f"{result.mean:.2f}{spread}",
        DASH if interval is None else f"{100 * interval.difference:+.2f}",
        DASH if interval is None else f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}",
        *([DASH if epochs is None else f"{epochs:.1f}"] if study.target else []),
        f"{result.n:,}",
        str(len(result.runs)),
        DASH if result.seconds is None else f"{result.seconds:.0f}",
        DASH if result.parameters is None else f"{result.parameters:,}",
    ]


def _as_json(study: Study, results: Sequence[AblationResult]) -> dict[str, Any]:
    return {
        **study.model_dump(mode="json", exclude={"changes"}),
        "lines": [
            {
                **vars(result),
                "change": result.change.model_dump(mode="json", by_alias=True),
                "reference": result.reference.key if result.reference else None,
                "difference": vars(result.difference) if result.difference else None,
            }
            for result in results
        ],
    }
