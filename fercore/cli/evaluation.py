"""`fercore evaluate` and `ensemble`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fercore.cli._options import (
    AsJson,
    DataRoot,
    RunsRoot,
    list_runs_and_warn,
    percent,
    plain_table,
    print_evaluations,
    print_json,
    print_table,
    recorded_command,
)
from fercore.config.run import Average
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.paths import data_root, runs_root
from fercore.runs.listing import find_run
from fercore.runs.reader import Run
from fercore.runs.recreate import require_network


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(evaluate)
    app.command()(ensemble)


def evaluate(
    run: Annotated[str, typer.Argument(help="A run's name or path.")],
    dataset: Annotated[str | None, typer.Option(help="A dataset [default: the run's own]")] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, public, private, or all [default: private, or all there is]"),
    ] = None,
    tta: Annotated[
        bool,
        typer.Option(
            help="Average the predictions for ten views of each image: moved and mirrored."
        ),
    ] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a finished run's model.onnx on a split, on ONNX Runtime.

    A dataset with other classes is evaluated on the classes in common, its images scaled to the
    input size of the network.

    Example: fercore evaluate RUN --dataset ckplus
    """
    from fercore.inference.ensemble_graph import build_ensemble_onnx
    from fercore.inference.onnx_session import OnnxNetwork
    from fercore.inference.run_evaluation import evaluate_on_dataset, parse_dataset_split

    part = parse_dataset_split(split or "private")
    evaluated = find_run(runs_root(runs), run)
    network = None
    if tta and evaluated.results:
        names = evaluated.results.class_names
        content = build_ensemble_onnx([require_network(evaluated)], names, "ten_view")
        network = OnnxNetwork(content, threads=0)
    evaluation = evaluate_on_dataset(
        evaluated,
        dataset,
        part,
        all_if_unsplit=split is None,
        runs_root=runs_root(runs),
        data_root=data_root(data),
        network=network,
    )
    for note in evaluation.notes:
        typer.echo(f"note: {note}", err=True)
    part, result = evaluation.split, evaluation.result
    if as_json:
        print_json(
            {"run": evaluated.id, "split": part, "tta": tta, **result.model_dump(mode="json")}
        )
        return
    typer.echo(
        f"{result.title}: accuracy {percent(result.accuracy)} % "
        f"({percent(result.accuracy_low)} to {percent(result.accuracy_high)}), n = {result.n}, "
        f"{result.grouping + ', ' if result.grouping else ''}"
        f"macro-F1 {result.macro_f1:.3f}, UAR {percent(result.uar)} %"
    )
    table = plain_table("class", ">support", ">precision %", ">recall %", ">F1")
    for row in result.classes:
        f1 = "-" if row.f1 is None else f"{row.f1:.3f}"
        table.add_row(row.name, str(row.support), percent(row.precision), percent(row.recall), f1)
    print_table(table)


