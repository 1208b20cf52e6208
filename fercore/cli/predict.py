"""`fercore predict`: classify the faces in photos and videos."""

import csv
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fercore.cli._options import AsJson, RunsRoot, percent, plain_table, print_json, print_table
from fercore.data.readers.skipped_files import describe_passed_over
from fercore.errors import UserError
from fercore.io.file_names import storable_name

if TYPE_CHECKING:
    from fercore.inference.predictor import Prediction, Predictor

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".y4m", ".m4v", ".mpg", ".mpeg")


class Detector(StrEnum):
    """Face detector."""

    auto = "auto"
    haar = "haar"
    yunet = "yunet"
    mtcnn = "mtcnn"


# One network's prediction for one face, by column; `frame` is `None` for a photo.
_Row = dict[str, Any]


@dataclass(frozen=True)
class _Settings:
    """How files are processed.

    Attributes:
        is_cropped: take each image as one face instead of detecting faces.
        every: process every Nth frame of a video.
        min_confidence: probability below which a prediction is marked as low confidence.
    """

    is_cropped: bool
    every: int
    min_confidence: float


@dataclass
class _Outcome:
    """Results over all files.

    Attributes:
        rows: to print, if they are kept.
        faces: number of faces.
        without_faces: number of readable files without a face.
        errors: one message per file that could not be processed.
    """

    rows: list[_Row] = field(default_factory=list)
    faces: int = 0
    without_faces: int = 0
    errors: list[str] = field(default_factory=list)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(predict)


