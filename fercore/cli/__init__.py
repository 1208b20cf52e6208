"""The `fercore` command: parse, log, call. One module a group of commands.

Every failure is one line on standard error that says what was received, what was expected and how
to mend it. Exit status: 0 done, 1 a check found something, 2 the request cannot be met, 3 nothing
left to train or nothing that fits the time, 130 interrupted.
"""

import errno
import io
import os
import sys
from importlib import metadata
from typing import Annotated

import typer

from fercore.cli import (
    ablations,
    augment,
    bench,
    bundle,
    compare,
    data,
    evaluation,
    goals,
    labels,
    papers,
    predict,
    runs,
    train,
)
from fercore.errors import UserError
from fercore.io.file_names import storable_name

app = typer.Typer(
    help="Train, log and compare small networks for facial-expression recognition.",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        try:
            typer.echo(f"fercore {metadata.version('fercore')}")
        except metadata.PackageNotFoundError:
            typer.echo("fercore, not installed: run from its source")
        raise typer.Exit


app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")
app.add_typer(augment.app, name="augment")
app.add_typer(bench.app, name="bench")
train.register(app)
evaluation.register(app)
compare.register(app)
papers.register(app)
ablations.register(app)
goals.register(app)
bundle.register(app)
labels.register(app)
predict.register(app)


def main() -> None:
    """Run the command line and exit with its status."""
    # Set before any import of TensorFlow: its notes on instruction sets are no use to anyone here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    escape_unprintable()
    sys.exit(_run())


def escape_unprintable() -> None:
    """Write out what the terminal's encoding lacks, such as a name of a file that is not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run() -> int:
    try:
        result = app(standalone_mode=False)
        return result if isinstance(result, int) else 0
    except UserError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except OSError as error:
        mend = "; free some space and try again" if error.errno == errno.ENOSPC else ""
        return _fail(f"{error.strerror or error}: {error.filename or 'the disk'}{mend}")
    except Exception as error:
        # What Typer raises for a malformed command; it carries a private copy of click's classes.
        if hasattr(error, "format_message"):
            return _usage(error.format_message())
        if os.environ.get("FERCORE_DEBUG"):
            raise
        return _fail(
            f"a defect of fercore: {type(error).__name__}: {' '.join(str(error).split())[:300]} "
            "(set FERCORE_DEBUG=1 for the traceback)"
        )


def _usage(message: str) -> int:
    if "\n" in message:  # a group without a command: its help
        print(message)
        return 2
    return _fail(f"{message.rstrip('.')}; `fercore --help` lists the commands and their options")


def _fail(message: str, status: int = 2) -> int:
    print(f"fercore: error: {storable_name(message)}", file=sys.stderr)
    return status
