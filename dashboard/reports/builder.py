"""The HTML reports of the Compare and the Run details page.

A report is written in a thread without a session. Therefore `of_comparison` and `of_run` first read
everything that comes from the disk or the URL, and return a function that writes the report.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from dashboard.analysis import run_properties
from dashboard.charts import (
    accuracy_charts,
    calibration_charts,
    class_charts,
    confusion_matrix,
    curve_charts,
    dataset_charts,
    theme,
)
from dashboard.components import baseline_comparison
from dashboard.components.compared_runs import Compared, caution_texts, cost_points
from dashboard.reports import html
from dashboard.reports.html import Section
from dashboard.state import comparison_cache, run_cache
from dashboard.tables import compare_tables, run_details_tables
from fercore.metrics import reliability
from fercore.runs.reader import Run

METRICS: tuple[curve_charts.Metric, ...] = ("accuracy", "loss")


def of_comparison(view: Compared, baseline: Run | None) -> Callable[[], str]:
    """Return the function that writes the report of the comparison on the page."""
    colors = theme.compared_colors([run.id for run in view.runs], "light")
    light = replace(view, colors=colors)
    lines = [
        curve_charts.Curve(
            light.labels[run.id], colors[run.id], run_cache.log(run), run_properties.checkpoint(run)
        )
        for run in light.runs[: theme.MAX_DRAWN]
        if run.experiment
    ]
    layers = {run.id: run_cache.layers(run) for run in light.runs}
    pairs = baseline_comparison.table(light, baseline) if baseline else None
    costs = cost_points(light)

    def write() -> str:
        legend = html.legend({light.labels[r.id]: colors[r.id] for r in light.runs})
        drawn = light.drawn
        top = confusion_matrix.max_cell_value([result for _, result in light.evaluated], "share")
        sections = [
            Section("", [html.caution(text) for text in caution_texts(light)]),
            Section(
                f"Metrics on {light.split_title}",
                [
                    html.note(f"All results of this report are on {light.images}.")
                    if drawn
                    else "",
                    html.table(
                        compare_tables.headline_table(
                            light.runs, light.labels, colors, light.evaluations.results
                        )
                    ),
                    legend,
                    html.charts([accuracy_charts.accuracy_forest(drawn)] if drawn else []),
                ],
            ),
            Section(
                f"Comparison with {light.labels[baseline.id]}" if baseline else "",
                [
                    html.table(pairs),
                    html.note(
                        baseline_comparison.explanation(light, int(pairs["p"].notna().sum()))
                    ),
                ]
                if pairs is not None
                else [],
            ),
            Section(
                "Training",
                [legend, html.charts(curve_charts.training_curves(lines, m) for m in METRICS)]
                if any(line.rows for line in lines)
                else [],
            ),
            Section("Confusion matrices (row %)", _matrix_charts(light, top)),
            Section(
                "Per-class recall",
                [legend, html.charts([class_charts.class_metric_bars(drawn)])] if drawn else [],
            ),
            Section("Accuracy vs. model size and latency", _cost_charts(costs, legend)),
            Section(
                "Architectures",
                [
                    html.table(
                        compare_tables.network_table(light.runs, light.labels, colors, layers)
                    )
                ],
            ),
            Section(
                "Config diff",
                [html.table(compare_tables.differences_table(light.runs, light.labels))],
            ),
        ]
        ids = ", ".join(run.id for run in light.runs)
        title = f"Comparison of {len(light.runs)} runs"
        return html.page(title, f"{ids}. {_creation_note()}", sections)

    return write


def of_run(run: Run, split: str) -> Callable[[], str]:
    """Return the function that writes the report of the run on the page."""
    color = theme.RUN_COLORS["light"][0]
    log, layers = run_cache.log(run), run_cache.layers(run)
    result = run_properties.result_of(run, split)
    samples = comparison_cache.sample_predictions(run, split)
    names = run.results.class_names if run.results else []

    def write() -> str:
        line = curve_charts.Curve("", color, log, run_properties.checkpoint(run))
        colors = theme.class_colors(names, "light")
        figures = []
        if result:
            figures = [
                confusion_matrix.confusion(result, names, "light"),
                class_charts.class_recall(result, colors),
                dataset_charts.class_distribution(result, names, colors),
            ]
        if samples and run.gives_probabilities:
            points = reliability(samples.probabilities, samples.labels, groups=samples.groups)
            figures.append(
                calibration_charts.reliability_diagram(points, color, theme.MUTED["light"])
            )
        command = run.environment.command if run.environment else ""
        sections = [
            Section("", [html.caution(text) for text in run_properties.cautions(run)]),
            Section("", [html.code(command)] if command else []),
            Section(
                "Test metrics", [html.table(run_details_tables.splits_table(run))] if result else []
            ),
            Section(
                f"Classes, {result.title}" if result else "",
                [html.charts(figures), html.table(run_details_tables.class_table(result))]
                if result
                else [],
            ),
            Section(
                "Training",
                [html.charts(curve_charts.training_curves([line], m) for m in METRICS)]
                if log
                else [],
            ),
            Section(
                "Network", [html.table(run_details_tables.layer_table(layers))] if layers else []
            ),
            Section("Configuration", [html.table(run_details_tables.config_table(run))]),
            Section("Provenance", [html.table(run_details_tables.provenance_table(run))]),
        ]
        return html.page(run_properties.title(run), f"{run.id}. {_creation_note()}", sections)

    return write


def _matrix_charts(view: Compared, top: float) -> list[str]:
    figures = []
    for run, result in view.charted:
        names = run.results.class_names if run.results else []
        figure = confusion_matrix.confusion(result, names, "light", "share", top)
        figure.update_layout(title={"text": view.labels[run.id], "font": {"size": 13}})
        figure.update_layout(margin={"t": 40})
        figures.append(figure)
    return [html.charts(figures)] if figures else []


def _cost_charts(
    costs: Mapping[str, Sequence[accuracy_charts.CostPoint]], legend: str
) -> list[str]:
    figures = [accuracy_charts.cost_scatter(points, title) for title, points in costs.items()]
    return [legend, html.charts(figures)] if figures else []


def _creation_note() -> str:
    return f"Written by fercore on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
