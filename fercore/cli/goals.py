"""`fercore goals`: what our own networks are to reach, and the trainings that are missing."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from fercore import goals
from fercore.cli.jobs import Job, do, run_fercore
from fercore.cli.options import (
    AsJson,
    DataRoot,
    RunsRoot,
    markdown_table,
    plain_table,
    print_json,
    print_table,
)
from fercore.config import load_config
from fercore.errors import UserError
from fercore.goals import Goal, Standing
from fercore.recreate import missing_network
from fercore.roots import data_root, runs_root
from fercore.runs import Run, list_runs, read_run

DASH = "-"
HEADINGS = (
    "goal",
    ">asked %",
    ">PrivateTest %",
    "95% interval",
    ">without repeats %",
    ">n",
    ">seeds",
    ">parameters",
    ">seconds",
    ">PublicTest passed at s",
    "network",
    "status",
)


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command("goals")(goals_command)


def goals_command(
    only: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GOAL | EXPERIMENT]...", help="Only these [default: all]"),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train and combine what is missing.")
    ] = False,
    seeds: Annotated[
        int, typer.Option(min=1, help="With --train: runs of each experiment.")
    ] = goals.SEEDS,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Set what our own networks are to reach beside what they do.

    With --train, whatever is missing is trained first, teachers before those that they teach, and
    combined; stopped at any point, the same command goes on where it was. Most of it needs a GPU.

    Example: fercore goals --train facet-tiny
    """
    if markdown and as_json:
        raise UserError("received both --markdown and --json, expected one")
    wanted, experiments = _chosen(only or ())
    root = runs_root(runs)
    if train:
        _train_missing(experiments, seeds, root, data_root(data))
        _export_missing(experiments, root, data_root(data))
        _combine_missing(wanted, root, data_root(data))
    keys = {goal.key for goal in wanted}
    known = list_runs(root)
    standings = [found for found in goals.compare(known) if found.goal.key in keys]
    if as_json:
        print_json([_as_json(standing) for standing in standings])
    elif markdown:
        print(markdown_table(HEADINGS, map(_cells, standings)))
    else:
        table = plain_table(*HEADINGS)
        for standing in standings:
            table.add_row(*_cells(standing))
        print_table(table)
        lacking = [name for name in experiments if len(goals.runs_of(name, known)) < goals.SEEDS]
        if lacking:
            typer.echo(
                f"not trained on {goals.SEEDS} seeds yet: {', '.join(lacking)}: "
                "fercore goals --train"
            )


def _chosen(only: Sequence[str]) -> tuple[list[Goal], tuple[str, ...]]:
    """The goals asked for, and what has to be trained: of a goal all, of an experiment that."""
    every = goals.goals()
    known = goals.experiments(every)
    keys = [goal.key for goal in every]
    for name in only:
        if name not in keys and name not in known:
            raise UserError(
                f"received {name!r}, expected a goal ({', '.join(keys)}) or one of: "
                f"{', '.join(known)}"
            )
    if not only:
        return list(every), known
    wanted = [goal for goal in every if {goal.key, *goal.experiments}.intersection(only)]
    asked = goals.experiments([goal for goal in every if goal.key in only])
    named = goals.with_teachers([name for name in only if name in known])
    return wanted, tuple(name for name in known if name in {*asked, *named})


def _train_missing(experiments: Sequence[str], seeds: int, runs: Path, data: Path) -> None:
    # Teachers come first, with all their seeds: what they teach is another network with fewer.
    for name in experiments:
        if absent := goals.absent_teachers(name, runs):
            typer.echo(
                f"{name} is left out: {', '.join(absent)}, its teachers, have no network in {runs}"
            )
            for teacher in absent:
                if (runs / teacher).is_dir():
                    typer.echo(f"  {missing_network(read_run(runs / teacher))}")
            continue
        for seed in range(seeds):
            if seed not in goals.runs_of(name, list_runs(runs)):
                fields = {"seed": seed}
                do(Job(load_config(name, fields), ("train", name, "--seed", str(seed))), runs, data)


def _export_missing(experiments: Sequence[str], runs: Path, data: Path) -> None:
    # Networks are written where Keras computes on TensorFlow, those trained on JAX afterwards.
    lacking = [
        run
        for name in experiments
        for run in goals.runs_of(name, list_runs(runs)).values()
        if run.onnx_path is None and run.best_path.is_file()
    ]
    if lacking and find_spec("tensorflow") is None:
        raise UserError(
            f"{len(lacking)} networks are trained, and TensorFlow, which writes their model.onnx, "
            "is not installed; install it, then go on with the same command"
        )
    for run in lacking:
        run_fercore(["export", run.id], runs, data, os.environ | {"KERAS_BACKEND": "tensorflow"})


def _combine_missing(wanted: Sequence[Goal], runs: Path, data: Path) -> None:
    for goal in wanted:
        if not goal.combines:
            continue
        found = list_runs(runs)
        trained = {name: goals.runs_of(name, found) for name in goal.experiments}
        for members in goals.members_of(goal, trained):
            if goals.combination_of(members, goal.views, found):
                continue
            words = ["ensemble", *(run.id for run in members), *_naming(goal, members)]
            run_fercore(words, runs, data)


def _naming(goal: Goal, members: Sequence[Run]) -> list[str]:
    views = [] if goal.views == "one" else ["--tta"]
    if not goal.together:
        config = members[0].experiment
        assert config is not None
        return ["--name", f"{config.name}-s{config.seed}-tta", *views]
    return ["--name", f"facet-{goal.key}", "--title", f"Facet, {len(members)} networks", *views]


def _cells(standing: Standing) -> tuple[str, ...]:
    goal, found = standing.goal, standing.reached
    asked = f"{goal.accuracy:.2f}" + (f" in {goal.seconds:g} s" if goal.seconds else "")
    status = goals.STATUS_WORDS[standing.status]
    if found is None:
        return (goal.title, asked, *([DASH] * (len(HEADINGS) - 3)), status)
    spread = "" if found.spread is None else f" ± {found.spread:.2f}"
    return (
        goal.title,
        asked,
        f"{found.mean:.2f}{spread}",
        f"{found.low:.2f} to {found.high:.2f}",
        DASH if found.unrepeated is None else f"{found.unrepeated:.2f}",
        f"{found.n:,}",
        DASH if goal.together else str(len(found.runs)),
        f"{found.parameters:,}",
        DASH if found.seconds is None else f"{found.seconds:,.0f}",
        DASH if found.passed is None else f"{found.passed:,.0f}",
        ", on ".join(filter(None, (found.experiment or "all of them", found.device))),
        status,
    )


def _as_json(standing: Standing) -> dict[str, Any]:
    return {
        **standing.goal.model_dump(mode="json"),
        "reached": None if standing.reached is None else dict(vars(standing.reached)),
        "status": standing.status,
    }
