"""The `fercore data` commands: add, align, undo and list datasets."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fercore.cli._options import AsJson, DataRoot, plain_table, print_json, print_table
from fercore.data import registry, reports
from fercore.data.reports import Counts
from fercore.data.splits import ROLES, UNSPLIT
from fercore.errors import UserError
from fercore.paths import data_root

app = typer.Typer(help="Add datasets and list the installed ones.", no_args_is_help=True)


@app.command("add")
def add_command(
    dataset: Annotated[str, typer.Argument(help="A dataset's name, such as fer2013.")],
    paths: Annotated[
        list[Path], typer.Argument(help="CSV, ZIP, TAR(.xz) or folder; all together are one set.")
    ],
    new: Annotated[
        bool, typer.Option("--new", help="A dataset of your own: any images, a folder per class.")
    ] = False,
    size: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=512,
            help="A dataset of your own: side in pixels [default: as stored; 48 if new].",
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out files that cannot be used, and list them.")
    ] = False,
    root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Convert a dataset's files into one compact file under the data root.

    Reports class counts, repeated and constant images. Adding the same files again changes nothing.
    The replaced version is kept for `fercore data undo`. An archive may have up to 500,000 files
    and 32 GB of content.

    Example: fercore data add fer2013 fer2013.csv
    Example: fercore data add navras photos/ --new --size 48
    """
    if size and not new and dataset not in registry.list_custom_datasets(data_root(root)):
        raise UserError(
            f"received --size for {dataset}, expected it for a dataset of your own; a new dataset "
            "needs --new as well"
        )
    console = Console(stderr=True)
    with console.status("reading") as spinner:
        report = registry.add_dataset(
            dataset,
            paths,
            data_root(root),
            lambda done, _: spinner.update(f"reading: {done:,} images"),
            new_size=size,
            new=new,
            skip_bad=skip_bad,
        )
    _print_report(report, data_root(root), as_json)


@app.command("undo")
def undo_command(
    dataset: Annotated[str, typer.Argument(help="A dataset's name, such as fer2013.")],
    root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Restore the version of a dataset that the last change replaced.

    One previous version is kept. A second undo restores the replacement.

    Example: fercore data undo fer2013
    """
    status = registry.undo_change(dataset, data_root(root))
    if as_json:
        print_json(asdict(status))
        return
    total = sum(sum(classes.values()) for classes in status.counts.values())
    typer.echo(
        f"{dataset} is the previous version again: {total:,} images, fingerprint "
        f"{status.fingerprint}; `fercore data undo {dataset}` brings the replacement back"
    )


@app.command("align")
def align_command(
    source: Annotated[str, typer.Argument(help="An installed dataset, such as fer2013.")],
    name: Annotated[str, typer.Option(help="Name of the new dataset.")],
    detector: Annotated[str, typer.Option(help="Face detector with landmarks.")] = "yunet",
    root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Create a dataset of the aligned faces of another one: upright, centred, of similar size.

    Splits, labels and ids are those of the source. Images without a detected face are unchanged.

    Example: fercore data align fer2013 --name fer2013-aligned
    """
    from fercore.faces.dataset_alignment import align_dataset, load_detector

    folder = data_root(root)
    face_detector, sha256 = load_detector(detector, folder)
    console = Console(stderr=True)
    with console.status("aligning") as spinner:
        report = align_dataset(
            source,
            name,
            folder,
            face_detector,
            sha256,
            lambda done, total: spinner.update(f"aligning: {done:,} of {total:,} images"),
        )
    _print_report(report, folder, as_json)


def _print_report(report: reports.AddReport, root: Path, as_json: bool) -> None:
    if as_json:
        print_json(asdict(report) | {"audit": report.audit.model_dump()})
        return
    _print_counts(report.counts, dict(report.titles))
    audit = report.audit
    if UNSPLIT in report.counts:
        typer.echo(f"repeated: {audit.repeats:,} images repeat another")
    else:
        typer.echo(
            f"repeated: {audit.test_in_train:,} test and {audit.validation_in_train:,} validation "
            f"images also occur in training, {audit.test_in_either:,} test images in training or "
            f"validation; {audit.train_repeats:,} training images repeat another"
        )
    typer.echo(
        f"{audit.conflicting_groups:,} groups of equal images have different labels; "
        f"{audit.constant:,} images have one grey level"
    )
    for note in report.notes:
        typer.echo(note)
    typer.echo(f"{report.dataset} is in {root}, fingerprint {report.fingerprint}")
    if report.changed and registry.has_previous(report.dataset, root):
        typer.echo(
            f"the previous version is kept; restore it with: fercore data undo {report.dataset}"
        )


@app.command("list")
def list_command(root: DataRoot = None, as_json: AsJson = False) -> None:
    """List all datasets: which are installed, and how to add the others.

    Example: fercore data list
    """
    folder = data_root(root)
    names = (*registry.list_datasets(), *registry.list_custom_datasets(folder))
    statuses = [registry.dataset_status(name, folder) for name in names]
    if as_json:
        print_json([asdict(status) for status in statuses])
        return
    table = plain_table(
        "dataset",
        "installed",
        ">train",
        ">validation",
        ">test",
        ">undivided",
        ">MB",
        "fingerprint",
        "remark",
    )
    for status in statuses:
        sizes = [
            f"{sum(status.counts[role].values()):,}" if role in status.counts else "-"
            for role in (*ROLES, UNSPLIT)
        ]
        table.add_row(
            status.name,
            "yes" if status.installed else "no",
            *sizes,
            f"{status.bytes / 1e6:.1f}",
            status.fingerprint or "-",
            status.remark,
        )
    print_table(table)


def _print_counts(counts: Counts, titles: dict[str, str]) -> None:
    roles = list(counts)
    table = plain_table("class", *(f">{titles.get(role, role)}" for role in roles))
    for name in counts[roles[0]]:
        table.add_row(name, *(f"{counts[role].get(name, 0):,}" for role in roles))
    table.add_row("all", *(f"{sum(counts[role].values()):,}" for role in roles))
    print_table(table)
