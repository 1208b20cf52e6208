"""`fercore runs`: list, show, check, migrate, note, import, rm, restore, purge."""

from typing import Annotated, Any

import typer

from fercore.cli import _import_options as options
from fercore.cli._options import (
    AsJson,
    DataRoot,
    RunsRoot,
    one_line,
    percent,
    plain_table,
    print_evaluations,
    print_json,
    print_table,
    recorded_command,
)
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.io.file_names import storable_name
from fercore.paths import data_root, runs_root
from fercore.runs import annotations
from fercore.runs.checks import check_notes, check_run
from fercore.runs.json_schema import run_schema
from fercore.runs.listing import find_run, list_runs
from fercore.runs.provenance import session_summary
from fercore.runs.reader import Run
from fercore.runs.schema import FORMAT_VERSION, SplitResult

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
    all_runs = list_runs(root)
    listed = [run for run in all_runs if everything or not run.notes.archived]
    listed.sort(key=lambda run: not run.notes.pinned)
    if as_json:
        print_json([_summary(run) for run in listed])
        return
    if not all_runs:
        typer.echo(f"no runs under {root}; make one with: fercore train synthetic-quick")
        return
    table = plain_table("run", "state", ">n", ">test %", ">95% CI", ">clean %", "remark")
    for run in listed:
        test = run.results.splits.get("test") if run.results else None
        unique = run.results.splits.get("test_unique") if run.results else None
        remarks = [run.problem, *run.warnings]
        if run.environment and run.environment.synthetic:
            remarks.append("synthetic data")
        elif run.config and run.config.drop_classes:
            remarks.append(f"without {', '.join(run.config.drop_classes)}")
        elif run.config and test and run.config.protocol.test in {"validation", "train_fold"}:
            remarks.append(f"tested on {test.title}")
        if test and (groups := run.grouping(test)):
            remarks.append(groups)
        table.add_row(
            run.id,
            run.state,
            str(test.n) if test else "-",
            percent(test.accuracy) if test else "-",
            f"{percent(test.accuracy_low)} to {percent(test.accuracy_high)}" if test else "-",
            percent(unique.accuracy) if unique else "-",
            "; ".join(filter(None, remarks)),
        )
    print_table(table)
    if archived := len(all_runs) - len(listed):
        typer.echo(f"{archived} more are archived: fercore runs list --all")


@app.command()
def show(run: RunName, runs: RunsRoot = None, as_json: AsJson = False) -> None:
    """Show one run: its state, figures, layers and provenance.

    Example: fercore runs show RUN
    """
    shown = find_run(runs_root(runs), run)
    if as_json:
        print_json(_summary(shown))
        return
    halted = shown.state in {"failed", "interrupted", "diverged"}
    remark = shown.problem or (shown.status.message if shown.status and halted else "")
    typer.echo(one_line(f"{shown.id}: {shown.state}{f' ({remark})' if remark else ''}"))
    for warning in shown.warnings:
        typer.echo(warning)
    if shown.environment:
        env = shown.environment
        typer.echo(one_line(env.command))
        details = filter(None, (env.device, env.precision, env.backend, env.started))
        typer.echo(one_line(", ".join(details)))
        typer.echo(one_line(f"commit {env.commit or 'unknown'}, data {env.dataset_fingerprint}"))
        if sessions := session_summary(env):
            typer.echo(one_line(sessions))
    if shown.results:
        print_evaluations(shown.results, groups_unknown=shown.groups_unknown)
    layers = shown.layers()
    if not layers:
        return
    table = plain_table("layer", "kind", "detail", "output", ">parameters")
    for layer in layers:
        shape = "x".join(map(str, layer.output_shape))
        table.add_row(layer.name, layer.kind, layer.detail, shape, f"{layer.parameters:,}")
    print_table(table)


@app.command()
def check(run: RunName, runs: RunsRoot = None) -> None:
    """Check a run directory against the format; exit with 1 if something is wrong.

    Example: fercore runs check RUN
    """
    path = find_run(runs_root(runs), run).path
    problems = check_run(path)
    for problem in problems:
        typer.echo(problem)
    for note in check_notes(path):
        typer.echo(f"note: {note}", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo("complete and consistent")


@app.command()
def migrate(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Runs [default: all that need it]"),
    ] = None,
    data: DataRoot = None,
    runs: RunsRoot = None,
) -> None:
    """Bring runs of earlier versions up to date.

    The files of a run are brought to the present format version; this changes names, not values.

    Images of one subject, or copies of one image, are not independent. Runs of earlier versions do
    not store these groups, and their intervals are too narrow. Nor do they store which test images
    also occur in training. Both are computed from the dataset, which must be installed; no other
    figure changes.

    Example: fercore runs migrate
    """
    from fercore.data.registry import load_dataset
    from fercore.evaluation.migration import (
        has_old_format,
        is_outdated,
        update,
        upgrade_format,
    )

    root = runs_root(runs)
    named = [find_run(root, name) for name in names or []]
    outdated = named or [run for run in list_runs(root) if has_old_format(run) or is_outdated(run)]
    loaded: dict[str, Splits] = {}
    failed = 0
    for run in outdated:
        try:
            if run.config is None:
                raise UserError(f"{run.id} cannot be read: {run.problem}")
            is_upgraded = has_old_format(run)
            if is_upgraded:
                upgrade_format(run)
                typer.echo(f"{run.id}: format version {FORMAT_VERSION}")
            if not is_outdated(run) and (run.results is not None or is_upgraded):
                if not is_upgraded:
                    typer.echo(f"{run.id}: up to date")
                continue
            name = run.config.dataset
            if name not in loaded:
                loaded[name] = load_dataset(name, data_root(data))
            before = run.results.splits.get("test") if run.results else None
            after = update(run, loaded[name]).splits.get("test")
        except UserError as error:
            typer.echo(f"not changed: {error}", err=True)
            failed += 1
            continue
        if before and after and before != after:
            typer.echo(
                f"{run.id}: {after.grouping}; 95% CI {_interval(before)} becomes {_interval(after)}"
            )
        else:
            typer.echo(f"{run.id}: stores which test images also occur in training")
    if not outdated:
        typer.echo("every run is up to date")
    if failed:
        raise typer.Exit(1)


