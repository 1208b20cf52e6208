"""`fercore runs`: list, show, check, note, import, rm, restore, purge."""

from pathlib import Path
from typing import Annotated

import typer

from fercore import curation
from fercore.cli.options import (
    AsJson,
    DataRoot,
    RunsRoot,
    called_command,
    percent,
    plain_table,
    print_json,
    print_table,
)
from fercore.errors import UserError
from fercore.provenance import session_summary
from fercore.records import run_schema
from fercore.roots import data_root, runs_root
from fercore.runs import Run, check_run, find_run, list_runs

app = typer.Typer(help="List, show, check, note, import and delete runs.", no_args_is_help=True)
RunName = Annotated[str, typer.Argument(help="A run's name or path.")]


@app.command("list")
def list_command(
    everything: Annotated[bool, typer.Option("--all", help="Archived runs too.")] = False,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """List every run that is not archived, pinned ones first, then the newest.

    Example: fercore runs list
    """
    root = runs_root(runs)
    there = list_runs(root)
    found = [run for run in there if everything or not run.notes.archived]
    found.sort(key=lambda run: not run.notes.pinned)
    if as_json:
        print_json([_summary(run) for run in found])
        return
    if not there:
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
        elif run.config and test and run.config.protocol.test in {"validation", "train_fold"}:
            remark = f"tested on {test.title}"
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
    if archived := len(there) - len(found):
        typer.echo(f"{archived} more are archived: fercore runs list --all")


@app.command()
def show(run: RunName, runs: RunsRoot = None, as_json: AsJson = False) -> None:
    """Show one run: its state, figures, layers and provenance.

    Example: fercore runs show RUN
    """
    found = find_run(runs_root(runs), run)
    if as_json:
        print_json(_summary(found))
        return
    halted = found.state in {"failed", "interrupted", "diverged"}
    remark = found.problem or (found.status.message if found.status and halted else "")
    typer.echo(f"{found.id}: {found.state}{f' ({remark})' if remark else ''}")
    if found.environment:
        env = found.environment
        typer.echo(f"{env.command}\n{env.device}, {env.precision}, {env.backend}, {env.started}")
        typer.echo(f"commit {env.commit or 'unknown'}, data {env.dataset_fingerprint}")
        if sessions := session_summary(env):
            typer.echo(sessions)
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
    """Delete a run; `restore` brings it back.

    Example: fercore runs rm RUN
    """
    root = runs_root(runs)
    found = find_run(root, run)
    if found.path.parent.resolve() != root.resolve():
        raise UserError(
            f"received {found.path}, expected a run under {root}; name its folder with --runs-root"
        )
    if not yes:
        typer.confirm(f"Delete {found.path}?", abort=True)
    curation.delete(found)
    typer.echo(f"deleted {found.id}; to undo that: fercore runs restore {found.id}")


@app.command()
def restore(
    run: Annotated[str | None, typer.Argument(help="A deleted run's name.")] = None,
    runs: RunsRoot = None,
) -> None:
    """Bring a deleted run back, or list the deleted ones.

    Example: fercore runs restore RUN
    """
    root = runs_root(runs)
    if run is None:
        for found in curation.deleted(root):
            typer.echo(found.id)
        return
    typer.echo(f"restored {curation.restore(root, run).path}")


@app.command()
def purge(
    runs: RunsRoot = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove every deleted run for good.

    Example: fercore runs purge
    """
    root = runs_root(runs)
    count = len(curation.deleted(root))
    if count and not yes:
        typer.confirm(f"Remove {count} deleted runs for good?", abort=True)
    typer.echo(f"removed {curation.purge(root)} runs")


@app.command()
def note(
    run: RunName,
    text: Annotated[str | None, typer.Option(help="A note; replaces the one there is.")] = None,
    tags: Annotated[
        str | None, typer.Option(help="Words parted by commas; replace those there are.")
    ] = None,
    pin: Annotated[
        bool | None, typer.Option("--pin/--unpin", help="Stand first in every list.")
    ] = None,
    archive: Annotated[
        bool | None, typer.Option("--archive/--unarchive", help="Leave out of every list.")
    ] = None,
    runs: RunsRoot = None,
) -> None:
    """Write a note or tags into a run, pin it, or archive it.

    Example: fercore runs note RUN --text "flips only" --tags ablation,seed0 --pin
    """
    found = find_run(runs_root(runs), run)
    changes: dict[str, object] = {"text": text, "pinned": pin, "archived": archive}
    if tags is not None:
        changes["tags"] = curation.parse_tags(tags)
    given = {name: value for name, value in changes.items() if value is not None}
    notes = curation.annotate(found, **given) if given else found.notes
    typer.echo(notes.model_dump_json(indent=1))


@app.command("import")
def import_command(
    file: Annotated[
        Path,
        typer.Argument(help="A CSV of class probabilities on the test split, or an ONNX network."),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the run [default: that of the file]")
    ] = None,
    title: Annotated[str | None, typer.Option(help="One line for people.")] = None,
    dataset: Annotated[str, typer.Option(help="What it is judged on.")] = "fer2013",
    like: Annotated[
        str | None, typer.Option(help="A run whose dataset, division and classes are taken.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="With a CSV: the same of the validation split.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="ONNX: a name for each output, in order, with commas.")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="ONNX: nchw or nhwc, if not clear.")] = None,
    size: Annotated[int | None, typer.Option(help="ONNX: pixels, if the file leaves it.")] = None,
    grey_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            help="ONNX: 0-255, 0-1 or -1-1 [default: the best on the validation split]",
        ),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="ONNX: subtracted from grey levels of 0 to 255.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="ONNX: what is left is divided by it.")] = None,
    output: Annotated[
        str | None, typer.Option(help="ONNX: probabilities or logits [default: told from them]")
    ] = None,
    data: DataRoot = None,
    runs: RunsRoot = None,
) -> None:
    """Make a run from predictions or a network of another project, judged like our own.

    A CSV has a column for each class, and `id`, or `label` in the order of the dataset, or both.

    Example: fercore runs import network.onnx --labels angry,disgust,fear,happy,sad,surprise,neutral
    """
    from fercore.cli.importing import Request, import_file

    request = Request(
        file=file,
        name=name,
        title=title,
        dataset=dataset,
        like=like,
        validation=validation,
        labels=labels,
        layout=layout,
        size=size,
        grey_range=grey_range,
        mean=mean,
        std=std,
        output=output,
        data_root=data_root(data),
        runs_root=runs_root(runs),
        command=called_command(),
    )
    for line in import_file(request):
        typer.echo(line)


def _summary(run: Run) -> dict[str, object]:
    return {
        "run": run.id,
        "state": run.state,
        "problem": run.problem,
        "config": run.config.model_dump(mode="json") if run.config else None,
        "notes": run.notes.model_dump(mode="json"),
        "latency": [entry.model_dump(mode="json") for entry in run.latency],
        "environment": run.environment.model_dump(mode="json") if run.environment else None,
        "results": run.results.model_dump(mode="json") if run.results else None,
    }
