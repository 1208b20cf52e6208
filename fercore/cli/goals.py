"""`fercore goals`: what our own networks are to reach, and the trainings that are missing."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from fercore.cli._options import (
    AsJson,
    DataRoot,
    RunsRoot,
    list_runs_and_warn,
    markdown_table,
    plain_table,
    print_json,
    print_table,
)
from fercore.cli._queue import QueuedJob, goal_jobs, lacks_gpu, list_missing_jobs, teacher_obstacle
from fercore.cli._time_budget import (
    NOTHING_LEFT,
    print_queue,
    run_next_job,
    run_queued_job,
    run_within_budget,
)
from fercore.errors import UserError
from fercore.paths import data_root, runs_root
from fercore.reproduction import goals
from fercore.reproduction.goals import Goal, GoalStatus
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run, read_run
from fercore.runs.recreate import missing_network

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
    next_: Annotated[
        bool,
        typer.Option(
            "--next", help="With --train: one missing run, of `fercore papers` too; then exit."
        ),
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="With --train: what fits into N minutes, of `fercore papers` too."
        ),
    ] = None,
    list_: Annotated[
        bool,
        typer.Option("--list", "--dry-run", help="Print what is missing, with minutes, and exit."),
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Set what our own networks are to reach beside what they do.

    With --train, whatever is missing is trained first, teachers before those that they teach, and
    combined; stopped at any point, the same command goes on where it was. Most of it needs a GPU.

    With --train --next, one missing run is trained: an interrupted one first, then untrained rows
    of `fercore papers`, the experiments of the goals, and further seeds of the papers'. The exit
    status is 3 when nothing is left: while fercore goals --train --next; do :; done

    With --train --minutes N, the same is trained as far as it fits, ordered by expected value:
    exports and combinations; the goals' experiments, first runs before further seeds, each by the
    points missing to its goals per estimated minute; then papers; then further seeds. A job whose
    duration is known is started only if it fits. Another is measured over its first three epochs.
    If it does not fit, it waits until the others of its kind are done, and is then shortened as by
    `fercore train --minutes`, or skipped.

    Example: fercore goals --train facet-tiny
    """
    if markdown and as_json:
        raise UserError("received both --markdown and --json, expected one")
    if (next_ or minutes) and not (train or list_):
        raise UserError("received --next or --minutes without --train, expected --train with it")
    if next_ and minutes:
        raise UserError("received both --next and --minutes, expected one")
    wanted, experiments = _chosen(only or ())
    root = runs_root(runs)
    only_goals = bool(only) or (train and not next_ and not minutes)

    def queue(known: Sequence[Run]) -> list[QueuedJob]:
        return list_missing_jobs(
            wanted, experiments, seeds, known, root, with_papers=not only_goals
        )

    if list_:
        print_queue(queue, root, data_root(data), as_json, valued=minutes is not None)
        return
    if next_:
        if not run_next_job(queue, root, data_root(data)):
            raise typer.Exit(NOTHING_LEFT)
        return
    if minutes:
        run_within_budget(queue, minutes, root, data_root(data))
    elif train:
        for name in () if only else filter(lacks_gpu, experiments):
            typer.echo(f"{name} is left out: it needs a GPU; train it all the same by its name")
        trained = experiments if only else [name for name in experiments if not lacks_gpu(name)]
        _train_missing(wanted, trained, seeds, root, data_root(data))
    keys = {goal.key for goal in wanted}
    known = list_runs_and_warn(root)
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
    """Return the requested goals, and the experiments to train for them, teachers first."""
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


def _train_missing(
    wanted: Sequence[Goal], experiments: Sequence[str], seeds: int, runs: Path, data: Path
) -> None:
    # Teachers come first, with all their seeds: what they teach is another network with fewer.
    tried: set[tuple[str, ...]] = set()
    for name in experiments:
        if absent := goals.absent_teachers(name, runs):
            typer.echo(
                f"{name} is left out: {', '.join(absent)}, its teachers, have no network in {runs}"
            )
            for teacher in absent:
                if (runs / teacher).is_dir():
                    typer.echo(f"  {missing_network(read_run(runs / teacher))}")
    trainable = [name for name in experiments if not goals.absent_teachers(name, runs)]
    while True:
        # What can be exported and combined changes with every training.
        known = list_runs(runs)
        jobs = goal_jobs(wanted, trainable, seeds, known, runs)
        pending = [job for job in jobs if job.words not in tried]
        # A network waits until its teachers are trained and exported.
        reasons = {
            job.words: teacher_obstacle(job.job.config, jobs, known, runs) if job.job else ""
            for job in pending
        }
        queued = next((job for job in pending if not reasons[job.words]), None)
        if queued is None:
            for words, reason in reasons.items():
                typer.echo(f"{' '.join(words)} is left out: {reason}")
            return
        if queued.words[0] == "export" and find_spec("tensorflow") is None:
            count = sum(job.words[0] == "export" for job in jobs)
            raise UserError(
                f"{count} networks are trained, and TensorFlow, which writes their model.onnx, "
                "is not installed; install it, then go on with the same command"
            )
        tried.add(queued.words)
        run_queued_job(queued, runs, data)


def _cells(standing: GoalStatus) -> tuple[str, ...]:
    goal, found = standing.goal, standing.reached
    target = f"{goal.accuracy:.2f}"
    if goal.accuracy_cpu:
        target += f" ({goal.accuracy_cpu:.2f} on CPUs)"
    if goal.seconds:
        target += f" in {goal.seconds:g} s"
    status = goals.STATUS_WORDS[standing.status]
    if found is None:
        return (goal.title, target, *([DASH] * (len(HEADINGS) - 3)), status)
    spread = "" if found.spread is None else f" ± {found.spread:.2f}"
    return (
        goal.title,
        target,
        f"{found.mean:.2f}{spread}",
        f"{found.low:.2f} to {found.high:.2f}",
        DASH if found.unrepeated is None else f"{found.unrepeated:.2f}",
        f"{found.n:,}",
        DASH if goal.select else str(len(found.runs)),
        f"{found.parameters:,}",
        DASH if found.seconds is None else f"{found.seconds:,.0f}",
        DASH if found.passed is None else f"{found.passed:,.0f}",
        ", on ".join(filter(None, (found.experiment or "chosen members", found.device))),
        status,
    )


def _as_json(standing: GoalStatus) -> dict[str, Any]:
    return {
        **standing.goal.model_dump(mode="json"),
        "reached": None if standing.reached is None else dict(vars(standing.reached)),
        "status": standing.status,
    }