def _interval(result: SplitResult) -> str:
    return f"{percent(result.accuracy_low)} to {percent(result.accuracy_high)}"


@app.command()
def schema() -> None:
    """Print the JSON Schema of a run directory.

    It describes the JSON files. CONTRIBUTING.md describes every file in words.

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
    target = find_run(root, run)
    if target.path.parent.resolve() != root.resolve():
        raise UserError(
            f"received {target.path}, expected a run under {root}; name its folder with --runs-root"
        )
    if not yes:
        typer.confirm(f"Delete {target.path}?", abort=True)
    annotations.delete(target)
    typer.echo(f"deleted {target.id}; to undo that: fercore runs restore {target.id}")


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
        for deleted_run in annotations.deleted(root):
            typer.echo(deleted_run.id)
        return
    typer.echo(f"restored {annotations.restore(root, run).path}")


@app.command()
def purge(
    runs: RunsRoot = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove every deleted run for good.

    Example: fercore runs purge
    """
    root = runs_root(runs)
    count = len(annotations.deleted(root))
    if count and not yes:
        typer.confirm(f"Remove {count} deleted runs for good?", abort=True)
    typer.echo(f"removed {annotations.purge(root)} runs")


@app.command()
def note(
    run: RunName,
    text: Annotated[str | None, typer.Option(help="A note; replaces the existing one.")] = None,
    tags: Annotated[
        str | None, typer.Option(help="Comma-separated tags; replaces existing tags.")
    ] = None,
    pin: Annotated[bool | None, typer.Option("--pin/--unpin", help="List first.")] = None,
    archive: Annotated[
        bool | None, typer.Option("--archive/--unarchive", help="Leave out of lists.")
    ] = None,
    runs: RunsRoot = None,
) -> None:
    """Write a note or tags into a run, pin it, or archive it.

    Example: fercore runs note RUN --text "flips only" --tags ablation,seed0 --pin
    """
    target = find_run(runs_root(runs), run)
    changes: dict[str, Any] = {"text": text, "pinned": pin, "archived": archive}
    if tags is not None:
        changes["tags"] = annotations.parse_tags(tags)
    given = {name: value for name, value in changes.items() if value is not None}
    before = target.notes
    notes = annotations.annotate(target, before, **given) if given else before
    # Print what is replaced: it cannot be restored from the disk.
    if before.text and notes.text != before.text:
        typer.echo(f"replaced the note: {storable_name(before.text)}", err=True)
    if removed := [tag for tag in before.tags if tag not in notes.tags]:
        typer.echo(f"removed the tags: {one_line(' '.join(removed))}", err=True)
    typer.echo(notes.model_dump_json(indent=1))


@app.command("import")
def import_command(
    file: options.ImportedFile,
    name: options.Name = None,
    title: options.Title = None,
    dataset: options.Dataset = "fer2013",
    like: options.Like = None,
    validation: options.Validation = None,
    labels: options.Labels = None,
    layout: options.LayoutName = None,
    size: options.Size = None,
    grey_range: options.GreyRange = None,
    mean: options.Mean = None,
    std: options.Std = None,
    output: options.Output = None,
    values: options.Values = None,
    channels: options.Channels = None,
    of_run: options.OfRun = None,
    time_limit: options.TimeLimit = None,
    memory_limit: options.MemoryLimit = None,
    data: DataRoot = None,
    runs: RunsRoot = None,
) -> None:
    """Make a run from predictions or a network of another project, evaluated like our own.

    A table has a column of scores for each class, or one with the predicted class; and `id`, or
    `label` in the order of the dataset, or both. A network is loaded in a process of its own.

    Example: fercore runs import network.onnx --labels angry,disgust,fear,happy,sad,surprise,neutral
    """
    from fercore.cli._import_run import Request, import_file

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
        values=values,
        channels=channels,
        of_run=of_run,
        time_limit=time_limit,
        memory_limit=memory_limit,
        data_root=data_root(data),
        runs_root=runs_root(runs),
        command=recorded_command(),
    )
    for line in import_file(request):
        typer.echo(line)


def _summary(run: Run) -> dict[str, object]:
    return {
        "run": run.id,
        "state": run.state,
        "problem": run.problem,
        "warnings": run.warnings,
        "config": run.config.model_dump(mode="json") if run.config else None,
        "notes": run.notes.model_dump(mode="json"),
        "latency": [entry.model_dump(mode="json") for entry in run.latency],
        "environment": run.environment.model_dump(mode="json") if run.environment else None,
        "results": run.results.model_dump(mode="json") if run.results else None,
    }
