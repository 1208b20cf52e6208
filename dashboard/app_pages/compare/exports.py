"""The downloads of the Compare page."""

from dashboard import formats
from dashboard.app_pages.compare import sections
from dashboard.components import export_menu
from dashboard.components.compared_runs import Compared
from dashboard.reports import builder
from dashboard.tables import compare_tables
from fercore.runs.reader import Run


def menu(view: Compared, baseline: Run | None) -> None:
    """Draw the menu: the table of metrics, and the report of the page."""
    export_menu.menu(
        formats.file_name("comparison", view.file_stem),
        lambda: sections.metrics_table(view),
        lambda: builder.of_comparison(view, baseline),
        numbers=lambda: compare_tables.with_interval_ends(
            sections.metrics_table(view), view.runs, view.evaluations.results
        ),
        caption=f"Test metrics on {view.images}, with 95% CI (Wilson).",
        figures=True,
    )
