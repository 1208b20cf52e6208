"""`fercore predict`: expressions in photos and films."""

import csv
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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

FILMS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".y4m", ".m4v", ".mpg", ".mpeg")


class Finder(StrEnum):
    """What finds the faces."""

    auto = "auto"
    haar = "haar"
    yunet = "yunet"
    mtcnn = "mtcnn"


# What is told of one face by one network.
_Row = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)


def predict(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Photos, films, folders of photos.")
    ],
    run: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Run to ask; may stand several times [required]"),
    ] = None,
    finder: Annotated[
        Finder, typer.Option(help="Of faces; auto is YuNet where its file is, else haar.")
    ] = Finder.auto,
    whole: Annotated[
        bool, typer.Option("--whole", help="Take each image as one face, cut already.")
    ] = False,
    least: Annotated[
        float, typer.Option(min=0, max=1, help="Say “unsure” below this probability.")
    ] = 0.0,
    every: Annotated[int, typer.Option(min=1, help="Of a film, each N-th frame.")] = 1,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write every face to a table.")
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write copies with boxes and labels.")
    ] = None,
    root: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Name the expression of every face in photos and films.

    Probabilities are calibrated on the run's validation split. Nothing leaves this machine.

    Example: fercore predict party.jpg holiday/ --run RUN --csv faces.csv
    """
    from fercore.faces.detection import load_detector
    from fercore.inference.predictor import Predictor

    if not run:
        raise UserError(
            "received no run to ask; expected --run RUN (`fercore runs list` shows what is there)"
        )
    for target in (table, annotate):
        if target is not None and not target.absolute().parent.is_dir():
            raise UserError(f"received {target}, but there is no folder {target.absolute().parent}")
    files, others = _files(paths)
    copies = _copies(files, annotate)
    predictor = Predictor(run, load_detector(finder.value), threads=0, root=root)
    if annotate is not None:
        annotate.mkdir(exist_ok=True)
    rows: list[_Row] = []  # to be printed
    failed: list[str] = []
    count = empty = 0
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn())
    with (
        _written(table, predictor) as write,
        Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress,
    ):
        bar = progress.add_task("faces", total=len(files))
        for file, copy in zip(files, copies, strict=True):
            progress.update(bar, description=storable_name(file.name)[:40])
            found = 0
            try:
                for judged in _judged(file, predictor, whole, every, least, copy):
                    found += 1
                    write(judged)
                    if as_json or table is None:
                        rows += judged
            except UserError as error:
                failed.append(str(error))
            else:
                empty += not found
            count += found
            progress.advance(bar)
    for message in failed:
        print(f"fercore: {storable_name(message)}", file=sys.stderr)
    if others:
        print(f"fercore: {describe_passed_over(others)}", file=sys.stderr)
    if as_json:
        print_json(rows)
    else:
        if rows:
            _print(rows)
        said = f"{count:,} faces in {len(files) - len(failed):,} files"
        said += f", none in {empty:,} of them" if empty else ""
        typer.echo(said + (f"; {len(failed):,} could not be read" if failed else ""))
    if failed:
        raise typer.Exit(1)


def _files(paths: Sequence[Path]) -> tuple[list[Path], Counter[str]]:
    """The photos and films, and how many other files folders hold, by suffix."""
    from fercore.inference.media.photos import other_files_under, photos_under

    files: list[Path] = []
    others: Counter[str] = Counter()
    for path in paths:
        found = [path] if path.suffix.lower() in FILMS and path.is_file() else photos_under(path)
        others += other_files_under(path)
        if not found:
            more = f" ({describe_passed_over(others)})" if others else ""
            raise UserError(f"{path} holds no image{more}")
        files += found
    return files, others


def _copies(files: Sequence[Path], folder: Path | None) -> list[Path | None]:
    """Where the annotated copy of each file goes; files of one name are told apart by a number."""
    if folder is None:
        return [None] * len(files)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"received --annotate {folder}, a file; expected a folder")
    # A link in the folder would be written through, to what it points to.
    homes = {home.resolve() for file in files for home in (file.parent, file.resolve().parent)}
    if folder.resolve() in homes:
        raise UserError(
            f"received --annotate {folder}, which holds what is asked about; expected another "
            "folder: copies would take the place of originals"
        )
    copies: list[Path] = []
    taken: set[str] = set()
    for file in files:
        ending = ".mp4" if file.suffix.lower() in FILMS else ".png"
        numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
        names = (f"{file.stem}{number}{ending}" for number in numbers)
        # As file systems that ignore case see them.
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        copies.append(folder / name)
    return list(copies)


def _judged(
    file: Path,
    predictor: "Predictor",
    whole: bool,
    every: int,
    least: float,
    copy: Path | None,
) -> Iterator[list[_Row]]:
    """What each network says of each face of a photo or film, face by face."""
    from fercore.faces import geometry
    from fercore.inference.media.photos import decode_photo

    def judge(image: NDArray[np.uint8]) -> list["Prediction"]:
        return predictor.predict(image, [geometry.full_image_face(image)] if whole else None)

    def told(found: Sequence["Prediction"], frame: int | None = None) -> Iterator[list[_Row]]:
        for place, prediction in enumerate(found):
            where = {"file": storable_name(str(file)), "frame": frame, "face": place}
            yield [where | _row(prediction, run, least) for run in predictor.ids]

    if file.suffix.lower() in FILMS:
        from fercore.inference.media.video import annotated, frames

        with annotated(copy, file) as write:
            for number, image in frames(file):
                if number % every == 0:
                    found = judge(image)
                    yield from told(found, number)
                if write:
                    write(_drawn(image, found, predictor, least))
        return
    image = decode_photo(_content(file), storable_name(file.name))
    found = judge(image)
    yield from told(found)
    if copy:
        import cv2

        _, encoded = cv2.imencode(".png", _drawn(image, found, predictor, least))
        try:
            copy.write_bytes(encoded.tobytes())
        except OSError as error:
            raise UserError(f"cannot write {copy}: {error.strerror}") from None


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None


def _drawn(
    image: NDArray[np.uint8], found: Sequence["Prediction"], predictor: "Predictor", least: float
) -> NDArray[np.uint8]:
    from fercore.faces.drawing import draw_face

    copy = image.copy()
    for prediction in found:
        lines = [
            f"{prediction.label(run, least) or 'unsure'} {prediction.top(run)[1]:.0%}"
            for run in predictor.ids
        ]
        draw_face(copy, prediction.face, lines)
    return copy


@contextmanager
def _written(
    table: Path | None, predictor: "Predictor"
) -> Iterator[Callable[[Sequence[_Row]], None]]:
    """Write rows to a CSV as they come, so that what was judged is kept whatever comes after."""
    if table is None:
        yield lambda rows: None
        return
    names = list(dict.fromkeys(name for net in predictor.networks for name in net.class_names))

    def write(rows: Sequence[_Row]) -> None:
        for row in rows:
            shares = {f"p_{name}": f"{p:.5f}" for name, p in row["probabilities"].items()}
            writer.writerow({name: row[name] for name in _COLUMNS} | shares)

    try:
        with table.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, [*_COLUMNS, *(f"p_{n}" for n in names)], restval="")
            writer.writeheader()
            yield write
    except OSError as error:
        raise UserError(f"cannot write {table}: {error.strerror or error}") from None


def _print(rows: Sequence[_Row]) -> None:
    shown = plain_table("file", ">frame", ">face", "box", "run", "expression", ">probability %")
    for row in rows:
        shown.add_row(
            PurePath(row["file"]).name,
            "" if row["frame"] is None else str(row["frame"]),
            str(row["face"]),
            f"{row['left']},{row['top']} {row['side']}x{row['side']}",
            row["run"],
            row["expression"] or "unsure",
            percent(row["probability"]),
        )
    print_table(shown)


_COLUMNS = (
    *("file", "frame", "face", "left", "top", "side", "angle", "run"),
    *("expression", "probability"),
)


def _row(prediction: "Prediction", run: str, least: float) -> _Row:
    face = prediction.face
    names, shares = prediction.class_names[run], prediction.probabilities[run].tolist()
    return {
        "left": round(face.left),
        "top": round(face.top),
        "side": round(face.side),
        "angle": round(float(np.degrees(face.angle)), 1),
        "run": run,
        "expression": prediction.label(run, least),
        "probability": round(prediction.top(run)[1], 5),
        "probabilities": {n: round(p, 5) for n, p in zip(names, shares, strict=True)},
    }
