"""`fercore bench`: how fast things are on this machine."""

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
    """Time networks on ONNX Runtime: a face at a time on one core, and in batches of 64.

    The figures are stored with each run, under this machine's name.

    Example: fercore bench inference RUN
    """
    from fercore.benchmarks.latency import measure

    folder = runs_root(root)
    if runs:
        chosen = [find_run(folder, run) for run in runs]
    else:
        chosen = [run for run in list_runs_and_warn(folder) if has_network(run)]
    if not chosen:
        raise UserError(f"no run under {folder} has a network (model.onnx); train one first")
    measured = {run.id: measure(run) for run in chosen}
    if as_json:
        print_json({run_id: entry.model_dump(mode="json") for run_id, entry in measured.items()})
        return
    first = next(iter(measured.values()))
    typer.echo(f"{first.device}, {first.cores} cores, ONNX Runtime {first.onnxruntime}")
    table = plain_table("run", ">one face, ms", ">95th percentile", ">faces/s in batches of 64")
    for run_id, entry in measured.items():
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
    film: Annotated[
        Path | None, typer.Option(help="Frames of this film instead of a dataset's face.")
    ] = None,
    frames: Annotated[int, typer.Option(min=50, max=5000, help="How many.")] = 600,
    root: RunsRoot = None,
    data: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Time a 640x480 frame through the Live page's pipeline: find, cut, ask, draw.

    Each run is timed with every finder that is here, and beside them the package fer of PyPI, where
    it is installed, on the same frames.

    Example: fercore bench live RUN --film party.mp4
    """
    from fercore.benchmarks import video_latency
    from fercore.faces.detection import DETECTOR_TITLES, yunet_file
    from fercore.inference.predictor import RunClassifier

    folder = runs_root(root)
    if runs:
        chosen = [find_run(folder, run) for run in runs]
    else:
        here = [run for run in list_runs_and_warn(folder) if has_network(run) and run.experiment]
        usual = ("katkar2021-model2-original", "ranjan2023-model2-fer2013")
        found = {run.experiment.name: run for run in reversed(here) if run.experiment}
        chosen = [found[name] for name in usual if name in found] or here[:1]
    if not chosen:
        raise UserError(f"no run under {folder} has a network (model.onnx); train one first")
    networks = [RunClassifier(run) for run in chosen]
    if film is not None:
        source, pictures = film.name, video_latency.film(film, frames)
    else:
        name, pictures = video_latency.scenes(data_root(data), frames)
        source = f"a face of {name}"
    rows = []
    for kind in ("yunet", "haar") if yunet_file() else ("haar",):
        for network in networks:
            times = video_latency.live_times([network], kind, pictures)
            rows.append({"way": network.id, "finder": DETECTOR_TITLES[kind]} | asdict(times))
    if (theirs := video_latency.fer_times(pictures)) is not None:
        rows.append({"way": "fer (PyPI)", "finder": "its own"} | asdict(theirs))
    if as_json:
        print_json({"machine": video_latency.where(), "frames": source, "results": rows})
        return
    typer.echo(f"{video_latency.where()}; {len(pictures)} frames of {source}")
    table = plain_table(
        *("way", "finder", ">p50 ms", ">p95 ms", ">most ms", ">answered %", ">extra faces %")
    )
    for row in rows:
        table.add_row(
            *(str(row["way"]), str(row["finder"])),
            *(f"{row[name]:.1f}" for name in ("p50", "p95", "most")),
            *(f"{100 * float(row[name]):.1f}" for name in ("shown", "extra")),
        )
    print_table(table)
