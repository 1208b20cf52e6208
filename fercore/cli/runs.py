"""`fercore runs`: list, show, check, rm."""

from typing import Annotated

import typer

from fercore.cli.options import (
    AsJson,
    RunsRoot,
    percent,
    plain_table,
    print_json,
    print_table,
)
from fercore.errors import UserError
from fercore.records import run_schema
from fercore.roots import runs_root
from fercore.runs import Run, check_run, find_run, list_runs, remove_run

app = typer.Typer(help="List, show, check and delete runs.", no_args_is_help=True)
RunName = Annotated[str, typer.Argument(help="A run's name or path.")]


@app.command("list")
def list_command(runs: RunsRoot = None, as_json: AsJson = False) -> None:
    """List every run, newest first.

    Example: fercore runs list
    """
    root = runs_root(runs)
    found = list_runs(root)
    if as_json:
        print_json([_summary(run) for run in found])
        return
    if not found:
        typer.echo(f"no runs under {root}; make one with: fercore train synthetic-quick")
        return
    table = plain_table("run", "state", ">n", ">test %", ">95% interval", ">no repeats %", "remark")
    for run in found:
        test = run.results.splits.get("test") if run.results else None
        unique = run.results.splits.get("test_unique") if run.results else None
        remark = run.problem
        if run.environment and run.environment.synthetic:
            remark = "synthetic data"
        elif run.config and run.config.drop_classes:
            remark = f"without {', '.join(run.config.drop_classes)}"
        table.add_row(
            run.id,
            run.state,
            str(test.n) if test else "-",
            percent(test.accuracy) if test else "-",
            f"{percent(test.accuracy_low)} to {percent(test.accuracy_high)}" if test else "-",
            percent(unique.accuracy) if unique else "-",
            remark,
        )
    print_table(table)


@app.command()
def show(run: RunName, runs: RunsRoot = None, as_json: AsJson = False) -> None:
    """Show one run: its state, figures, layers and provenance.

    Example: fercore runs show RUN
    """
    found = find_run(runs_root(runs), run)
    if as_json:
        print_json(_summary(found))
        return
    typer.echo(f"{found.id}: {found.state}{f' ({found.problem})' if found.problem else ''}")
    if found.environment:
        env = found.environment
        typer.echo(f"{env.command}\n{env.device}, {env.precision}, {env.backend}, {env.started}")
        typer.echo(f"commit {env.commit or 'unknown'}, data {env.dataset_fingerprint}")
    if found.results:
        table = plain_table("split", ">n", ">accuracy %", ">95% interval", ">macro-F1", ">UAR %")
        for split in found.results.splits.values():
            low, high = percent(split.accuracy_low), percent(split.accuracy_high)
            table.add_row(
                split.title,
                str(split.n),
                percent(split.accuracy),
                f"{low} to {high}",
                f"{split.macro_f1:.3f}",
                percent(split.uar),
            )
        print_table(table)
    table = plain_table("layer", "kind", "detail", "output", ">parameters")
    for layer in found.layers():
        shape = "x".join(map(str, layer.output_shape))
        table.add_row(layer.name, layer.kind, layer.detail, shape, f"{layer.parameters:,}")
    print_table(table)


@app.command()
def check(run: RunName, runs: RunsRoot = None) -> None:
    """Check a run directory against the format; exit with 1 if something is wrong.

    Example: fercore runs check RUN
    """
    problems = check_run(find_run(runs_root(runs), run).path)
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo("complete and consistent")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a run directory.

    Example: fercore runs schema > run.schema.json
    """
    print_json(run_schema())


@app.command()
def rm(
    run: RunName,
    runs: RunsRoot = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a run directory for good.

    Example: fercore runs rm RUN
    """
    found = find_run(runs_root(runs), run)
    if found.state == "running":
        raise UserError(f"{found.id} is running; end it first")
    if not yes:
        typer.confirm(f"Delete {found.path} for good?", abort=True)
    remove_run(found)
    typer.echo(f"deleted {found.path}")


def _summary(run: Run) -> dict[str, object]:
    return {
        "run": run.id,
        "state": run.state,
        "problem": run.problem,
        "config": run.config.model_dump(mode="json") if run.config else None,
        "environment": run.environment.model_dump(mode="json") if run.environment else None,
        "results": run.results.model_dump(mode="json") if run.results else None,
    }
