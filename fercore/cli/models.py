"""`fercore models`: print our own networks with their accuracy and cost."""

from dataclasses import asdict
from typing import Annotated

import typer

from fercore.cli._options import (
    AsJson,
    RunsRoot,
    list_runs_and_warn,
    markdown_table,
    plain_table,
    print_json,
    print_notes,
    print_table,
)
from fercore.errors import UserError
from fercore.paths import runs_root
from fercore.reproduction import goals, networks
from fercore.reproduction.networks import Accuracy, NetworkSummary

_DASH = "-"
HEADINGS = (
    "model",
    ">parameters",
    ">seeds",
    ">PublicTest %",
    ">PrivateTest %",
    ">without duplicates %",
    "95% CI",
    ">macro-F1",
    ">ms per face",
)


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command("models")(models_command)


def models_command(
    explain: Annotated[
        bool, typer.Option("--explain", help="Print notes on the networks instead.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """List our own networks that are trained, with accuracy and cost.

    All are trained from scratch on the training split of FER2013 and selected on PublicTest.
    "Without duplicates" is PrivateTest without the images that also occur in training; the 95% CI
    (Wilson) is of this accuracy. The mean and ± (SD) are over the seeds. Latency is that of one
    face on one CPU core, where it was measured. `fercore goals` prints the target accuracies.

    Example: fercore models
    """
    if markdown and as_json:
        raise UserError("received both --markdown and --json, expected one")
    if explain:
        notes = goals.notes()
        if as_json:
            print_json(list(notes))
        else:
            print_notes([f"- {note}" for note in notes], markdown=markdown)
        return
    summaries = networks.summarize(list_runs_and_warn(runs_root(runs)))
    if as_json:
        print_json([asdict(summary) for summary in summaries])
    elif markdown:
        print(markdown_table(HEADINGS, map(_cells, summaries)))
    else:
        table = plain_table(*HEADINGS)
        for summary in summaries:
            table.add_row(*_cells(summary))
        print_table(table)


def _cells(summary: NetworkSummary) -> tuple[str, ...]:
    clean = summary.clean
    return (
        summary.title,
        f"{summary.parameters:,}",
        str(len(summary.runs)),
        _percent(summary.validation),
        _percent(summary.test),
        _percent(clean),
        f"{clean.low:.2f} to {clean.high:.2f}",
        f"{summary.macro_f1:.3f}",
        _DASH if summary.latency_ms is None else f"{summary.latency_ms:.2f}",
    )


def _percent(accuracy: Accuracy) -> str:
    spread = "" if accuracy.spread is None else f" ± {accuracy.spread:.2f}"
    return f"{accuracy.mean:.2f}{spread}"
