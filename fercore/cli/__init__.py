"""The `fercore` command, with one module for each group of commands.

Every failure prints one line on standard error: what was received, what was expected and how to fix
it. Exit status: 0 success, 1 a check found problems, 2 the request cannot be met, 3 nothing is left
to train or nothing fits into the time, 130 interrupted.
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
    models,
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
def _handle_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        try:
            typer.echo(f"fercore {metadata.version('fercore')}")
        except metadata.PackageNotFoundError:
            typer.echo("fercore, run from its source without an installation")
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
models.register(app)
bundle.register(app)
labels.register(app)
predict.register(app)


def main() -> None:
    """Run the command line and exit with its status."""
    # Set before any import of TensorFlow, to suppress its messages on instruction sets.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    escape_unprintable()
    sys.exit(_run_command())


def escape_unprintable() -> None:
    """Print escape sequences for characters that the terminal's encoding lacks.

    A file name that is not UTF-8 contains such characters.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run_command() -> int:
    """Run the command, print its error if there is one, and return the exit status."""
    try:
        result = app(standalone_mode=False)
        return result if isinstance(result, int) else 0
    except UserError as error:
        return _print_error(str(error))
    except (KeyboardInterrupt, typer.Abort):
        return _print_error("interrupted", 130)
    except OSError as error:
        advice = "; free some space and try again" if error.errno == errno.ENOSPC else ""
        return _print_error(f"{error.strerror or error}: {error.filename or 'the disk'}{advice}")
    except Exception as error:
        # Typer's error for a malformed command, of a private copy of click's classes.
        if hasattr(error, "format_message"):
            return _print_usage_error(error.format_message())
        if os.environ.get("FERCORE_DEBUG"):
            raise
        return _print_error(
            f"a defect of fercore: {type(error).__name__}: {' '.join(str(error).split())[:300]} "
            "(set FERCORE_DEBUG=1 for the traceback)"
        )


def _print_usage_error(message: str) -> int:
    if "\n" in message:  # the help of a group that was called without a command
        print(message)
        return 2
    return _print_error(
        f"{message.rstrip('.')}; `fercore --help` lists the commands and their options"
    )


def _print_error(message: str, status: int = 2) -> int:
    print(f"fercore: error: {storable_name(message)}", file=sys.stderr)
    return status
