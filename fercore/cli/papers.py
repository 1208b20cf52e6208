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
    print_table,
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
    "95% interval",
    "of the difference",
    ">n",
    "groups",
    ">seeds",
    ">leak-free %",
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
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False,
    data: DataRoot = None,
    runs: RunsRoot = None,
    as_json: AsJson = False,
) -> None:
    """Compare every published figure with ours, under the paper's protocol and a leak-free one.

    With --train, missing runs are trained first. If the command is stopped, the same command
    continues where it stopped.

    Example: fercore papers --train rath2021
    """
    if sum((markdown, latex, as_json)) > 1:
        raise UserError("received more than one of --markdown, --latex and --json, expected one")
    requested = _select(only or ())
    root = runs_root(runs)
    if train:
        _train_missing(requested, seeds, root, data_root(data))
    rows = [
        comparison
        for comparison in papers.compare(list_runs_and_warn(root))
        if requested.intersection(comparison.row.experiments)
        and (classes or not comparison.row.class_name)
    ]
    if as_json:
        print_json([_as_json(comparison) for comparison in rows])
    elif markdown:
        print(markdown_table(HEADINGS, map(_cells, rows)))
    elif latex:
        print(_latex(rows))
    else:
        table = plain_table(*HEADINGS)
        for comparison in rows:
            table.add_row(*_cells(comparison))
        print_table(table)
        _print_summary(rows)


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
    interval = DASH
    if paper and paper.low is not None and paper.high is not None:
        interval = f"{paper.low:.2f} to {paper.high:.2f}"
    return (
        row.system,
        f"{row.label}, {row.class_name}" if row.class_name else row.label,
        row.metric,
        DASH if row.figure is None else f"{row.figure:.2f}",
        _format_figure(paper),
        DASH if difference is None else f"{difference:+.2f}",
        interval,
        DASH if bounds is None else f"{bounds[0]:+.2f} to {bounds[1]:+.2f}",
        f"{paper.n:,}" if paper and paper.n else DASH,
        (paper.grouping if paper else "") or DASH,
        _format_seeds(paper),
        _format_figure(leak_free),
        f"{paper.parameters:,}" if paper else row.parameters or DASH,
        papers.STATUS_WORDS[comparison.status],
    )


def _format_figure(ours: Reproduction | None) -> str:
    if ours is None:
        return DASH
    spread = "" if ours.spread is None else f" ± {ours.spread:.2f}"
    return f"{ours.mean:.2f}{spread}"


def _format_seeds(ours: Reproduction | None) -> str:
    if ours is None:
        return DASH
    return str(ours.seeds) if ours.folds == 1 else f"{ours.seeds} x {ours.folds} folds"


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


def _latex(rows: Sequence[Comparison]) -> str:
    columns = "".join("r" if heading[0] == ">" else "l" for heading in HEADINGS)
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\hline"]
    lines += [_latex_row([heading.lstrip(">") for heading in HEADINGS]), "\\hline"]
    lines += [_latex_row(_cells(comparison)) for comparison in rows]
    lines += ["\\hline", "\\end{tabular}"]
    return "\n".join(lines)


def _latex_row(cells: Sequence[str]) -> str:
    escaped = []
    for cell in cells:
        for character in "&%_#":
            cell = cell.replace(character, f"\\{character}")
        escaped.append(cell.replace("±", "$\\pm$"))
    return " & ".join(escaped) + " \\\\"


def _print_summary(rows: Sequence[Comparison]) -> None:
    overall = [comparison for comparison in rows if comparison.row.overall]
    counts = {
        words: sum(comparison.status == status for comparison in overall)
        for status, words in papers.STATUS_WORDS.items()
    }
    summary = ", ".join(f"{n} {words}" for words, n in counts.items() if n)
    first_seed_count = sum(comparison.first_reaches for comparison in overall)
    if overall:
        typer.echo(
            f"figures of full test sets: {len(overall)}, {summary}, by the mean over the seeds; "
            f"{first_seed_count} reached by the first seed alone"
        )
    untrained = papers.untrained(rows)
    if untrained:
        typer.echo(
            f"not trained yet: {', '.join(untrained)}; about {sum(untrained.values()):,.0f} "
            f"minutes on two CPU cores: fercore papers --train"
        )
