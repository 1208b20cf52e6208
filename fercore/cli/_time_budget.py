"""Runs jobs of the queue: the next one (`--next`), or those within a time budget (`--minutes`)."""

import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import typer

from fercore.cli._options import plain_table, print_json, print_table
from fercore.cli._queue import QueuedJob, find_obstacle, order_by_value
from fercore.cli._scheduler import (
    call_fercore,
    claim_job,
    command_for,
    find_resumable_run,
    is_done,
    run_fercore,
    run_job,
)
from fercore.errors import UserError
from fercore.reproduction import goals
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run
from fercore.training.time_budget import (
    DOES_NOT_FIT,
    MIN_RESERVE,
    MIN_START,
    STARTUP_SECONDS,
    Device,
    current_device,
    estimate_duration,
    shortened_name,
)

# Exit status if there is nothing to do, which ends a shell loop.
NOTHING_LEFT = 3
# A training that has not ended this many seconds after the deadline is stopped.
GRACE_SECONDS = 30.0
TIME_UP = "stopped when the time was up; repeat the command to continue"

Queue = Callable[[Sequence[Run]], list[QueuedJob]]


def run_queued_job(queued: QueuedJob, runs: Path, data: Path) -> None:
    """Run one job of the queue to its end.

    Raises:
        UserError: if the job fails.
    """
    if queued.job is not None:
        run_job(queued.job, runs, data)
    else:
        run_fercore(queued.words, runs, data, _environment(queued))


def run_next_job(queue: Queue, runs: Path, data: Path) -> bool:
    """Run the first job of the queue that can run on this machine.

    Returns:
        Whether there was such a job.
    """
    existing_runs = list_runs(runs)
    jobs = queue(existing_runs)
    for queued in jobs:
        if reason := find_obstacle(queued, jobs, existing_runs, runs, data):
            typer.echo(f"skipped: {queued.title}: {reason}", err=True)
            continue
        run_queued_job(queued, runs, data)
        return True
    typer.echo("Nothing left to train")
    return False


def print_queue(queue: Queue, runs: Path, data: Path, as_json: bool, by_value: bool) -> None:
    """Print the missing jobs, with the minutes of each job if they are known.

    Args:
        queue: returns the missing jobs.
        runs: runs root.
        data: data root.
        as_json: print JSON.
        by_value: print the jobs in the order of `--minutes`.
    """
    existing_runs, device = list_runs(runs), current_device()
    jobs = queue(existing_runs)
    if by_value:
        jobs = _order_by_value(jobs, existing_runs, device)
    rows = [
        {
            "job": queued.title,
            "for": queued.section,
            "minutes": None if seconds is None else seconds / 60,
            "obstacle": find_obstacle(queued, jobs, existing_runs, runs, data),
        }
        for queued in jobs
        for seconds in [_seconds_left(queued, existing_runs, device)]
    ]
    if as_json:
        print_json(rows)
        return
    table = plain_table("job", "for", ">minutes", "obstacle")
    for row in rows:
        minutes = row["minutes"]
        duration = f"{minutes:.0f}" if isinstance(minutes, float) else "unknown"
        table.add_row(str(row["job"]), str(row["for"]), duration, str(row["obstacle"]))
    print_table(table)
    if not rows:
        typer.echo("Nothing left to train")


def run_within_budget(queue: Queue, minutes: float, runs: Path, data: Path) -> None:
    """Run the jobs that fit into a time budget, the most valuable first, and print a report.

    See `fercore.cli._queue.order_by_value` for the order, and `fercore.training.time_budget` for
    the estimated durations.

    Args:
        queue: returns the missing jobs.
        minutes: the time from now.
        runs: runs root.
        data: data root.
    """
    deadline = time.monotonic() + 60 * minutes
    device = current_device()
    outcomes: dict[tuple[str, ...], str] = {}
    reasons: dict[tuple[str, ...], str] = {}
    too_long: set[str] = set()
    # Experiments for which a shortened schedule was tried, which is done for one seed only.
    shortened: set[str] = set()
    try:
        while True:
            existing_runs = list_runs(runs)
            jobs = _order_by_value(queue(existing_runs), existing_runs, device, too_long)
            seconds = deadline - time.monotonic()
            reasons = {
                queued.words: find_obstacle(queued, jobs, existing_runs, runs, data)
                or _find_time_obstacle(
                    queued, _seconds_left(queued, existing_runs, device), seconds, shortened
                )
                for queued in jobs
                if queued.words not in outcomes
            }
            queued = next((job for job in jobs if reasons.get(job.words) == ""), None)
            if queued is None:
                return
            # Full schedules come before those that have to be shortened.
            name = queued.job.config.name if queued.job else ""
            outcomes[queued.words] = "interrupted"
            if name in too_long:
                shortened.add(name)
            outcome = _run_with_timeout(
                queued, seconds, existing_runs, runs, data, shorten=name in too_long
            )
            if outcome is None and name not in too_long:
                too_long.add(name)
                del outcomes[queued.words]
            else:
                outcomes[queued.words] = outcome or "skipped, its schedule does not fit"
    finally:
        _print_report(outcomes, reasons)


