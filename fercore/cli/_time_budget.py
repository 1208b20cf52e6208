"""Work through the queue one job at a time (`--next`) or within a time budget (`--minutes`)."""

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

# Exit status where there is nothing to do: it ends a shell loop.
NOTHING_LEFT = 3
# A training that has not ended by itself this long after the deadline is stopped.
GRACE_SECONDS = 30.0
TIME_UP = "stopped when the time was up; the same command goes on with it"

Queue = Callable[[Sequence[Run]], list[QueuedJob]]


def run_queued_job(queued: QueuedJob, runs: Path, data: Path) -> None:
    """Do one job of the queue to its end.

    Raises:
        UserError: if it fails.
    """
    if queued.job is not None:
        run_job(queued.job, runs, data)
    else:
        run_fercore(queued.words, runs, data, _environment(queued))


def run_next_job(queue: Queue, runs: Path, data: Path) -> bool:
    """Do the first job of the queue that can be done here.

    Returns:
        Whether there was one.
    """
    known = list_runs(runs)
    jobs = queue(known)
    for queued in jobs:
        if why := find_obstacle(queued, jobs, known, runs, data):
            typer.echo(f"left out: {queued.title}: {why}", err=True)
            continue
        run_queued_job(queued, runs, data)
        return True
    typer.echo("Nothing left to train")
    return False


def print_queue(queue: Queue, runs: Path, data: Path, as_json: bool, valued: bool) -> None:
    """Print what is missing, with the minutes of each job where they are known.

    Args:
        queue: of what is missing.
        runs: runs root.
        data: data root.
        as_json: for a program to read.
        valued: in the order of `--minutes`.
    """
    known, device = list_runs(runs), current_device()
    jobs = queue(known)
    if valued:
        jobs = _by_value(jobs, known, device)
    rows = [
        {
            "job": queued.title,
            "for": queued.section,
            "minutes": None if seconds is None else seconds / 60,
            "obstacle": find_obstacle(queued, jobs, known, runs, data),
        }
        for queued in jobs
        for seconds in [_seconds_left(queued, known, device)]
    ]
    if as_json:
        print_json(rows)
        return
    table = plain_table("job", "for", ">minutes", "not now because")
    for row in rows:
        minutes = row["minutes"]
        told = f"{minutes:.0f}" if isinstance(minutes, float) else "unknown"
        table.add_row(str(row["job"]), str(row["for"]), told, str(row["obstacle"]))
    print_table(table)
    if not rows:
        typer.echo("Nothing left to train")


def run_within_budget(queue: Queue, minutes: float, runs: Path, data: Path) -> None:
    """Do what fits into a time budget, the most valuable first, and say what was done.

    See `fercore.cli._queue.order_by_value` for the order and `fercore.training.time_budget` for what
    fits.

    Args:
        queue: of what is missing.
        minutes: from now.
        runs: runs root.
        data: data root.
    """
    deadline = time.monotonic() + 60 * minutes
    device = current_device()
    outcomes: dict[tuple[str, ...], str] = {}
    left: dict[tuple[str, ...], str] = {}
    too_long: set[str] = set()
    # Experiments whose schedule was shortened, or could not be: once is enough for all seeds.
    shortened: set[str] = set()
    try:
        while True:
            known = list_runs(runs)
            jobs = _by_value(queue(known), known, device, too_long)
            seconds = deadline - time.monotonic()
            left = {
                queued.words: find_obstacle(queued, jobs, known, runs, data)
                or _why_not(queued, _seconds_left(queued, known, device), seconds, shortened)
                for queued in jobs
                if queued.words not in outcomes
            }
            queued = next((job for job in jobs if left.get(job.words) == ""), None)
            if queued is None:
                return
            # All that fits comes before what has to be shortened to fit.
            name = queued.job.config.name if queued.job else ""
            outcomes[queued.words] = "interrupted"
            if name in too_long:
                shortened.add(name)
            outcome = _do_within(queued, seconds, known, runs, data, shorten=name in too_long)
            if outcome is None and name not in too_long:
                too_long.add(name)
                del outcomes[queued.words]
            else:
                outcomes[queued.words] = outcome or "left out, its schedule does not fit"
    finally:
        _report(outcomes, left)


