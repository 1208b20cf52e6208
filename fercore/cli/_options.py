"""Options that several commands share, and functions that print tables and JSON."""

import json
import re
import shlex
import shutil
import sys
import textwrap
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

_MAX_TEXT_WIDTH = 100
ROOT_OPTIONS = ("--data-root", "--runs-root")
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
    """Return the command line of this process without the roots, which are local paths."""
    recorded: list[str] = []
    words = iter(sys.argv[1:])
    for word in words:
        if word in ROOT_OPTIONS:
            next(words, None)
        elif not word.startswith(tuple(f"{root}=" for root in ROOT_OPTIONS)):
            recorded.append(storable_name(word))
    return shlex.join(["fercore", *recorded])


def list_runs_and_warn(root: Path) -> list[Run]:
    """Return the runs under a root, and print one line for each run with damaged files."""
    runs = list_runs(root)
    for run in runs:
        if run.warnings:
            typer.echo(f"note: {run.id}: {'; '.join(run.warnings)}", err=True)
    return runs


def print_json(content: Any) -> None:
    """Print JSON for a program to read."""
    json.dump(content, sys.stdout, indent=1)
    print()


def print_table(table: Table) -> None:
    """Print a table; if the output is not a terminal, up to 240 characters wide."""
    # Text in brackets or between colons may be part of a name.
    console = Console(width=None if sys.stdout.isatty() else 240, markup=False, emoji=False)
    console.print(table)


def print_notes(lines: Iterable[str], *, markdown: bool = False) -> None:
    """Print lines of Markdown with headings and lists.

    Args:
        lines: one line for each heading, paragraph or list item.
        markdown: whether to print them unchanged; by default, the markup is removed, and the lines
            are wrapped to the width of the terminal.
    """
    width = min(shutil.get_terminal_size().columns, _MAX_TEXT_WIDTH)
    for line in lines:
        if markdown:
            typer.echo(line)
            continue
        plain = re.sub(r"\*\*|`|^#+ ", "", line)
        indent = "  " if line.startswith("- ") else ""
        typer.echo(textwrap.fill(plain, width, subsequent_indent=indent, break_on_hyphens=False))


class _PlainTable(Table):
    """A table that shows cells literally: without markup or control characters, on one line."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        literal = (Text(one_line(cell)) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*literal, **options)


def one_line(text: str) -> str:
    """Return text on one line, with control characters escaped so that a terminal ignores them."""
    return "".join(c if c.isprintable() else storable_name(c) for c in " ".join(text.split()))


def plain_table(*columns: str) -> Table:
    """Return a table without a frame.

    Args:
        columns: headings; a column of numbers, aligned to the right, starts with `>`.
    """
    table = _PlainTable(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify = "right" if column.startswith(">") else "left"
        table.add_column(column.lstrip(">"), justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def print_evaluations(results: Results, *, groups_unknown: bool = False) -> None:
    """Print a table with one row for each evaluated split of a run.

    Args:
        results: the results of the run.
        groups_unknown: whether to mark splits without groups as such; their intervals assume
            independent samples.
    """
    splits = list(results.distinct_splits.values())
    default = UNGROUPED if groups_unknown else ""
    groups = [result.grouping or default for result in splits]
    columns = ["split", ">n", ">accuracy %", ">95% CI", ">macro-F1", ">UAR %"]
    table = plain_table(*columns, *(["groups"] if any(groups) else []))
    for result, grouping in zip(splits, groups, strict=True):
        cells = [
            result.title,
            str(result.n),
            percent(result.accuracy),
            f"{percent(result.accuracy_low)} to {percent(result.accuracy_high)}",
            f"{result.macro_f1:.3f}",
            percent(result.uar),
        ]
        table.add_row(*cells, *([grouping or "-"] if any(groups) else []))
    print_table(table)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown; `columns` are the same as those of `plain_table`."""
    lines = [
        [column.lstrip(">") for column in columns],
        ["---:" if column[0] == ">" else "---" for column in columns],
        *rows,
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(value: float | None) -> str:
    """Format a fraction as a percentage with two decimals; `None` as a dash."""
    return "-" if value is None else f"{100 * value:.2f}"
