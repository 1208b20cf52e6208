import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.analysis import training_progress
from dashboard.state import run_cache
from fercore.config.training import ProgressiveResizingConfig
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run, read_run
from fercore.runs.schema import EpochLog


@pytest.mark.parametrize(("age", "silent"), [(10.0, 10.0), (-3600.0, 0.0)])
def test_a_run_whose_clock_is_ahead_was_heard_of_just_now(
    runs: dict[str, Run], age: float, silent: float, monkeypatch: pytest.MonkeyPatch
):
    run = runs["khopkar2021"]
    now = run.status.heartbeat + age
    monkeypatch.setattr(time, "time", lambda: now)
    assert training_progress.seconds_since_heartbeat(run) == pytest.approx(silent)
    never = run.status.model_copy(update={"heartbeat": 0.0})
    assert training_progress.seconds_since_heartbeat(replace(run, status=never)) is None


def test_time_left_of_a_running_run(runs: dict[str, Run]):
    run = runs["khopkar2021"]
    log = run_cache.log(run)
    each = log[-1].seconds + log[-1].val_seconds
    # 28 epochs to go, of which 210 of 449 steps are done.
    assert training_progress.seconds_left(run, log) == pytest.approx(
        (28 - 210 / 449) * each, rel=0.1
    )
    assert training_progress.progress(run) == pytest.approx((12 + 210 / 449) / 40)
    # 8 epochs of small images are to come; the 20 after them take 2.25 times as long.
    resizing = ProgressiveResizingConfig(size=32, fraction=0.5)
    growing = replace(
        run, config=run.experiment.model_copy(update={"progressive_resizing": resizing})
    )
    costs = 7 + (1 - 210 / 449) + 20 * 2.25
    assert training_progress.seconds_left(growing, log) == pytest.approx(costs * each, rel=0.1)
    assert training_progress.seconds_left(runs["le2019-deep"], log) is None
    assert training_progress.seconds_left(run, []) is None


def test_the_time_left_is_counted_by_the_last_five_epochs_and_the_step_that_is_reached(
    runs: dict[str, Run],
):
    run = next(run for run in runs.values() if run.state == "running")
    row = run.log()[0].model_dump()

    def left(seconds, epoch, epochs, step=0, steps=0):
        log = [
            EpochLog(**row | {"epoch": number, "seconds": time, "val_seconds": 2.0})
            for number, time in enumerate(seconds, start=1)
        ]
        changes = {"epoch": epoch, "epochs": epochs, "step": step, "steps": steps}
        status = run.status.model_copy(update=changes)
        return training_progress.seconds_left(replace(run, status=status), log)

    # The first two epochs were slow; the median of the other five is 10 seconds and 2 more.
    slow_first = [90, 80, 8, 9, 10, 11, 50]
    assert left(slow_first, 7, 10) == pytest.approx(3 * 12)
    assert left(slow_first, 7, 10, step=30, steps=120) == pytest.approx(2.75 * 12)
    assert left([10], 1, 10, step=1, steps=4) == pytest.approx(8.75 * 12)
    assert left(slow_first, 7, 7) == 0
    assert left(slow_first, 7, 8, step=4, steps=4) == 0


@pytest.mark.parametrize("shape", [[], [0, 48, 1], [0]])
def test_the_time_left_needs_no_image_size_in_the_layer_table(
    runs: dict[str, Run], shape: list[int]
):
    run = runs["khopkar2021"]
    expected = training_progress.seconds_left(run, run_cache.log(run))
    layers = [layer.model_dump() for layer in run.layers()]
    layers[0]["output_shape"] = shape
    (run.path / "layers.json").write_text(json.dumps(layers))
    changed = read_run(run.path)
    assert changed.layers()[0].output_shape == shape
    assert training_progress.seconds_left(changed, run_cache.log(changed)) == pytest.approx(
        expected
    )


def test_resume_command_for_what_stopped(runs: dict[str, Run]):
    for name in ("stalled-run", "stopped-run", "failed-run"):
        assert (
            training_progress.resume_command(runs[name])
            == f"fercore train --resume {runs[name].id}"
        )
    assert training_progress.resume_command(runs["le2019-deep"]) is None
    assert training_progress.resume_command(runs["holiday-pictures"]) is None


def test_a_run_without_its_checkpoint_is_not_to_be_resumed(made: Path):
    (stalled,) = [run for run in list_runs(made) if run.id.startswith("stalled-run")]
    assert training_progress.resume_command(replace(stalled, path=made / "copied")) is None


def test_what_was_judged_early_can_go_on(runs: dict[str, Run]):
    run = runs["le2019-deep"]
    (run.path / "checkpoints").mkdir(exist_ok=True)
    run.last_path.write_bytes(b"")
    assert training_progress.resume_command(run) is None

    def stopped(by, epochs=60):
        results = run.results.model_copy(update={"stopped_by": by})
        config = run.experiment.model_copy(update={"epochs": epochs})
        return replace(run, results=results, config=config)

    assert training_progress.resume_command(stopped("interrupt"))
    # A resumption for more epochs that died beside the results that it had.
    assert training_progress.resume_command(stopped("epochs", epochs=80))
    assert training_progress.resume_command(stopped("early stopping", epochs=80)) is None
    assert training_progress.resume_command(replace(stopped("interrupt"), state="diverged")) is None
    assert training_progress.resume_command(replace(stopped("interrupt"), state="running")) is None
