"""`fercore bench`: measure latency on this machine."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fercore.cli._options import (
    AsJson,
    DataRoot,
    RunsRoot,
    list_runs_and_warn,
    plain_table,
    print_json,
    print_table,
)
from fercore.errors import UserError
from fercore.paths import data_root, runs_root
from fercore.runs.listing import find_run
from fercore.runs.reader import Run
from fercore.runs.recreate import has_network

app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True)


@app.command()
def inference(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Runs [default: all with a model.onnx]"),
    ] = None,
    root: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Time networks on ONNX Runtime: single faces on one core, and batches of 64 on all cores.

    The results are stored with each run, under this machine's name.

    Example: fercore bench inference RUN
    """
    from fercore.benchmarks.latency import measure_latency

    folder = runs_root(root)
    if runs:
        selected = [find_run(folder, run) for run in runs]
    else:
        selected = [run for run in list_runs_and_warn(folder) if has_network(run)]
    if not selected:
        raise UserError(f"no run under {folder} has a network (model.onnx); train one first")
    latencies = {run.id: measure_latency(run) for run in selected}
    if as_json:
        print_json({run_id: entry.model_dump(mode="json") for run_id, entry in latencies.items()})
        return
    first = next(iter(latencies.values()))
    typer.echo(f"{first.device}, {first.cores} cores, ONNX Runtime {first.onnxruntime}")
    table = plain_table("run", ">one face, ms", ">95th percentile", ">faces/s in batches of 64")
    for run_id, entry in latencies.items():
        table.add_row(
            run_id,
            f"{entry.face_ms:.2f}",
            f"{entry.face_p95_ms:.2f}",
            f"{entry.faces_per_second:,.0f}",
        )
    print_table(table)


@app.command()
def live(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Runs [default: Katkar's and Ranjan's Model 2]"),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option("--film", help="Use frames of this video instead of a dataset's face."),
    ] = None,
    num_frames: Annotated[
        int, typer.Option("--frames", min=50, max=5000, help="Number of frames.")
    ] = 600,
    root: RunsRoot = None,
    data: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Time the Live page's pipeline on 640x480 frames: detect, crop, classify, draw.

    Each run is timed with every installed detector. If the package fer of PyPI is installed, it is
    timed on the same frames.

    Example: fercore bench live RUN --film party.mp4
    """
    from fercore.benchmarks import video_latency
    from fercore.faces.detection import DETECTOR_TITLES, yunet_file
    from fercore.inference.predictor import RunClassifier

    networks = [RunClassifier(run) for run in _select_live_runs(runs, runs_root(root))]
    if video is not None:
        source, frames = video.name, video_latency.read_video(video, num_frames)
    else:
        name, frames = video_latency.make_frames(data_root(data), num_frames)
        source = f"a face of {name}"
    rows = []
    for kind in ("yunet", "haar") if yunet_file() else ("haar",):
        for network in networks:
            times = video_latency.time_pipeline([network], kind, frames)
            rows.append({"way": network.id, "finder": DETECTOR_TITLES[kind]} | asdict(times))
    if (fer_times := video_latency.time_fer_package(frames)) is not None:
        rows.append({"way": "fer (PyPI)", "finder": "its own"} | asdict(fer_times))
    machine = video_latency.describe_machine()
    if as_json:
        print_json({"machine": machine, "frames": source, "results": rows})
        return
    typer.echo(f"{machine}; {len(frames)} frames of {source}")
    table = plain_table(
        *("pipeline", "detector", ">p50 ms", ">p95 ms", ">max ms"),
        *(">frames with a prediction %", ">frames with extra faces %"),
    )
    for row in rows:
        table.add_row(
            *(str(row["way"]), str(row["finder"])),
            *(f"{row[name]:.1f}" for name in ("p50", "p95", "most")),
            *(f"{100 * float(row[name]):.1f}" for name in ("shown", "extra")),
        )
    print_table(table)


def _select_live_runs(runs: Sequence[str] | None, folder: Path) -> list[Run]:
    """Return the given runs, or else the newest of two experiments, or else any with a network.

    Raises:
        UserError: if a run is unknown, or none under the folder has a network.
    """
    if runs:
        return [find_run(folder, run) for run in runs]
    candidates = [run for run in list_runs_and_warn(folder) if has_network(run) and run.experiment]
    defaults = ("katkar2021-model2-original", "ranjan2023-model2-fer2013")
    by_name = {run.experiment.name: run for run in reversed(candidates) if run.experiment}
    selected = [by_name[name] for name in defaults if name in by_name] or candidates[:1]
    if not selected:
        raise UserError(f"no run under {folder} has a network (model.onnx); train one first")
    return selected