def ensemble(
    members: Annotated[
        list[str] | None, typer.Argument(help="Runs, by name or path; the candidates of --select.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new run.")] = None,
    title: Annotated[str | None, typer.Option(help="Title of the new run, on one line.")] = None,
    tta: Annotated[
        bool,
        typer.Option(help="Average each over ten views of an image: moved and mirrored."),
    ] = False,
    mean: Annotated[
        Average, typer.Option(help="Mean of the probabilities, or of their logarithms.")
    ] = "arithmetic",
    select: Annotated[
        int | None,
        typer.Option(min=2, help="Choose at most this many members by validation accuracy."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="With --select and no run: candidates on this dataset [fer2013]."),
    ] = None,
    no_network: Annotated[
        bool, typer.Option("--no-network", help="Average stored predictions; write no model.onnx.")
    ] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
) -> None:
    """Make a run that averages the probabilities of several, or of ten views of each image.

    The new run has its own model.onnx, appears on every page, and predicts on Photo and Live. The
    members share dataset, protocol and image size; no weight of the average is fitted. Where a
    member's model.onnx is not here, stored predictions are averaged, and the new run has no
    model.onnx.

    --select N selects the members by greedy forward selection on the validation split, among the
    given runs or all suitable ones.

    Example: fercore ensemble RUN RUN RUN --name three-seeds
    """
    from fercore.data.registry import load_dataset
    from fercore.inference.ensemble import combine, why_no_network

    root = runs_root(runs)
    named = [find_run(root, member) for member in members or []]
    _check_ensemble_request(named, select, dataset, tta=tta, no_network=no_network)
    first = named[0].config if named else None
    splits = load_dataset(first.dataset if first else dataset or "fer2013", data_root(data))
    combined, candidates = named, None
    if select is not None:
        combined, candidates, split_title = _select(root, named, splits, select, mean)
        default_name = "ensemble-selected"
        default_title = f"Ensemble of {len(combined)} networks, selected on {split_title}"
    else:
        default_name, default_title = _default_names(named)
    if tta:
        default_title += ", ten views"
    obstacle = "--no-network" if no_network else "" if tta else why_no_network(combined)
    if obstacle:
        typer.echo(f"note: from stored predictions, without a model.onnx of its own ({obstacle})")
    path = combine(
        combined,
        splits,
        root,
        name=name or default_name,
        title=title or default_title,
        tta="ten_view" if tta else "none",
        command=recorded_command(),
        average=mean,
        network=not obstacle,
        candidates=candidates,
    )
    results = find_run(root, path.name).results
    assert results is not None
    typer.echo(f"{path.name}:")
    print_evaluations(results)


def _check_ensemble_request(
    named: Sequence[Run], select: int | None, dataset: str | None, *, tta: bool, no_network: bool
) -> None:
    """Refuse options that contradict each other, too few runs and runs that cannot be used."""
    if dataset is not None and (select is None or named):
        raise UserError("--dataset belongs to --select without runs; runs name their own dataset")
    if tta and (select is not None or no_network):
        other = "--select" if select is not None else "--no-network"
        raise UserError(
            f"received --tta with {other}, which works on stored predictions; make the ten views "
            "of each run first: fercore ensemble RUN --tta"
        )
    if select is None and len(named) < 2 and not (named and tta):
        count = "one run" if named else "no run"
        raise UserError(f"received {count}, expected two or more, or --tta with one, or --select")
    if named and named[0].config is None:
        raise UserError(f"{named[0].id} cannot be read: {named[0].problem}")
    if tta:
        for run in named:
            require_network(run)


def _default_names(named: Sequence[Run]) -> tuple[str, str]:
    """Return the default name and title of a run that combines these ones."""
    first = named[0].config
    if len(named) == 1 and first:
        return f"{first.name}-tta", first.title
    return f"ensemble-of-{len(named)}", f"mean of {len(named)} networks"


def _select(
    root: Path, named: Sequence[Run], splits: Splits, size: int, average: Average
) -> tuple[list[Run], int, str]:
    """Select members, print each step, and return members, number of candidates, split title."""
    from fercore.evaluation.ensemble_selection import find_candidates, select_members

    candidates = find_candidates(
        root, named or list_runs_and_warn(root), splits, skip_unsuitable=not named
    )
    steps = select_members(candidates, size, average)
    results = candidates[0].results
    assert results is not None
    title = results.splits["validation"].title
    typer.echo(f"{len(candidates)} candidates, {average} mean, selected on {title}:")
    table = plain_table("step", "member added", f">{title} accuracy %", ">NLL")
    for number, step in enumerate(steps, start=1):
        table.add_row(str(number), step.run.id, percent(step.accuracy), f"{step.nll:.4f}")
    print_table(table)
    if len(steps) < 2:
        raise UserError(
            f"no second candidate raises the accuracy of {steps[0].run.id} on {title}; expected an "
            "ensemble of two runs or more: name other runs"
        )
    if len(steps) < size:
        typer.echo(f"No further candidate raises the accuracy on {title}.")
    return [step.run for step in steps], len(candidates), title
