"""`fercore evaluate` and `ensemble`."""

import shlex
import sys
from typing import Annotated

import typer

from fercore.cli.options import (
    AsJson,
    DataRoot,
    RunsRoot,
    percent,
    plain_table,
    print_json,
    print_table,
)
from fercore.data.splits import POOL
from fercore.errors import UserError
from fercore.roots import data_root, runs_root
from fercore.runs import find_run

SPLITS = {
    "public": "validation",
    "publictest": "validation",
    "validation": "validation",
    "private": "test",
    "privatetest": "test",
    "test": "test",
    "train": "train",
    "training": "train",
    "all": POOL,
}


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
        typer.Option(help="Ask about ten views of each image: moved and mirrored, averaged"),
    ] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a finished run's model.onnx on a split, on ONNX Runtime.

    A dataset with other classes is judged on those that both have, its images scaled to the
    network's size.

    Example: fercore evaluate RUN --dataset ckplus
    """
    from fercore.combine import joined
    from fercore.data import load
    from fercore.evaluate import evaluate_onnx
    from fercore.lineage import line_of
    from fercore.onnx_session import OnnxNetwork
    from fercore.partition import divide
    from fercore.protocol import refuse_other_division

    role = SPLITS.get((split or "private").lower())
    if role is None:
        raise UserError(f"received --split {split}, expected train, public, private or all")
    found = find_run(runs_root(runs), run)
    config = found.config
    if config is None:
        raise UserError(f"{found.id} cannot be read: {found.problem}")
    splits = load(dataset or config.dataset, data_root(data))
    known = found.original_dataset
    same_images = known is not None and known.name == splits.original.name
    if split is None and POOL in splits and not same_images:
        role = POOL
    if role != POOL and same_images:
        refuse_other_division(found, splits)
        splits = divide(config, splits)  # as the run was trained and judged
    views = None
    if tta and found.onnx_path and found.results:
        content = joined([found.onnx_path], found.results.class_names, "ten")
        views = OnnxNetwork(content, threads=0)
    result = evaluate_onnx(found, splits, role, views)
    line = line_of(runs_root(runs), found)
    if role == POOL and any(
        own and own.original_dataset and own.original_dataset.name == splits.original.name
        for _, own in line
    ):
        typer.echo(
            f"note: {found.id}, or a run that it learnt from, was trained on images of "
            f"{splits.original.name}: of all of them, this is no test",
            err=True,
        )
    if as_json:
        print_json({"run": found.id, "split": role, "tta": tta, **result.model_dump(mode="json")})
        return
    typer.echo(
        f"{result.title}: accuracy {percent(result.accuracy)} % "
        f"({percent(result.accuracy_low)} to {percent(result.accuracy_high)}), n = {result.n}, "
        f"macro-F1 {result.macro_f1:.3f}, UAR {percent(result.uar)} %"
    )
    table = plain_table("class", ">support", ">precision %", ">recall %", ">F1")
    for row in result.classes:
        f1 = "-" if row.f1 is None else f"{row.f1:.3f}"
        table.add_row(row.name, str(row.support), percent(row.precision), percent(row.recall), f1)
    print_table(table)


def ensemble(
    members: Annotated[list[str], typer.Argument(help="Runs, by name or path.")],
    name: Annotated[str | None, typer.Option(help="Of the new run.")] = None,
    title: Annotated[str | None, typer.Option(help="One line for people.")] = None,
    tta: Annotated[
        bool,
        typer.Option(help="Ask each about ten views of an image: moved and mirrored"),
    ] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
) -> None:
    """Make a run that averages the probabilities of several, or of ten views of each image.

    It has a model.onnx of its own, stands in every page, and answers on Photo and Live. The members
    share dataset, protocol and image size; what is averaged is fitted on nothing.

    Example: fercore ensemble RUN RUN RUN --name three-seeds
    """
    from fercore.combine import combine
    from fercore.data import load

    root = runs_root(runs)
    found = [find_run(root, member) for member in members]
    if len(found) == 1 and not tta:
        raise UserError("received one run, expected two or more, or --tta")
    first = found[0].config
    if first is None:
        raise UserError(f"{found[0].id} cannot be read: {found[0].problem}")
    default = f"{first.name}-tta" if len(found) == 1 else f"ensemble-of-{len(found)}"
    words = f"mean of {len(found)} networks" if len(found) > 1 else first.title
    path = combine(
        found,
        load(first.dataset, data_root(data)),
        root,
        name=name or default,
        title=title or (f"{words}, ten views" if tta else words),
        views="ten" if tta else "one",
        command=shlex.join(["fercore", *sys.argv[1:]]),
    )
    made = find_run(root, path.name).results
    assert made is not None
    typer.echo(f"{path.name}:")
    table = plain_table("split", ">n", ">accuracy %", ">95% interval", ">macro-F1", ">UAR %")
    for split in made.splits.values():
        interval = f"{percent(split.accuracy_low)} to {percent(split.accuracy_high)}"
        macro = f"{split.macro_f1:.3f}"
        table.add_row(
            split.title, str(split.n), percent(split.accuracy), interval, macro, percent(split.uar)
        )
    print_table(table)