def _do_within(
    queued: QueuedJob,
    seconds: float,
    known: Sequence[Run],
    runs: Path,
    data: Path,
    *,
    shorten: bool,
) -> str | None:
    """Do one job, and say in words how it ended; `None` if its schedule does not fit."""
    job = queued.job
    if job is None:
        status = call_fercore(queued.words, runs, data, _environment(queued), timeout=seconds)
        return _ending(status, "done")
    try:
        with claim_job(job, runs):
            words = [*command_for(job, list_runs(runs)), "--minutes", f"{seconds / 60:.3f}"]
            words += [] if shorten else ["--no-shorten"]
            status = call_fercore(words, runs, data, timeout=seconds + GRACE_SECONDS)
    except UserError as error:  # another command has begun it since the runs were read
        return str(error)
    before = {run.id for run in known}
    now = list_runs(runs)
    short = [run for run in now if run.id not in before and _is_short(run, job.config.name)]
    if is_done(job.config, now):
        return "trained"
    if short and short[0].experiment:
        return f"shortened to {short[0].experiment.epochs} epochs, {short[0].id}"
    if status == DOES_NOT_FIT:
        return None
    return _ending(status, TIME_UP)


def _ending(status: int, success: str) -> str:
    if status in {130, -signal.SIGTERM}:  # stopped, by us or by the user
        return TIME_UP
    return f"failed, exit status {status}" if status else success


def _why_not(
    queued: QueuedJob, duration: float | None, seconds: float, shortened: Collection[str]
) -> str:
    """Why a job is not started with so many seconds left; empty if it is."""
    if queued.job and queued.job.config.name in shortened:
        return "its schedule does not fit"
    needed = MIN_START if duration is None else max(duration, STARTUP_SECONDS + MIN_RESERVE)
    if needed <= seconds:
        return ""
    about = "at least" if duration is None else "about"
    return f"needs {about} {needed / 60:.1f} minutes, {max(seconds, 0) / 60:.1f} are left"


def _seconds_left(queued: QueuedJob, runs: Sequence[Run], device: Device) -> float | None:
    """The known duration of a job; of an interrupted one, without what it has behind it."""
    if queued.job is None:
        return None
    duration = estimate_duration(queued.job.config, runs, device)
    begun = find_resumable_run(queued.job, runs)
    log = begun.log() if begun else []
    if duration is None or not log:
        return duration
    return max(duration - log[-1].elapsed, STARTUP_SECONDS + MIN_RESERVE)


def _by_value(
    jobs: Sequence[QueuedJob],
    runs: Sequence[Run],
    device: Device,
    too_long: Collection[str] = (),
) -> list[QueuedJob]:
    points = goals.missing_points(goals.compare(runs))
    return order_by_value(
        jobs, points, lambda queued: _seconds_left(queued, runs, device), too_long
    )


def _is_short(run: Run, experiment: str) -> bool:
    return run.experiment is not None and run.experiment.name == shortened_name(experiment)


def _environment(queued: QueuedJob) -> Mapping[str, str] | None:
    # Networks are exported where Keras computes on TensorFlow, those trained on JAX afterwards.
    exports = queued.words[0] == "export"
    return os.environ | {"KERAS_BACKEND": "tensorflow"} if exports else None


def _report(outcomes: Mapping[tuple[str, ...], str], left: Mapping[tuple[str, ...], str]) -> None:
    for words, outcome in outcomes.items():
        typer.echo(f"{' '.join(words)}: {outcome}")
    reasons: dict[str, list[str]] = {}
    for words, reason in left.items():
        if words not in outcomes:
            reasons.setdefault(reason or "not reached", []).append(" ".join(words))
    for reason, titles in reasons.items():
        more = f" and {len(titles) - 3} more" if len(titles) > 3 else ""
        typer.echo(f"left, {reason}: {'; '.join(titles[:3])}{more}")
    if not outcomes and not left:
        typer.echo("Nothing left to train")
