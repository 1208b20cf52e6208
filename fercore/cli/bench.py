"""`fercore bench`: how fast things are on this machine."""

from typing import Annotated

import typer

from fercore.cli.options import AsJson, RunsRoot, plain_table, print_json, print_table
from fercore.errors import UserError
from fercore.roots import runs_root
from fercore.runs import find_run, list_runs

app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `inference` a command of its own while it is the only one."""


@app.command()
def inference(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Runs [default: all with a model.onnx]"),
    ] = None,
    root: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Time networks on ONNX Runtime: a face at a time on one core, and in batches of 64.

    The figures are stored with each run, under this machine's name.

    Example: fercore bench inference RUN
    """
    from fercore.bench import measure

    folder = runs_root(root)
    if runs:
        chosen = [find_run(folder, run) for run in runs]
    else:
        chosen = [run for run in list_runs(folder) if run.onnx_path and run.config]
    if not chosen:
        raise UserError(f"no run under {folder} has a model.onnx; train one first")
    measured = {run.id: measure(run) for run in chosen}
    if as_json:
        print_json({run_id: entry.model_dump(mode="json") for run_id, entry in measured.items()})
        return
    first = next(iter(measured.values()))
    typer.echo(f"{first.device}, {first.cores} cores, ONNX Runtime {first.onnxruntime}")
    table = plain_table("run", ">one face, ms", ">95th percentile", ">faces/s in batches of 64")
    for run_id, entry in measured.items():
        table.add_row(
            run_id,
            f"{entry.face_ms:.2f}",
            f"{entry.face_p95_ms:.2f}",
            f"{entry.faces_per_second:,.0f}",
        )
    print_table(table)