def predict(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Photos, videos, folders of photos.")
    ],
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Run to predict with; repeatable [required]"),
    ] = None,
    detector: Annotated[
        Detector,
        typer.Option(
            "--finder", help="Face detector; auto is YuNet if its file is installed, else haar."
        ),
    ] = Detector.auto,
    is_cropped: Annotated[
        bool, typer.Option("--whole", help="Take each image as one face that is cropped already.")
    ] = False,
    min_confidence: Annotated[
        float,
        typer.Option("--least", min=0, max=1, help="Mark lower probabilities as low confidence."),
    ] = 0.0,
    every: Annotated[int, typer.Option(min=1, help="Process every Nth frame of a video.")] = 1,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write every face to a table.")
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write copies with boxes and labels.")
    ] = None,
    root: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Classify the expression of every face in photos and videos.

    Probabilities are calibrated on the run's validation split. Nothing leaves this machine.

    Example: fercore predict party.jpg holiday/ --run RUN --csv faces.csv
    """
    from fercore.faces.detection import load_detector
    from fercore.inference.predictor import Predictor

    if not run:
        raise UserError("received no run, expected --run RUN (`fercore runs list` lists the runs)")
    for target in (table, annotate):
        if target is not None and not target.absolute().parent.is_dir():
            raise UserError(f"received {target}, but there is no folder {target.absolute().parent}")
    files, others = _list_files(paths)
    copies = _copy_paths(files, annotate)
    predictor = Predictor(run, load_detector(detector.value), threads=0, root=root)
    if annotate is not None:
        annotate.mkdir(exist_ok=True)
    settings = _Settings(is_cropped, every, min_confidence)
    with _open_table(table, predictor) as write:
        outcome = _predict_files(
            files, copies, predictor, settings, write, keep_rows=as_json or table is None
        )
    for message in outcome.errors:
        print(f"fercore: {storable_name(message)}", file=sys.stderr)
    if others:
        print(f"fercore: {describe_passed_over(others)}", file=sys.stderr)
    if as_json:
        print_json(outcome.rows)
    else:
        _print_outcome(outcome, len(files))
    if outcome.errors:
        raise typer.Exit(1)


def _list_files(paths: Sequence[Path]) -> tuple[list[Path], Counter[str]]:
    """Return the photos and videos, and the number of other files in folders by suffix."""
    from fercore.inference.media.photos import count_other_files, list_photos

    files: list[Path] = []
    others: Counter[str] = Counter()
    for path in paths:
        listed = [path] if _is_video(path) and path.is_file() else list_photos(path)
        others += count_other_files(path)
        if not listed:
            more = f" ({describe_passed_over(others)})" if others else ""
            raise UserError(f"{path} holds no image{more}")
        files += listed
    return files, others


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _copy_paths(files: Sequence[Path], folder: Path | None) -> list[Path | None]:
    """Return the path of each file's annotated copy; a number is added to names in use.

    Raises:
        UserError: if the folder is a file, or holds one of the files.
    """
    if folder is None:
        return [None] * len(files)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"received --annotate {folder}, a file; expected a folder")
    # Writing to a link in the folder would overwrite the linked file.
    sources = {
        parent.resolve() for file in files for parent in (file.parent, file.resolve().parent)
    }
    if folder.resolve() in sources:
        raise UserError(
            f"received --annotate {folder}, which holds files to predict on; expected another "
            "folder: copies could overwrite them"
        )
    copies: list[Path] = []
    used: set[str] = set()
    for file in files:
        ending = ".mp4" if _is_video(file) else ".png"
        numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        names = (f"{file.stem}{number}{ending}" for number in numbers)
        # Some file systems ignore case.
        name = next(name for name in names if name.casefold() not in used)
        used.add(name.casefold())
        copies.append(folder / name)
    return list(copies)


def _predict_files(
    files: Sequence[Path],
    copies: Sequence[Path | None],
    predictor: "Predictor",
    settings: _Settings,
    write: Callable[[Sequence[_Row]], None],
    keep_rows: bool,
) -> _Outcome:
    """Predict on all files, with a progress bar; a file that cannot be read is skipped.

    Args:
        files: photos and videos.
        copies: path of each file's annotated copy, if any.
        predictor: to use.
        settings: of the command.
        write: called with the rows of each face.
        keep_rows: whether to return the rows.
    """
    outcome = _Outcome()
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("faces", total=len(files))
        for file, copy in zip(files, copies, strict=True):
            progress.update(bar, description=storable_name(file.name)[:40])
            faces = 0
            try:
                for rows in _predict_file(file, predictor, settings, copy):
                    faces += 1
                    write(rows)
                    if keep_rows:
                        outcome.rows += rows
            except UserError as error:
                outcome.errors.append(str(error))
            else:
                outcome.without_faces += not faces
            outcome.faces += faces
            progress.advance(bar)
    return outcome


def _predict_file(
    file: Path, predictor: "Predictor", settings: _Settings, copy: Path | None
) -> Iterator[list[_Row]]:
    """Yield the rows of each face of a photo or video, one row per network; write the copy."""
    if _is_video(file):
        yield from _predict_video(file, predictor, settings, copy)
    else:
        yield from _predict_photo(file, predictor, settings, copy)


def _predict_video(
    file: Path, predictor: "Predictor", settings: _Settings, copy: Path | None
) -> Iterator[list[_Row]]:
    from fercore.inference.media.video import open_video_writer, read_frames

    with open_video_writer(copy, file) as write:
        for number, image in read_frames(file):
            if number % settings.every == 0:
                predictions = _predict_image(image, predictor, settings)
                yield from _rows(file, predictions, predictor, settings, number)
            if write:
                write(_annotate(image, predictions, predictor, settings))


def _predict_photo(
    file: Path, predictor: "Predictor", settings: _Settings, copy: Path | None
) -> Iterator[list[_Row]]:
    from fercore.inference.media.photos import decode_photo

    image = decode_photo(_read(file), storable_name(file.name))
    predictions = _predict_image(image, predictor, settings)
    yield from _rows(file, predictions, predictor, settings)
    if copy:
        import cv2

        _, encoded = cv2.imencode(".png", _annotate(image, predictions, predictor, settings))
        try:
            copy.write_bytes(encoded.tobytes())
        except OSError as error:
            raise UserError(f"cannot write {copy}: {error.strerror}") from None


def _predict_image(
    image: NDArray[np.uint8], predictor: "Predictor", settings: _Settings
) -> list["Prediction"]:
    from fercore.faces import geometry

    faces = [geometry.full_image_face(image)] if settings.is_cropped else None
    return predictor.predict(image, faces)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None


def _annotate(
    image: NDArray[np.uint8],
    predictions: Sequence["Prediction"],
    predictor: "Predictor",
    settings: _Settings,
) -> NDArray[np.uint8]:
    """Return a copy of an image with boxes and labels."""
    from fercore.faces.drawing import draw_face

    copy = image.copy()
    for prediction in predictions:
        labels = []
        for run in predictor.ids:
            name, probability = prediction.top(run)
            remark = "" if probability >= settings.min_confidence else " (low)"
            labels.append(f"{name} {probability:.0%}{remark}")
        draw_face(copy, prediction.face, labels)
    return copy


@contextmanager
def _open_table(
    table: Path | None, predictor: "Predictor"
) -> Iterator[Callable[[Sequence[_Row]], None]]:
    """Open a CSV file; yield a function that writes rows at once, so that an abort loses none."""
    if table is None:
        yield lambda rows: None
        return
    names = list(dict.fromkeys(name for net in predictor.networks for name in net.class_names))

    def write(rows: Sequence[_Row]) -> None:
        for row in rows:
            probabilities = {f"p_{name}": f"{p:.5f}" for name, p in row["probabilities"].items()}
            writer.writerow({name: row[name] for name in _COLUMNS} | probabilities)

    try:
        with table.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, [*_COLUMNS, *(f"p_{n}" for n in names)], restval="")
            writer.writeheader()
            yield write
    except OSError as error:
        raise UserError(f"cannot write {table}: {error.strerror or error}") from None


def _print_outcome(outcome: _Outcome, num_files: int) -> None:
    """Print the rows as a table, and the numbers of faces and files."""
    if outcome.rows:
        _print_rows(outcome.rows)
    failed = len(outcome.errors)
    summary = f"{outcome.faces:,} faces in {num_files - failed:,} files"
    summary += f", none in {outcome.without_faces:,} of them" if outcome.without_faces else ""
    typer.echo(summary + (f"; {failed:,} could not be read" if failed else ""))


def _print_rows(rows: Sequence[_Row]) -> None:
    table = plain_table("file", ">frame", ">face", "box", "run", "expression", ">probability %")
    for row in rows:
        table.add_row(
            PurePath(row["file"]).name,
            "" if row["frame"] is None else str(row["frame"]),
            str(row["face"]),
            f"{row['left']},{row['top']} {row['side']}x{row['side']}",
            row["run"],
            row["expression"] or f"{_most_probable(row)} (low confidence)",
            percent(row["probability"]),
        )
    print_table(table)


def _most_probable(row: _Row) -> str:
    probabilities: dict[str, float] = row["probabilities"]
    return max(probabilities, key=probabilities.__getitem__)


_COLUMNS = (
    *("file", "frame", "face", "left", "top", "side", "angle", "run"),
    *("expression", "probability"),
)


def _rows(
    file: Path,
    predictions: Sequence["Prediction"],
    predictor: "Predictor",
    settings: _Settings,
    frame: int | None = None,
) -> Iterator[list[_Row]]:
    """Yield the rows of each face of an image, one row per network."""
    for index, prediction in enumerate(predictions):
        position = {"file": storable_name(str(file)), "frame": frame, "face": index}
        yield [position | _row(prediction, run, settings.min_confidence) for run in predictor.ids]


def _row(prediction: "Prediction", run: str, min_confidence: float) -> _Row:
    face = prediction.face
    names, probabilities = prediction.class_names[run], prediction.probabilities[run].tolist()
    return {
        "left": round(face.left),
        "top": round(face.top),
        "side": round(face.side),
        "angle": round(float(np.degrees(face.angle)), 1),
        "run": run,
        "expression": prediction.label(run, min_confidence),
        "probability": round(prediction.top(run)[1], 5),
        "probabilities": {n: round(p, 5) for n, p in zip(names, probabilities, strict=True)},
    }
