"""Who is at work on a run: the lock, the claim, and the states that follow from them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fercore.cli._scheduler import TrainingJob, claim_job, command_for, find_resumable_run
from fercore.errors import UserError
from fercore.runs import annotations, locks
from fercore.runs.listing import find_run, list_runs
from fercore.runs.reader import Run, read_run, started
from fercore.runs.schema import Results
from fercore.runs.writer import RunWriter
from tests.runs.test_reader import ENVIRONMENT, row
from tests.tiny import tiny_config

# Another process that goes to work on a run and stays there.
_WORKER = """
import sys, time
from pathlib import Path
from fercore.runs.writer import RunWriter
from tests.tiny import tiny_config

root, kind = Path(sys.argv[1]), sys.argv[2]
if kind == "new":
    writer = RunWriter.create(root, tiny_config())
else:
    writer = RunWriter.claim(root / kind)
    writer.announce(3)
with writer:
    print(writer.path.name, flush=True)
    time.sleep(60)
"""


@contextmanager
def worker(root: Path, kind: str = "new") -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds the lock of a run, and that run's path."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(root), kind], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process, root / process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def stopped_run(root: Path, epochs: int = 0, **changes: object) -> Path:
    """A run that was interrupted after some epochs, without checkpoints."""
    writer = RunWriter.create(root, tiny_config(**changes))
    writer.write_record(ENVIRONMENT)
    for epoch in range(1, epochs + 1):
        writer.append_log(row(epoch))
    writer.set_status(state="interrupted", phase="training", epoch=epochs)
    writer.release()
    return writer.path


def from_elsewhere(path: Path, *, heartbeat: float, written: float, **fields: object) -> Path:
    """Let a run say that another machine trains it: seconds ago, by its clock and by the disk."""
    file = path / "status.json"
    status = json.loads(file.read_text()) | {"state": "running", "host": "elsewhere"} | fields
    file.write_text(json.dumps(status | {"heartbeat": time.time() - heartbeat}))
    os.utime(file, (time.time() - written, time.time() - written))
    return path


def test_a_run_that_loads_is_starting_and_after_kill_9_interrupted_at_once(tmp_path):
    with worker(tmp_path) as (process, path):
        run = read_run(path)
        assert (run.state, run.problem, run.is_active) == ("starting", "", True)
        assert (run.status.pid, run.status.host) == (process.pid, locks.HOST)
        assert started(run) == pytest.approx(time.time(), abs=60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        run = read_run(path)
        assert (run.state, run.problem, run.can_resume) == ("interrupted", "", True)


def test_a_second_resumption_is_refused_in_one_line_that_names_host_and_pid(tmp_path):
    run = stopped_run(tmp_path)
    with worker(tmp_path, run.name) as (process, path):
        assert read_run(path).state == "starting"
        with pytest.raises(UserError) as refused:
            RunWriter.claim(path)
        assert f"process {process.pid} on {locks.HOST}" in str(refused.value)
        assert "\n" not in str(refused.value)
    RunWriter.claim(path).release()


def test_a_lock_that_was_left_by_a_dead_process_names_the_living_one(tmp_path):
    run = stopped_run(tmp_path)
    with worker(tmp_path, run.name):
        pass
    with (
        worker(tmp_path, run.name) as (process, _),
        pytest.raises(UserError, match=f"process {process.pid} on"),
    ):
        RunWriter.claim(run)


def test_whichever_link_leads_to_a_run_its_lock_is_one(tmp_path):
    run = stopped_run(tmp_path / "runs")
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    with RunWriter.claim(run), pytest.raises(UserError, match="in use"):
        RunWriter.claim(tmp_path / "link" / run.name)


def test_readers_never_keep_a_trainer_from_its_run(tmp_path):
    """Pages check the locks of runs that say they are running, a killed one's among them."""
    run = stopped_run(tmp_path)
    done = threading.Event()
    states = set()

    def look() -> None:
        while not done.is_set():
            states.add(locks.is_held(run))

    threads = [threading.Thread(target=look) for _ in range(4)]
    locks.take(run).release()  # which makes the file
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            locks.take(run).release()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert states <= {True, False}