def _run_with_timeout(
    queued: QueuedJob,
    seconds: float,
    existing_runs: Sequence[Run],
    runs: Path,
    data: Path,
    *,
    shorten: bool,
) -> str | None:
    """Run one job, and return its outcome in words; `None` if its schedule does not fit."""
    job = queued.job
    if job is None:
        status = call_fercore(queued.words, runs, data, _environment(queued), timeout=seconds)
        return _describe_status(status, "done")
    try:
        with claim_job(job, runs):
            words = [*command_for(job, list_runs(runs)), "--minutes", f"{seconds / 60:.3f}"]
            words += [] if shorten else ["--no-shorten"]
            status = call_fercore(words, runs, data, timeout=seconds + GRACE_SECONDS)
    except UserError as error:  # another command has started it since the runs were read
        return str(error)
    known_ids = {run.id for run in existing_runs}
    current = list_runs(runs)
    new = [run for run in current if run.id not in known_ids]
    shortened = [run for run in new if _is_shortened(run, job.config.name)]
    if is_done(job.config, current):
        return "trained"
    if shortened and shortened[0].experiment:
        return f"shortened to {shortened[0].experiment.epochs} epochs, {shortened[0].id}"
    if status == DOES_NOT_FIT:
        return None
    return _describe_status(status, TIME_UP)


def _describe_status(status: int, success: str) -> str:
    """Return an exit status in words; `success` for 0."""
    if status in {130, -signal.SIGTERM}:  # stopped, by us or by the user
        return TIME_UP
    return f"failed, exit status {status}" if status else success


def _find_time_obstacle(
    queued: QueuedJob, duration: float | None, seconds: float, shortened: Collection[str]
) -> str:
    """Return why a job is not started with the seconds left; an empty string if it is."""
    if queued.job and queued.job.config.name in shortened:
        return "its schedule does not fit"
    needed = MIN_START if duration is None else max(duration, STARTUP_SECONDS + MIN_RESERVE)
    if needed <= seconds:
        return ""
    accuracy = "at least" if duration is None else "about"
    return f"needs {accuracy} {needed / 60:.1f} minutes, {max(seconds, 0) / 60:.1f} are left"


def _seconds_left(queued: QueuedJob, runs: Sequence[Run], device: Device) -> float | None:
    """Return the estimated duration of a job, minus the time of an interrupted run's epochs."""
    if queued.job is None:
        return None
    duration = estimate_duration(queued.job.config, runs, device)
    interrupted = find_resumable_run(queued.job, runs)
    log = interrupted.log() if interrupted else []
    if duration is None or not log:
        return duration
    return max(duration - log[-1].elapsed, STARTUP_SECONDS + MIN_RESERVE)


def _order_by_value(
    jobs: Sequence[QueuedJob],
    runs: Sequence[Run],
    device: Device,
    too_long: Collection[str] = (),
) -> list[QueuedJob]:
    points = goals.missing_points(goals.compare(runs))
    return order_by_value(
        jobs, points, lambda queued: _seconds_left(queued, runs, device), too_long
    )


def _is_shortened(run: Run, experiment: str) -> bool:
    return run.experiment is not None and run.experiment.name == shortened_name(experiment)


def _environment(queued: QueuedJob) -> Mapping[str, str] | None:
    # The export needs TensorFlow, also for networks that were trained on JAX.
    exports = queued.words[0] == "export"
    return os.environ | {"KERAS_BACKEND": "tensorflow"} if exports else None


def _print_report(
    outcomes: Mapping[tuple[str, ...], str], reasons: Mapping[tuple[str, ...], str]
) -> None:
    """Print the outcome of every job that ran, and why the other jobs did not run.

    Args:
        outcomes: the outcome of a job, by its arguments.
        reasons: why a job was not started, by its arguments.
    """
    for words, outcome in outcomes.items():
        typer.echo(f"{' '.join(words)}: {outcome}")
    titles_by_reason: dict[str, list[str]] = {}
    for words, reason in reasons.items():
        if words not in outcomes:
            titles_by_reason.setdefault(reason or "not reached", []).append(" ".join(words))
    for reason, titles in titles_by_reason.items():
        more = f" and {len(titles) - 3} more" if len(titles) > 3 else ""
        typer.echo(f"not started, {reason}: {'; '.join(titles[:3])}{more}")
    if not outcomes and not reasons:
        typer.echo("Nothing left to train")
