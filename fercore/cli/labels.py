"""`fercore labels`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fercore.cli._options import (
    AsJson,
    RunsRoot,
    list_runs_and_warn,
    percent,
    plain_table,
    print_json,
    print_table,
)
from fercore.errors import UserError
from fercore.evaluation.label_issues import LabelIssue, collect, find, runs_of, write_csv
from fercore.paths import runs_root
from fercore.runs.listing import find_run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(labels)


def labels(
    folds: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="One run of each fold, by name or path."),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Take the finished runs of this experiment instead.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write the images with doubtful labels."),
    ] = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Find doubtful training labels by confident learning.

    Takes runs that were each tested on one fold of the training split (protocol.test =
    "train_fold", as in vgg-crossfit). Several seeds of a fold are averaged. --protocol.exclude FILE
    trains without the images in the CSV file.

    Example: fercore labels --experiment vgg-crossfit --csv doubtful.csv
    """
    root = runs_root(runs)
    if (experiment is None) == (not folds):
        raise UserError("expected the runs of all folds, or --experiment NAME, and not both")
    if experiment is not None:
        fold_runs = runs_of(experiment, list_runs_and_warn(root))
    else:
        fold_runs = [find_run(root, name) for name in folds or ()]
    predictions = collect(fold_runs)
    issues = find(predictions)
    if csv is not None:
        write_csv(csv, issues)
    images = Counter(predictions.class_names[label] for label in predictions.labels)
    rows = [
        (name, images[name], [issue for issue in issues if issue.label == name])
        for name in predictions.class_names
    ]
    if as_json:
        print_json(
            {
                "runs": [run.id for run in fold_runs],
                **_counts(len(predictions.ids), issues),
                "classes": {name: _counts(n, class_issues) for name, n, class_issues in rows},
            }
        )
        return
    table = plain_table("class", ">images", ">doubtful", ">share %", "most often suggested")
    for name, n, class_issues in (*rows, ("all", len(predictions.ids), issues)):
        share = percent(len(class_issues) / n) if n else "-"
        suggested = "" if name == "all" else _most_frequent(class_issues)
        table.add_row(name, str(n), str(len(class_issues)), share, suggested)
    print_table(table)
    if csv is not None:
        path = csv if len(csv.parts) > 1 else f"./{csv}"
        typer.echo(f"wrote {csv}; to train without these: --protocol.exclude {path}")


def _counts(images: int, issues: Sequence[LabelIssue]) -> dict[str, object]:
    return {
        "images": images,
        "doubtful": len(issues),
        "share": len(issues) / images if images else None,
        "suggested": dict(Counter(issue.suggested for issue in issues).most_common()),
    }


def _most_frequent(issues: Sequence[LabelIssue]) -> str:
    if not issues:
        return "-"
    ((name, count),) = Counter(issue.suggested for issue in issues).most_common(1)
    return f"{name} ({count})"
