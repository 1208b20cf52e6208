"""`fercore ablate`: the results of the ablation studies, and the trainings that are missing."""

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
        typer.Argument(metavar="[STUDY | CHANGE]...", help="Only these [default: all]"),
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Train what is missing.")] = False,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="With --train: runs of each change [default: the study's own]"),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Compare trainings that differ from a base experiment in one thing each.

    Every study has a table of its own. The runs are evaluated on PublicTest; PrivateTest is not
    read. With --train, whatever is missing is trained first; stopped at any point, the same command
    goes on where it was. A change that several studies have is given as STUDY/CHANGE.

    Example: fercore ablate --train no-squeeze adamw
    """
    if markdown and as_json:
        raise UserError("received both --markdown and --json, expected one")
    wanted = _chosen(only or ())
    root = runs_root(runs)
    if train:
        for study, changes in wanted:
            _train_missing(study, changes, seeds or study.seeds, root, data_root(data))
    known = list_runs_and_warn(root)
    tables = [(study, _lines(study, changes, known)) for study, changes in wanted]
    if as_json:
        print_json([_as_json(study, lines) for study, lines in tables])
    elif markdown:
        # A heading only where it tells tables apart: the README has one of its own.
        titled = len(tables) > 1
        texts = [
            (f"### {study.title}\n\n" if titled else "")
            + markdown_table(_headings(study), (_cells(study, line) for line in lines))
            for study, lines in tables
        ]
        print("\n\n".join(texts))
    else:
        for number, (study, lines) in enumerate(tables):
            if number:
                typer.echo()
            _print(study, lines)


def make_job(study: Study, change: Change, seed: int) -> TrainingJob:
    """Return the training of one run."""
    fields = {**ablations.overrides(study, change), "seed": seed}
    words = ("train", study.base, *format_options(fields))
    return TrainingJob(load_config(study.base, fields), words)


def _chosen(only: Sequence[str]) -> list[tuple[Study, list[Change]]]:
    """Return the requested studies and changes, in that order, with those they depend on."""
    studies = ablations.studies()
    if not only:
        return [(study, ablations.with_teachers(study, study.changes)) for study in studies]
    wanted: dict[str, tuple[Study, list[Change]]] = {}
    for name in only:
        study, changes = _find(name, studies)
        _, listed = wanted.setdefault(study.key, (study, []))
        for change in changes:
            # A difference needs the runs of the change that it is computed from.
            reference = study.reference(change)
            listed += [reference, change] if reference else [change]
    return [(study, ablations.with_teachers(study, changes)) for study, changes in wanted.values()]


def _find(name: str, studies: Sequence[Study]) -> tuple[Study, tuple[Change, ...]]:
    """Return the study of that name and its changes, or the change and the study that has it."""
    for study in studies:
        if name == study.key:
            return study, study.changes
    known = [(study, change) for study in studies for change in study.changes]
    found = [
        (study, change)
        for study, change in known
        if name in {change.key, f"{study.key}/{change.key}"}
    ]
    if len(found) == 1:
        return found[0][0], (found[0][1],)
    if found:
        names = [f"{study.key}/{change.key}" for study, change in found]
        raise UserError(
            f"received {name!r}, a change of several studies, expected one of: {', '.join(names)}"
        )
    keys = [change.key for _, change in known]
    names = [
        f"{study.key}/{change.key}" if keys.count(change.key) > 1 else change.key
        for study, change in known
    ]
    every = dict.fromkeys([*(study.key for study in studies), *names])
    raise UserError(f"received {name!r}, expected one of: {', '.join(every)}")


def _train_missing(
    study: Study, wanted: Sequence[Change], seeds: int, runs: Path, data: Path
) -> None:
    # Every change with one seed before any second one.
    trainable = [change for change in wanted if not _lacks_dataset(study, change, data)]
    for seed in range(seeds):
        for change in trainable:
            if seed not in ablations.runs_of(study, change, list_runs(runs)):
                run_job(make_job(study, change, seed), runs, data)


def _lacks_dataset(study: Study, change: Change, data: Path) -> bool:
    """Say in one line that a change is left out because its dataset is not installed, if so."""
    name = ablations.config_of(study, change).dataset
    try:
        if datasets.dataset_status(name, data).installed:
            return False
        reason = f"the dataset {name} is not installed"
    except UserError as error:
        reason = str(error)
    typer.echo(f"{study.key}/{change.key} is left out: {reason}", err=True)
    return True


def _lines(study: Study, wanted: Sequence[Change], runs: Sequence[Run]) -> list[AblationResult]:
    keys = {change.key for change in wanted}
    return [line for line in ablations.compare(study, runs) if line.change.key in keys]


def _print(study: Study, lines: Sequence[AblationResult]) -> None:
    typer.secho(study.title, bold=True)
    if study.note:
        typer.echo(study.note)
    table = plain_table(*_headings(study))
    for line in lines:
        table.add_row(*_cells(study, line))
    print_table(table)
    if absent := [line.change.key for line in lines if line.mean is None]:
        typer.echo(f"not trained yet: {', '.join(absent)}: fercore ablate --train {study.key}")


def _headings(study: Study) -> list[str]:
    return [
        "change",
        *(["compared with"] if study.cumulative else []),
        ">PublicTest %",
        ">difference",
        "95% interval",
        *([f">epochs to {study.target:g}%"] if study.target else []),
        ">n",
        ">seeds",
        ">s an epoch",
        ">parameters",
    ]


def _cells(study: Study, line: AblationResult) -> list[str]:
    titles = [line.change.title]
    if study.cumulative:
        titles.append(line.reference.title if line.reference else DASH)
    if line.mean is None:
        return titles + [DASH] * (len(_headings(study)) - len(titles))
    spread = "" if line.spread is None else f" ± {line.spread:.2f}"
    found, epochs = line.difference, line.epochs_to_target
    return [
        *titles,
        f"{line.mean:.2f}{spread}",
        DASH if found is None else f"{100 * found.difference:+.2f}",
        DASH if found is None else f"{100 * found.low:+.2f} to {100 * found.high:+.2f}",
        *([DASH if epochs is None else f"{epochs:.1f}"] if study.target else []),
        f"{line.n:,}",
        str(len(line.runs)),
        DASH if line.seconds is None else f"{line.seconds:.0f}",
        DASH if line.parameters is None else f"{line.parameters:,}",
    ]


def _as_json(study: Study, lines: Sequence[AblationResult]) -> dict[str, Any]:
    return {
        **study.model_dump(mode="json", exclude={"changes"}),
        "lines": [
            {
                **vars(line),
                "change": line.change.model_dump(mode="json", by_alias=True),
                "reference": line.reference.key if line.reference else None,
                "difference": vars(line.difference) if line.difference else None,
            }
            for line in lines
        ],
    }
