"""`fercore papers`: compare published figures with ours, and train missing runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fercore.cli._options import (
    AsJson,
    DataRoot,
    RunsRoot,
    list_runs_and_warn,
    markdown_table,
    plain_table,
    print_json,
    print_notes,
    print_table,
)
from fercore.cli._paper_notes import (
    SUMMARY_HEADINGS,
    figure_text,
    interval_text,
    note_lines,
    notes_as_json,
    seeds_text,
    summary_cells,
)
from fercore.cli._scheduler import TrainingJob, format_options, run_job
from fercore.config.loading import load_config
from fercore.errors import UserError
from fercore.paths import data_root, runs_root
from fercore.reproduction import papers, published_figures
from fercore.reproduction.papers import Comparison, Reproduction
from fercore.runs.listing import list_runs
from fercore.runs.reader import Run

DASH = "-"
HEADINGS = (
    "system",
    "row",
    "metric",
    ">paper %",
    ">ours %",
    ">difference",
    "95% CI",
    "95% CI of the difference",
    ">n",
    "groups",
    ">seeds",
    ">leakage-free %",
    ">parameters",
    "status",
)


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command("papers")(papers_command)


def papers_command(
    only: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SYSTEM | EXPERIMENT]...", help="Systems and experiments [default: all]"
        ),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train missing runs first, the cheapest first.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="With --train: runs of each row.")] = 1,
    classes: Annotated[
        bool, typer.Option("--classes", help="Print the per-class figures as well.")
    ] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Print the main results of each paper only.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Print notes in words: what differs, and what is not reached."
        ),
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Compare every published result with ours, under the paper's protocol and a leakage-free one.

    With --train, missing runs are trained first. If the command is stopped, the same command
    continues where it stopped. --explain prints notes on a paper, or one result in full.

    Example: fercore papers --explain rath2021
    """
    if sum((markdown, latex, as_json)) > 1:
        raise UserError("received more than one of --markdown, --latex and --json, expected one")
    if explain and (summary or latex):
        raise UserError("received --explain with --summary or --latex, expected --explain alone")
    requested = _select(only or ())
    root = runs_root(runs)
    if train:
        _train_missing(requested, seeds, root, data_root(data))
    every = [
        comparison
        for comparison in papers.compare(list_runs_and_warn(root))
        if requested.intersection(comparison.row.experiments)
        and (classes or not comparison.row.class_name)
    ]
    rows = [comparison for comparison in every if comparison.row.headline or not summary]
    if explain and as_json:
        print_json(notes_as_json(only or (), rows))
    elif explain:
        print_notes(note_lines(only or (), rows), markdown=markdown)
    elif as_json:
        print_json([_as_json(comparison) for comparison in rows])
    else:
        headings = SUMMARY_HEADINGS if summary else HEADINGS
        _print_rows(
            headings, list(map(summary_cells if summary else _cells, rows)), markdown, latex
        )
        if summary and markdown:
            print(f"\n{_count_words(every)}.")
        elif not (markdown or latex):
            _print_counts(every)


def _print_rows(
    headings: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool, latex: bool
) -> None:
    if markdown:
        print(markdown_table(headings, rows))
    elif latex:
        print(_latex(headings, rows))
    else:
        table = plain_table(*headings)
        for cells in rows:
            table.add_row(*cells)
        print_table(table)


def list_missing_runs(experiment: str, seeds: int, runs: Sequence[Run]) -> list[tuple[int, int]]:
    """Return the seed and the fold of every missing run of an experiment."""
    done = {
        (run.config.seed, run.config.protocol.fold)
        for run in papers.runs_of(experiment, runs)
        if run.config
    }
    folds = published_figures.folds(experiment)
    required = [(seed, fold) for seed in range(seeds) for fold in folds]
    return [key for key in required if key not in done]


