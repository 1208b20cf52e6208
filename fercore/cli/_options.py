"""Options that several commands share, and how tables and JSON are printed."""

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fercore.io.file_names import storable_name
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run
from fercore.runs.schema import UNGROUPED, Results

ROOTS = ("--data-root", "--runs-root")
DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", help="Folder of datasets [default: $FERCORE_DATA or ./data]"),
]
RunsRoot = Annotated[
    Path | None,
    typer.Option("--runs-root", help="Folder of runs [default: $FERCORE_RUNS or ./runs]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def recorded_command() -> str:
    """Return the command line of this process, without the roots: paths of this machine."""
    kept: list[str] = []
    words = iter(sys.argv[1:])
    for word in words:
        if word in ROOTS:
            next(words, None)
        elif not word.startswith(tuple(f"{root}=" for root in ROOTS)):
            kept.append(storable_name(word))
    return shlex.join(["fercore", *kept])


def list_runs_and_warn(root: Path) -> list[Run]:
    """List the runs under a root, and print one line for each that has damaged files."""
    runs = list_runs(root)
    for run in runs:
        if run.warnings:
            typer.echo(f"note: {run.id}: {'; '.join(run.warnings)}", err=True)
    return runs


def print_json(content: Any) -> None:
    """Print what a program may read."""
    json.dump(content, sys.stdout, indent=1)
    print()


def print_table(table: Table) -> None:
    """Print a table, as wide as its content where no terminal sets a width."""
    # What stands in brackets or between colons may be part of a name.
    console = Console(width=None if sys.stdout.isatty() else 240, markup=False, emoji=False)
    console.print(table)


class _PlainTable(Table):
    """A table whose cells are shown as they are: no markup, no control characters, one line."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        shown = (Text(one_line(cell)) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*shown, **options)


def one_line(text: str) -> str:
    """Return text of a file as one line that a terminal can show and does not obey."""
    return "".join(c if c.isprintable() else storable_name(c) for c in " ".join(text.split()))


def plain_table(*columns: str) -> Table:
    """A table without frame; columns that begin with `>` are numbers and stand to the right."""
    table = _PlainTable(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify = "right" if column.startswith(">") else "left"
        table.add_column(column.lstrip(">"), justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def print_evaluations(results: Results, *, groups_unknown: bool = False) -> None:
    """Print a table of a run's figures, one line for each split; groups where there are any."""
    splits = list(results.distinct_splits.values())
    unknown = UNGROUPED if groups_unknown else ""
    groups = [result.grouping or unknown for result in splits]
    columns = ["split", ">n", ">accuracy %", ">95% interval", ">macro-F1", ">UAR %"]
    table = plain_table(*columns, *(["groups"] if any(groups) else []))
    for result, words in zip(splits, groups, strict=True):
        cells = [
            result.title,
            str(result.n),
            percent(result.accuracy),
            f"{percent(result.accuracy_low)} to {percent(result.accuracy_high)}",
            f"{result.macro_f1:.3f}",
            percent(result.uar),
        ]
        table.add_row(*cells, *([words or "-"] if any(groups) else []))
    print_table(table)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same as Markdown; columns are named as for `plain_table`."""
    lines = [
        [column.lstrip(">") for column in columns],
        ["---:" if column[0] == ">" else "---" for column in columns],
        *rows,
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(value: float | None) -> str:
    """A fraction as a percentage with two digits; a dash for none."""
    return "-" if value is None else f"{100 * value:.2f}"