def test_runs_that_do_not_say_they_run_are_not_checked(tmp_path, monkeypatch):
    path = stopped_run(tmp_path)
    monkeypatch.setattr(locks, "is_held", lambda folder: pytest.fail("a lock was checked"))
    assert read_run(path).state == "interrupted"


@pytest.mark.parametrize(
    ("heartbeat", "written", "state"),
    [
        (0, 0, "running"),
        (40, 0, "running"),  # its clock is 40 seconds behind
        (900, 0, "running"),  # ... 15 minutes
        (-900, 0, "running"),  # ... or ahead
        (60, 60, "running"),  # a slow network file system
        (-900, 300, "stalled"),
        (300, 300, "stalled"),
        (86_400, 0, "stalled"),  # a copy of a run that trained yesterday
    ],
)
@pytest.mark.parametrize("locked", [True, False])
def test_of_another_machine_the_age_of_the_file_decides(
    tmp_path, heartbeat, written, state, locked
):
    path = from_elsewhere(
        stopped_run(tmp_path), heartbeat=heartbeat, written=written, locked=locked
    )
    run = read_run(path)
    assert (run.state, run.can_resume) == (state, state == "stalled")
    if state == "running":
        with pytest.raises(UserError, match=r"in use by process \d+ on elsewhere"):
            RunWriter.claim(path)
        with pytest.raises(UserError, match="in use"):
            annotations.delete(run)
        assert path.is_dir()
    else:
        RunWriter.claim(path).release()


def test_a_wrong_clock_here_changes_nothing(tmp_path, monkeypatch):
    path = from_elsewhere(stopped_run(tmp_path), heartbeat=0, written=0)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 500)
    assert read_run(path).state == "running"


def test_where_the_disk_has_no_locks_the_heartbeat_decides(tmp_path, monkeypatch):
    from filelock import FileLock

    def refuse(*_: object, **__: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    writer = RunWriter.create(tmp_path, tiny_config())
    assert not read_run(writer.path).status.locked
    assert read_run(writer.path).state == "starting"
    with pytest.raises(UserError, match=f"in use by process {os.getpid()} on"):
        RunWriter.claim(writer.path)
    old = time.time() - 121
    os.utime(writer.path / "status.json", (old, old))
    assert read_run(writer.path).state == "stalled"
    RunWriter.claim(writer.path)


def test_a_run_of_an_earlier_version_that_was_killed_while_starting_is_not_broken(tmp_path):
    path = stopped_run(tmp_path)
    (path / "environment.json").unlink()
    status = {"state": "running", "phase": "starting", "heartbeat": time.time() - 500, "pid": 1}
    (path / "status.json").write_text(json.dumps(status))
    assert read_run(path).state == "starting"
    os.utime(path / "status.json", (time.time() - 500, time.time() - 500))
    run = read_run(path)
    assert (run.state, run.problem, run.can_resume) == ("stalled", "", True)


def test_a_run_that_trained_must_say_where(tmp_path):
    path = stopped_run(tmp_path, epochs=2)
    (path / "environment.json").unlink()
    writer = RunWriter.claim(path)
    writer.set_status(state="running", phase="training")
    assert read_run(path).problem == "environment.json is missing"


def test_what_was_copied_without_its_checkpoints_is_not_begun_anew(tmp_path):
    begun = read_run(stopped_run(tmp_path, epochs=1))
    assert (begun.can_resume, begun.has_no_progress) == (True, True)
    copied = read_run(stopped_run(tmp_path, epochs=2, seed=1))
    assert not copied.can_resume
    (copied.path / "log.jsonl").unlink()
    assert not copied.can_resume


def test_a_refused_resumption_takes_its_announcement_back(tmp_path):
    path = stopped_run(tmp_path, epochs=2)
    before = (path / "status.json").read_bytes()
    with RunWriter.claim(path) as writer:
        writer.announce(9)
        assert read_run(path).state == "starting"
        writer.withdraw()
    assert (path / "status.json").read_bytes() == before


def test_an_old_result_does_not_hide_that_a_run_goes_on(tmp_path):
    path = stopped_run(tmp_path, epochs=3)
    writer = RunWriter.claim(path)
    fields = {"class_names": ["a"], "splits": {}, "finished": "2026-01-01T00:00:00+00:00"}
    writer.write_record(Results.model_validate(fields | {"stopped_by": "epochs", "epochs_run": 3}))
    writer.write_json("config.json", tiny_config(epochs=9).model_dump(mode="json"))
    writer.announce(9)
    assert read_run(path).state == "starting"
    writer.set_status(state="running", phase="training")
    assert read_run(path).state == "running"
    writer.release()
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "last.npz").touch()
    run = read_run(path)
    assert (run.state, run.completed, run.can_resume) == ("finished", False, True)