def _select(only: Sequence[str]) -> set[str]:
    """Return the experiments of the requested systems and experiments.

    Raises:
        UserError: if there is no system or experiment of a name.
    """
    by_system: dict[str, set[str]] = {}
    for row in published_figures.rows():
        by_system.setdefault(row.system, set()).update(row.experiments)
    experiments = set().union(*by_system.values())
    for name in only:
        if name not in by_system and name not in experiments:
            raise UserError(
                f"received {name!r}, expected a system ({', '.join(by_system)}) or one of: "
                f"{', '.join(sorted(experiments))}"
            )
    if not only:
        return experiments
    return set().union(*(by_system.get(name, {name}) for name in only))


def _train_missing(requested: set[str], seeds: int, runs: Path, data: Path) -> None:
    # One seed of every row comes before any second seed, so that the table is complete early.
    for number in range(1, seeds + 1):
        for experiment in published_figures.experiments():
            if experiment not in requested:
                continue
            for seed, fold in list_missing_runs(experiment, number, list_runs(runs)):
                run_job(make_job(experiment, seed, fold), runs, data)


def make_job(experiment: str, seed: int, fold: int) -> TrainingJob:
    """Return the training job of one run."""
    fields = {"seed": seed}
    split = load_config(experiment).protocol.split
    if split == "subjects":
        # All seeds of a protocol share its folds.
        fields["protocol.fold"] = fold
    elif split == "random":
        fields["protocol.split_seed"] = seed
    return TrainingJob(
        load_config(experiment, fields), ("train", experiment, *format_options(fields))
    )


def _cells(comparison: Comparison) -> tuple[str, ...]:
    row, paper, leak_free = comparison.row, comparison.paper, comparison.leak_free
    difference, bounds = comparison.difference, comparison.difference_interval
    return (
        row.system,
        f"{row.label}, {row.class_name}" if row.class_name else row.label,
        row.metric,
        DASH if row.figure is None else f"{row.figure:.2f}",
        figure_text(paper),
        DASH if difference is None else f"{difference:+.2f}",
        interval_text(paper) or DASH,
        DASH if bounds is None else f"{bounds[0]:+.2f} to {bounds[1]:+.2f}",
        f"{paper.n:,}" if paper and paper.n else DASH,
        (paper.grouping if paper else "") or DASH,
        seeds_text(paper),
        figure_text(leak_free),
        f"{paper.parameters:,}" if paper else row.parameters or DASH,
        papers.STATUS_WORDS[comparison.status],
    )


def _as_json(comparison: Comparison) -> dict[str, Any]:
    def fields(ours: Reproduction | None) -> dict[str, Any] | None:
        return None if ours is None else dict(vars(ours))

    return {
        **comparison.row.model_dump(),
        "ours": fields(comparison.paper),
        "ours_honest": fields(comparison.leak_free),
        "difference": comparison.difference,
        "difference_interval": comparison.difference_interval,
        "status": comparison.status,
    }


def _latex(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    columns = "".join("r" if heading[0] == ">" else "l" for heading in headings)
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\hline"]
    lines += [_latex_row([heading.lstrip(">") for heading in headings]), "\\hline"]
    lines += map(_latex_row, rows)
    lines += ["\\hline", "\\end{tabular}"]
    return "\n".join(lines)


def _latex_row(cells: Sequence[str]) -> str:
    escaped = []
    for cell in cells:
        for character in "&%_#":
            cell = cell.replace(character, f"\\{character}")
        escaped.append(cell.replace("±", "$\\pm$"))
    return " & ".join(escaped) + " \\\\"


def _count_words(rows: Sequence[Comparison]) -> str:
    first_seed_count = sum(row.first_reaches for row in rows if row.row.overall)
    return (
        f"{papers.outcome(rows)}, by the mean over the seeds; {first_seed_count} matched by the "
        "first seed alone"
    )


def _print_counts(rows: Sequence[Comparison]) -> None:
    if any(comparison.row.overall for comparison in rows):
        typer.echo(_count_words(rows))
    untrained = papers.untrained(rows)
    if untrained:
        typer.echo(
            f"not trained yet: {', '.join(untrained)}; about {sum(untrained.values()):,.0f} "
            f"minutes on two CPU cores: fercore papers --train"
        )
