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

from fercore.data.names import storable_name

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


def called_command() -> str:
    """Return the command line of this process, without the roots: paths of this machine."""
    kept: list[str] = []
    words = iter(sys.argv[1:])
    for word in words:
        if word in ROOTS:
            next(words, None)
        elif not word.startswith(tuple(f"{root}=" for root in ROOTS)):
            kept.append(storable_name(word))
    return shlex.join(["fercore", *kept])


def print_json(content: Any) -> None:
    """Print what a program may read."""
    json.dump(content, sys.stdout, indent=1)
    print()


def print_table(table: Table) -> None:
    """Print a table, as wide as its content where no terminal sets a width."""
    # What stands in brackets or between colons may be part of a name.
    console = Console(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False)
    console.print(table)


def plain_table(*columns: str) -> Table:
    """A table without frame; columns that begin with `>` are numbers and stand to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify = "right" if column.startswith(">") else "left"
        table.add_column(column.lstrip(">"), justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


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