def test_a_locked_run_is_neither_deleted_nor_overwritten_by_a_restored_one(tmp_path):
    path = stopped_run(tmp_path)
    with worker(tmp_path, path.name), pytest.raises(UserError, match="in use by process"):
        annotations.delete(find_run(tmp_path, path.name))
    annotations.delete(find_run(tmp_path, path.name))
    lock = locks.take(path)
    with pytest.raises(UserError, match="in use"):
        annotations.restore(tmp_path, path.name)
    lock.release()
    gone = annotations.deleted(tmp_path)[0]
    with RunWriter.claim(gone.path), pytest.raises(UserError, match="in use"):
        annotations.purge(tmp_path)
    assert annotations.restore(tmp_path, path.name).path == path


def test_notes_may_be_written_while_a_run_trains(tmp_path):
    with worker(tmp_path) as (_, path):
        annotations.annotate(read_run(path), pinned=True)
        run = read_run(path)
        assert (run.state, run.notes.pinned) == ("starting", True)


def test_seeds_and_queues_wait_for_a_starting_run_and_take_a_killed_one_up(tmp_path):
    job = TrainingJob(tiny_config(), ("train", "tiny"))
    with (
        worker(tmp_path) as (process, path),
        pytest.raises(UserError, match=f"is being trained at this moment by process {process.pid}"),
    ):
        command_for(job, list_runs(tmp_path))
    runs = list_runs(tmp_path)
    assert command_for(job, runs) == ["train", "--resume", path.name]
    # One that has epochs behind it comes first.
    begun = stopped_run(tmp_path, epochs=2)
    (begun / "checkpoints").mkdir()
    (begun / "checkpoints" / "last.npz").touch()
    assert find_resumable_run(job, list_runs(tmp_path)).path == begun


def test_two_commands_do_not_begin_one_training(tmp_path):
    job = TrainingJob(tiny_config(), ("train", "tiny"))
    other = TrainingJob(tiny_config(seed=1), ("train", "tiny"))
    with claim_job(job, tmp_path):
        with (
            pytest.raises(UserError, match=f"seed 0 is being trained .* {os.getpid()} on"),
            claim_job(job, tmp_path),
        ):
            pytest.fail("it was begun twice")
        with claim_job(other, tmp_path):
            pass
    with claim_job(job, tmp_path):
        pass
    assert list_runs(tmp_path) == []


def test_a_name_that_is_being_made_is_not_given_twice(tmp_path, monkeypatch):
    made: list[Path] = []
    start = threading.Barrier(4)

    def make() -> None:
        start.wait()
        writer = RunWriter.create(tmp_path, tiny_config())
        made.append(writer.path)
        writer.release()

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 4
    assert {run.path for run in list_runs(tmp_path)} == set(made)


def test_a_training_step_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    writer = RunWriter.create(tmp_path, tiny_config())
    writing, go_on = threading.Event(), threading.Event()
    written = []

    def slow(name: str, content: dict[str, object]) -> None:
        writing.set()
        go_on.wait(30)
        written.append(content["step"])

    monkeypatch.setattr(writer, "write_json", slow)
    heartbeat = threading.Thread(target=writer.set_status)
    heartbeat.start()
    assert writing.wait(30)
    step = threading.Thread(target=writer.record_step, args=(5, 10))
    step.start()
    step.join(20)
    waited = step.is_alive()
    go_on.set()
    heartbeat.join()
    step.join()
    assert not waited
    writer.set_status()
    assert written == [0, 5]


def test_the_lock_lies_beside_the_run_which_holds_nothing_of_it(tmp_path):
    path = stopped_run(tmp_path)
    assert {file.name for file in path.iterdir()} == {
        *("config.json", "environment.json", "status.json")
    }
    assert isinstance(read_run(path), Run)
