"""What the HTML reports of the Compare and the Run page say: gathered on the page, written later.

A report is written in a thread that has no session, so that everything which is read from disk or
the address is read before.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from dashboard import cached, charts, curves, facts, html_report, matrix, tables, theme, versus
from dashboard.comparison import Compared, caution_texts, cost_points
from dashboard.html_report import Section
from fercore.metrics import reliability
from fercore.runs import Run

METRICS: tuple[curves.Metric, ...] = ("accuracy", "loss")


def of_comparison(view: Compared, baseline: Run | None) -> Callable[[], str]:
    """What writes the comparison that is on the page."""
    colors = theme.run_colors([run.id for run in view.runs], "light")
    light = replace(view, colors=colors)
    lines = [
        curves.Curve(light.labels[run.id], colors[run.id], cached.log(run), facts.checkpoint(run))
        for run in light.runs
        if run.experiment
    ]
    layers = {run.id: cached.layers(run) for run in light.runs}
    against = versus.table(light, baseline) if baseline else None

    def write() -> str:
        legend = html_report.legend({light.labels[r.id]: colors[r.id] for r in light.runs})
        drawn = light.drawn
        by_size, by_time = cost_points(light)
        top = matrix.strongest([result for _, result in light.evaluated], "share")
        sections = [
            Section("", [html_report.caution(text) for text in caution_texts(light)]),
            Section(
                f"Figures on {light.split_title}",
                [
                    html_report.note(f"All figures of this view are on {light.images}.")
                    if drawn
                    else "",
                    html_report.table(
                        tables.headline_table(
                            light.runs, light.labels, colors, light.evaluations.results
                        )
                    ),
                    legend,
                    html_report.charts([charts.accuracy_forest(drawn)] if drawn else []),
                ],
            ),
            Section(
                f"Against {light.labels[baseline.id]}" if baseline else "",
                [
                    html_report.table(against),
                    html_report.note(versus.explanation(light, int(against["p"].notna().sum()))),
                ]
                if against is not None
                else [],
            ),
            Section(
                "Training",
                [legend, html_report.charts(curves.training_curves(lines, m) for m in METRICS)]
                if any(line.rows for line in lines)
                else [],
            ),
            Section("Confusion, % of the true class", _matrices(light, top)),
            Section(
                "Recall of each class",
                [legend, html_report.charts([charts.recall_bars(drawn)])] if drawn else [],
            ),
            Section("Accuracy against cost", _costs(by_size, by_time, legend)),
            Section(
                "Networks",
                [html_report.table(tables.network_table(light.runs, light.labels, colors, layers))],
            ),
            Section(
                "What differs",
                [html_report.table(tables.differences_table(light.runs, light.labels))],
            ),
        ]
        ids = ", ".join(run.id for run in light.runs)
        title = f"Comparison of {len(light.runs)} runs"
        return html_report.page(title, f"{ids}. {_stamp()}", sections)

    return write


def of_run(run: Run, split: str) -> Callable[[], str]:
    """What writes the run that is on the page."""
    color = theme.RUN_COLORS["light"][0]
    log, layers = cached.log(run), cached.layers(run)
    result = facts.result_of(run, split)
    judged = cached.judged_samples(run, split)
    names = run.results.class_names if run.results else []

    def write() -> str:
        line = curves.Curve("", color, log, facts.checkpoint(run))
        colors = theme.class_colors(names, "light")
        shown = []
        if result:
            shown = [
                matrix.confusion(result, names, "light"),
                charts.class_recall(result, colors),
                charts.class_distribution(result, names, colors),
            ]
        if judged and run.gives_probabilities:
            points = reliability(judged.probabilities, judged.labels, groups=judged.groups)
            shown.append(charts.reliability_diagram(points, color, theme.MUTED["light"]))
        command = run.environment.command if run.environment else ""
        sections = [
            Section("", [html_report.caution(text) for text in facts.cautions(run)]),
            Section("", [html_report.code(command)] if command else []),
            Section("Figures", [html_report.table(tables.splits_table(run))] if result else []),
            Section(
                f"Classes, {result.title}" if result else "",
                [html_report.charts(shown), html_report.table(tables.class_table(result))]
                if result
                else [],
            ),
            Section(
                "Training",
                [html_report.charts(curves.training_curves([line], m) for m in METRICS)]
                if log
                else [],
            ),
            Section("Network", [html_report.table(tables.layer_table(layers))] if layers else []),
            Section("Configuration", [html_report.table(tables.config_table(run))]),
            Section("Provenance", [html_report.table(tables.provenance_table(run))]),
        ]
        return html_report.page(facts.title(run), f"{run.id}. {_stamp()}", sections)

    return write


def _matrices(view: Compared, top: float) -> list[str]:
    parts = []
    for run, result in view.evaluated:
        names = run.results.class_names if run.results else []
        figure = matrix.confusion(result, names, "light", "share", top)
        figure.update_layout(title={"text": view.labels[run.id], "font": {"size": 13}})
        figure.update_layout(margin={"t": 40})
        parts.append(figure)
    return [html_report.charts(parts)] if parts else []


def _costs(
    by_size: Sequence[charts.Cost], by_time: Sequence[charts.Cost], legend: str
) -> list[str]:
    figures = [
        charts.cost_scatter(costs, title)
        for costs, title in ((by_size, "Parameters"), (by_time, "Milliseconds a face"))
        if costs
    ]
    return [legend, html_report.charts(figures)] if figures else []


def _stamp() -> str:
    return f"Written by fercore on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
