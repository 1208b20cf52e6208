"""`fercore compare`: compare runs with a baseline on the images that they share."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from fercore.cli._options import (
    AsJson,
    RunsRoot,
    markdown_table,
    one_line,
    percent,
    plain_table,
    print_json,
    print_table,
)
from fercore.errors import UserError
from fercore.evaluation.comparison import (
    BaselineComparison,
    compare_with_baseline,
    explain_tests,
    require_common_images,
    require_predictions,
)
from fercore.evaluation.shared_images import Evaluations, evaluate_together
from fercore.metrics import PairedDifference
from fercore.paths import runs_root
from fercore.runs.listing import find_run
from fercore.runs.reader import Run
from fercore.runs.split_results import parse_split

_FIGURES = ("run", ">n", ">accuracy %", ">95% CI", ">macro-F1", ">UAR %")
_DIFFERENCES = (
    "run",
    ">n",
    ">accuracy, points",
    ">95% CI",
    ">only this right",
    ">only baseline right",
    ">p, Holm",
    "verdict",
    ">UAR, points",
    ">95% CI",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN [RUN]...", help="Runs, by name or path; baseline first."),
    ],
    split: Annotated[
        str, typer.Option(help="test, test_unique (without repeats), test_all or validation.")
    ] = "test",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs with the first one on the images that all of them were evaluated on.

    Prints each run's figures on these images, and paired tests against the first run: the
    difference in accuracy with its bootstrap interval, the images that only one of the two
    classifies correctly, and the p-value of McNemar's exact test, corrected by Holm's method. Uses
    stored predictions, as the Compare page does. Classes that one run leaves out count for none.

    Example: fercore compare BASELINE RUN RUN --split test_unique
    """
    if markdown and as_json:
        raise UserError("received both --markdown and --json, expected one of them")
    split, root = parse_split(split), runs_root(runs)
    compared = [find_run(root, name) for name in names]
    require_predictions(compared, split)
    evaluations = evaluate_together(compared, split)
    comparisons = compare_with_baseline(evaluations, compared, compared[0])
    require_common_images(evaluations, comparisons)
    for note in _cautions(compared):
        typer.echo(f"note: {note}", err=True)
    if as_json:
        print_json(_as_json(compared, split, evaluations, comparisons))
        return
    figures = _figure_rows(compared, evaluations)
    differences = [_difference_row(comparison) for comparison in comparisons]
    tests = sum(comparison.pair is not None for comparison in comparisons)
    _print(_describe_images(evaluations), _FIGURES, figures, markdown)
    _print(f"Against {compared[0].id}:", _DIFFERENCES, differences, markdown)
    typer.echo(f"{explain_tests(tests)}.")


def _cautions(runs: Sequence[Run]) -> list[str]:
    """Return what makes the figures of the runs not comparable, one line each."""
    notes = [f"{run.id}: {warning}" for run in runs for warning in run.warnings]
    for run in runs:
        if run.config is not None and not run.config.protocol.leak_free:
            notes.append(
                f"{run.id} follows a published protocol in which test images or subjects occur in "
                "training, or choose the checkpoint"
            )
        if run.origin == "imported":
            notes.append(f"{run.id} was imported; its training data is unknown")
    if len({bool(run.environment and run.environment.synthetic) for run in runs}) > 1:
        notes.append("some of the runs are on synthetic faces, which are no measure of real ones")
    return notes


def _describe_images(evaluations: Evaluations) -> str:
    sets = evaluations.image_sets
    if len(sets) == 1:
        return f"On {sets[0].text}:"
    texts = (f"{', '.join(images.run_ids)} on {images.text}" for images in sets)
    return f"The runs do not share their images: {'; '.join(texts)}:"


def _figure_rows(runs: Sequence[Run], evaluations: Evaluations) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for run in runs:
        result = evaluations.results[run.id]
        rows.append(
            (
                run.id,
                str(result.n),
                percent(result.accuracy),
                f"{percent(result.accuracy_low)} to {percent(result.accuracy_high)}",
                f"{result.macro_f1:.3f}",
                percent(result.uar),
                run.grouping(result),
            )
        )
    return rows


def _difference_row(comparison: BaselineComparison) -> tuple[str, ...]:
    pair = comparison.pair
    if pair is None:
        return (comparison.run.id, *["-"] * 6, comparison.verdict, "-", "-", "")
    return (
        comparison.run.id,
        str(pair.n),
        _points(pair.accuracy.difference),
        _interval(pair.accuracy),
        str(pair.test.only_b),
        str(pair.test.only_a),
        f"{comparison.p:.3g}",
        comparison.verdict,
        _points(pair.uar.difference),
        _interval(pair.uar),
        comparison.grouping,
    )


def _print(
    heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool
) -> None:
    """Print a table; its last column, the groups, is left out where every row is empty."""
    if any(row[-1] for row in rows):
        columns = [*columns, "groups"]
        rows = [[*row[:-1], row[-1] or "-"] for row in rows]
    else:
        rows = [row[:-1] for row in rows]
    typer.echo(one_line(heading))
    if markdown:
        typer.echo(f"\n{markdown_table(columns, rows)}\n")
        return
    table = plain_table(*columns)
    for row in rows:
        table.add_row(*row)
    print_table(table)
    typer.echo()


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _interval(difference: PairedDifference) -> str:
    return f"{_points(difference.low)} to {_points(difference.high)}"


def _as_json(
    runs: Sequence[Run],
    split: str,
    evaluations: Evaluations,
    comparisons: Sequence[BaselineComparison],
) -> dict[str, Any]:
    figures = ("title", "n", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "uar")
    return {
        "split": split,
        "images": [
            {"runs": images.run_ids, "text": images.text} for images in evaluations.image_sets
        ],
        "runs": [
            {
                "run": run.id,
                **{name: getattr(evaluations.results[run.id], name) for name in figures},
                "groups": evaluations.results[run.id].groups,
                "grouping": run.grouping(evaluations.results[run.id]),
            }
            for run in runs
        ],
        "baseline": runs[0].id,
        "comparisons": [_comparison_as_json(comparison) for comparison in comparisons],
    }


def _comparison_as_json(comparison: BaselineComparison) -> dict[str, Any]:
    pair = comparison.pair
    if pair is None:
        return {"run": comparison.run.id, "verdict": comparison.verdict}
    return {
        "run": comparison.run.id,
        "verdict": comparison.verdict,
        "n": pair.n,
        "accuracy": vars(pair.accuracy),
        "uar": vars(pair.uar),
        "only_this": pair.test.only_b,
        "only_baseline": pair.test.only_a,
        "p": pair.test.p,
        "p_corrected": comparison.p,
        "groups": pair.test.groups,
        "grouping": comparison.grouping,
    }
