"""`fercore goals`: print the target accuracies of our own networks, and train missing runs."""

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
    ">target %",
    ">PrivateTest %",
    "95% CI",
    ">without duplicates %",
    ">n",
    ">seeds",
    ">parameters",
    ">seconds",
    ">seconds to target on PublicTest",
    "network",
    "status",
)


Only = Annotated[
    list[str] | None,
    typer.Argument(metavar="[GOAL | EXPERIMENT]...", help="Goals and experiments [default: all]"),
]
Train = Annotated[bool, typer.Option("--train", help="Train, export and combine missing runs.")]
Seeds = Annotated[int, typer.Option(min=1, help="With --train: runs of each experiment.")]
Next = Annotated[
    bool,
    typer.Option(
        "--next", help="With --train: train one missing run, also of `fercore papers`; then exit."
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.1, help="With --train: train what fits into N minutes, also of `fercore papers`."
    ),
]
List = Annotated[
    bool,
    typer.Option("--list", "--dry-run", help="Print the missing jobs, with minutes, and exit."),
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")]


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command("goals")(goals_command)


def goals_command(
    only: Only = None,
    train: Train = False,
    seeds: Seeds = goals.SEEDS,
    next_: Next = False,
    minutes: Minutes = None,
    list_: List = False,
    markdown: Markdown = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Compare our own networks with their target accuracies.

    With --train, missing runs are trained first, teachers before students, and combined. If the
    command is stopped, the same command continues where it stopped. Most of it needs a GPU.

    With --train --next, one missing run is trained: an interrupted one first, then untrained rows
    of `fercore papers`, the experiments of the goals, and further seeds of the papers'. The exit
    status is 3 when nothing is left: while fercore goals --train --next; do :; done

    With --train --minutes N, the same jobs run as far as they fit, ordered by expected value:
    exports and combinations; the goals' experiments, first runs before further seeds, sorted by the
    points that their goals lack per estimated minute; then papers; then further seeds. A job with a
    known duration is started only if it fits. Another job is measured over its first three epochs.
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
    requested, experiments = _select(only or ())
    root = runs_root(runs)
    goals_only = bool(only) or (train and not next_ and not minutes)

    def queue(existing_runs: Sequence[Run]) -> list[QueuedJob]:
        return list_missing_jobs(
            requested, experiments, seeds, existing_runs, root, with_papers=not goals_only
        )

    if list_:
        print_queue(queue, root, data_root(data), as_json, by_value=minutes is not None)
        return
    if next_:
        if not run_next_job(queue, root, data_root(data)):
            raise typer.Exit(NOTHING_LEFT)
        return
    if minutes:
        run_within_budget(queue, minutes, root, data_root(data))
    elif train:
        for name in () if only else filter(lacks_gpu, experiments):
            typer.echo(f"{name} is skipped: it needs a GPU; give its name to train it anyway")
        trainable = experiments if only else [name for name in experiments if not lacks_gpu(name)]
        _train_missing(requested, trainable, seeds, root, data_root(data))
    existing_runs = list_runs_and_warn(root)
    keys = {goal.key for goal in requested}
    statuses = [status for status in goals.compare(existing_runs) if status.goal.key in keys]
    if as_json:
        print_json([_as_json(status) for status in statuses])
    elif markdown:
        print(markdown_table(HEADINGS, map(_cells, statuses)))
    else:
        _print_statuses(statuses, experiments, existing_runs)


def _print_statuses(
    statuses: Sequence[GoalStatus], experiments: Sequence[str], runs: Sequence[Run]
) -> None:
    table = plain_table(*HEADINGS)
    for status in statuses:
        table.add_row(*_cells(status))
    print_table(table)
    untrained = [name for name in experiments if len(goals.runs_of(name, runs)) < goals.SEEDS]
    if untrained:
        typer.echo(
            f"not trained on {goals.SEEDS} seeds yet: {', '.join(untrained)}: fercore goals --train"
        )


def _select(only: Sequence[str]) -> tuple[list[Goal], tuple[str, ...]]:
    """Return the requested goals, and the experiments to train for them, teachers first.

    Raises:
        UserError: if there is no goal or experiment of a name.
    """
    all_goals = goals.goals()
    all_experiments = goals.experiments(all_goals)
    keys = [goal.key for goal in all_goals]
    for name in only:
        if name not in keys and name not in all_experiments:
            raise UserError(
                f"received {name!r}, expected a goal ({', '.join(keys)}) or one of: "
                f"{', '.join(all_experiments)}"
            )
    if not only:
        return list(all_goals), all_experiments
    requested = [goal for goal in all_goals if {goal.key, *goal.experiments}.intersection(only)]
    of_goals = goals.experiments([goal for goal in all_goals if goal.key in only])
    named = goals.with_teachers([name for name in only if name in all_experiments])
    return requested, tuple(name for name in all_experiments if name in {*of_goals, *named})


def _train_missing(
    requested: Sequence[Goal], experiments: Sequence[str], seeds: int, runs: Path, data: Path
) -> None:
    # All seeds of the teachers come first: fewer teachers would train a different student.
    tried: set[tuple[str, ...]] = set()
    for name in experiments:
        if absent := goals.absent_teachers(name, runs):
            typer.echo(
                f"{name} is skipped: {', '.join(absent)}, its teachers, have no network in {runs}"
            )
            for teacher in absent:
                if (runs / teacher).is_dir():
                    typer.echo(f"  {missing_network(read_run(runs / teacher))}")
    trainable = [name for name in experiments if not goals.absent_teachers(name, runs)]
    while True:
        # Every training makes further exports and combinations possible.
        existing_runs = list_runs(runs)
        jobs = goal_jobs(requested, trainable, seeds, existing_runs, runs)
        pending = [job for job in jobs if job.words not in tried]
        # A network is trained after its teachers are trained and exported.
        reasons = {
            job.words: teacher_obstacle(job.job.config, jobs, existing_runs, runs)
            if job.job
            else ""
            for job in pending
        }
        queued = next((job for job in pending if not reasons[job.words]), None)
        if queued is None:
            for words, reason in reasons.items():
                typer.echo(f"{' '.join(words)} is skipped: {reason}")
            return
        if queued.words[0] == "export" and find_spec("tensorflow") is None:
            count = sum(job.words[0] == "export" for job in jobs)
            raise UserError(
                f"{count} networks are trained, but TensorFlow, which writes their model.onnx, "
                "is not installed; install it, then repeat the command to continue"
            )
        tried.add(queued.words)
        run_queued_job(queued, runs, data)


def _cells(goal_status: GoalStatus) -> tuple[str, ...]:
    goal, result = goal_status.goal, goal_status.reached
    target = f"{goal.accuracy:.2f}"
    if goal.accuracy_cpu:
        target += f" ({goal.accuracy_cpu:.2f} on CPUs)"
    if goal.seconds:
        target += f" in {goal.seconds:g} s"
    status = goals.STATUS_WORDS[goal_status.status]
    if result is None:
        return (goal.title, target, *([DASH] * (len(HEADINGS) - 3)), status)
    spread = "" if result.spread is None else f" ± {result.spread:.2f}"
    return (
        goal.title,
        target,
        f"{result.mean:.2f}{spread}",
        f"{result.low:.2f} to {result.high:.2f}",
        DASH if result.unrepeated is None else f"{result.unrepeated:.2f}",
        f"{result.n:,}",
        DASH if goal.select else str(len(result.runs)),
        f"{result.parameters:,}",
        DASH if result.seconds is None else f"{result.seconds:,.0f}",
        DASH if result.passed is None else f"{result.passed:,.0f}",
        ", on ".join(filter(None, (result.experiment or "selected members", result.device))),
        status,
    )


def _as_json(goal_status: GoalStatus) -> dict[str, Any]:
    return {
        **goal_status.goal.model_dump(mode="json"),
        "reached": None if goal_status.reached is None else dict(vars(goal_status.reached)),
        "status": goal_status.status,
    }
