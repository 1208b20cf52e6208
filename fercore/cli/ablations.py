"""`fercore ablate`: what each part of our recipe is worth, and the trainings that are missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fercore import ablations
from fercore.ablations import Change, Line
from fercore.cli.jobs import Job, as_options, do
from fercore.cli.options import (
    AsJson,
    DataRoot,
    RunsRoot,
    markdown_table,
    plain_table,
    print_json,
    print_table,
)
from fercore.config import load_config
from fercore.errors import UserError
from fercore.roots import data_root, runs_root
from fercore.runs import list_runs

DASH = "-"
HEADINGS = (
    "change",
    ">PublicTest %",
    ">difference",
    "95% interval",
    ">n",
    ">seeds",
    ">s an epoch",
    ">parameters",
)


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command()(ablate)


def ablate(
    only: Annotated[
        list[str] | None, typer.Argument(metavar="[CHANGE]...", help="Only these [default: all]")
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Train what is missing.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="With --train: runs of each change.")] = 1,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Change one thing of our recipe at a time, and see what it is worth.

    The trainings are shorter than the recipe and are judged on PublicTest; PrivateTest is not
    read. With --train, whatever is missing is trained first; stopped at any point, the same command
    goes on where it was.

    Example: fercore ablate --train no-squeeze adamw
    """
    if markdown and as_json:
        raise UserError("received both --markdown and --json, expected one")
    wanted = _chosen(only or ())
    root = runs_root(runs)
    if train:
        _train_missing(wanted, seeds, root, data_root(data))
    keys = {change.key for change in wanted}
    lines = [line for line in ablations.compare(list_runs(root)) if line.change.key in keys]
    if as_json:
        print_json([_as_json(line) for line in lines])
    elif markdown:
        print(markdown_table(HEADINGS, map(_cells, lines)))
    else:
        table = plain_table(*HEADINGS)
        for line in lines:
            table.add_row(*_cells(line))
        print_table(table)
        if absent := [line.change.key for line in lines if line.mean is None]:
            typer.echo(f"not trained yet: {', '.join(absent)}: fercore ablate --train")


def job_of(change: Change, seed: int) -> Job:
    """The training of one run."""
    fields = {**ablations.overrides(change), "seed": seed}
    words = ("train", ablations.base(), *as_options(fields))
    return Job(load_config(ablations.base(), fields), words)


def _chosen(only: Sequence[str]) -> list[Change]:
    known = {change.key: change for change in ablations.changes()}
    for key in only:
        if key not in known:
            raise UserError(f"received {key!r}, expected one of: {', '.join(known)}")
    # In the order asked for; nothing can be compared without the recipe as it is.
    first = next(iter(known))
    return ablations.with_teachers([known[key] for key in (first, *(only or known))])


def _train_missing(wanted: Sequence[Change], seeds: int, runs: Path, data: Path) -> None:
    # Every change with one seed before any second one.
    for seed in range(seeds):
        for change in wanted:
            if seed not in ablations.runs_of(change, list_runs(runs)):
                do(job_of(change, seed), runs, data)


def _cells(line: Line) -> tuple[str, ...]:
    if line.mean is None:
        return (line.change.title, *([DASH] * (len(HEADINGS) - 1)))
    spread = "" if line.spread is None else f" ± {line.spread:.2f}"
    found = line.difference
    return (
        line.change.title,
        f"{line.mean:.2f}{spread}",
        DASH if found is None else f"{100 * found.difference:+.2f}",
        DASH if found is None else f"{100 * found.low:+.2f} to {100 * found.high:+.2f}",
        f"{line.n:,}",
        str(len(line.runs)),
        DASH if line.seconds is None else f"{line.seconds:.0f}",
        DASH if line.parameters is None else f"{line.parameters:,}",
    )


def _as_json(line: Line) -> dict[str, Any]:
    found = line.difference
    return {
        **vars(line),
        "change": line.change.model_dump(mode="json", by_alias=True),
        "difference": None if found is None else vars(found),
    }
