"""Short forms of `fercore papers`: the summary of the main results, and the notes in words."""

from collections.abc import Iterator, Sequence
from typing import Any

from fercore.config.loading import load_config
from fercore.reproduction import papers, published_figures
from fercore.reproduction.papers import Comparison, Reproduction
from fercore.reproduction.published_figures import System

SUMMARY_HEADINGS = (
    "paper",
    "dataset",
    "result",
    ">published %",
    ">ours %",
    "95% CI",
    ">n",
    ">seeds",
    ">leakage-free %",
    ">leakage-free n",
    "verdict",
)
_DASH = "-"
_DATASETS = {"fer2013": "FER2013", "ckplus": "CK+", "lfw_emotion": "LFW-emotion"}


def summary_cells(comparison: Comparison) -> tuple[str, ...]:
    """Return one line of the summary, for `SUMMARY_HEADINGS`."""
    row, paper, leak_free = comparison.row, comparison.paper, comparison.leak_free
    config = load_config(row.experiment)
    dataset = _DATASETS.get(config.dataset, config.dataset)
    if config.drop_classes:
        dataset += f" without {', '.join(config.drop_classes)}"
    return (
        _system(row.system).short_title,
        dataset,
        row.label,
        _DASH if row.figure is None else f"{row.figure:.{row.digits}f}",
        figure_text(paper),
        interval_text(paper) or _DASH,
        f"{paper.n:,}" if paper else _DASH,
        seeds_text(paper),
        figure_text(leak_free),
        f"{leak_free.n:,}" if leak_free else _DASH,
        papers.STATUS_WORDS[comparison.status],
    )


def figure_text(ours: Reproduction | None) -> str:
    """Return our result in percent with its standard deviation; a dash without one."""
    if ours is None:
        return _DASH
    spread = "" if ours.spread is None else f" ± {ours.spread:.2f}"
    return f"{ours.mean:.2f}{spread}"


def interval_text(ours: Reproduction | None) -> str:
    """Return the 95% CI of our result in percent; empty without one."""
    if ours is None or ours.low is None or ours.high is None:
        return ""
    return f"{ours.low:.2f} to {ours.high:.2f}"


def seeds_text(ours: Reproduction | None) -> str:
    """Return the number of seeds and folds of our result; a dash without one."""
    if ours is None:
        return _DASH
    return str(ours.seeds) if ours.folds == 1 else f"{ours.seeds} x {ours.folds} folds"


def notes_as_json(only: Sequence[str], rows: Sequence[Comparison]) -> dict[str, Any]:
    """Return the notes of the requested papers and the remarks on the requested rows."""
    systems = [system.key for system in _requested_systems(only)]
    return {
        "notes": [] if only else list(published_figures.general_notes()),
        "systems": [
            {**system.model_dump(), "outcome": papers.outcome(_rows_of(system, rows))}
            for system in map(_system, systems)
        ],
        "rows": [
            {"label": row.row.label, "metric": row.row.metric, "remark": row.row.remark}
            for row in rows
            if row.row.system not in systems or row.row.remark
        ],
    }


def note_lines(only: Sequence[str], rows: Sequence[Comparison]) -> Iterator[str]:
    """Return what a reader needs to know about papers and rows, as lines of Markdown.

    Args:
        only: the requested systems and experiments; without any, all systems and the general notes.
        rows: the comparisons of the requested systems and experiments.
    """
    systems = _requested_systems(only)
    if not only:
        yield "# How the results are compared"
        yield ""
        yield from (f"- {note}" for note in published_figures.general_notes())
        yield ""
    for system in systems:
        own = _rows_of(system, rows)
        yield f"# {system.citation}"
        yield ""
        yield f"{papers.outcome(own)}. {system.verdict}"
        yield ""
        yield from (f"- {note}" for note in system.notes)
        yield from (
            f"- **{_title(row)}**: {row.row.remark.rstrip('.')}." for row in own if row.row.remark
        )
        yield ""
    keys = {system.key for system in systems}
    for row in rows:
        if row.row.system not in keys:
            yield from _row_lines(row)


def _row_lines(comparison: Comparison) -> Iterator[str]:
    row = comparison.row
    yield f"# {_system(row.system).short_title}, {_title(comparison)}"
    yield ""
    printed = "no result" if row.figure is None else f"{row.figure:.{row.digits}f}%"
    yield f"- Published: {printed}"
    yield f"- Ours, with the paper's protocol: {_result_words(comparison.paper)}"
    if row.leak_free:
        yield f"- Ours, leakage-free: {_result_words(comparison.leak_free)}"
    yield f"- Status: {papers.STATUS_WORDS[comparison.status]}"
    if row.remark:
        yield f"- {row.remark.rstrip('.')}."
    yield from (
        f"- Train it: `fercore papers --train {name}`" for name in sorted({*row.experiments})
    )
    yield ""


def _result_words(ours: Reproduction | None) -> str:
    if ours is None:
        return papers.STATUS_WORDS["missing"]
    interval = interval_text(ours)
    seeds = f"{ours.seeds} seed{'s' if ours.seeds > 1 else ''}"
    details = [
        f"95% CI {interval}" if interval else "",
        f"n = {ours.n:,}" if ours.n else "",
        ours.grouping,
        seeds if ours.folds == 1 else f"{seeds} x {ours.folds} folds",
    ]
    return f"{figure_text(ours)}% ({', '.join(filter(None, details))})"


def _title(comparison: Comparison) -> str:
    row = comparison.row
    return row.label if row.metric == "accuracy" else f"{row.label}, {row.metric}"


def _requested_systems(only: Sequence[str]) -> list[System]:
    return [system for system in published_figures.systems() if not only or system.key in only]


def _rows_of(system: System, rows: Sequence[Comparison]) -> list[Comparison]:
    return [row for row in rows if row.row.system == system.key]


def _system(key: str) -> System:
    return next(system for system in published_figures.systems() if system.key == key)
