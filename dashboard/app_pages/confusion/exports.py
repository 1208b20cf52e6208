"""The downloads of the Confusion matrix page."""

from collections.abc import Sequence

from dashboard import formats
from dashboard.charts import confusion_matrix, matrix_image
from dashboard.charts.confusion_matrix import Scale
from dashboard.charts.matrix_image import Panel
from dashboard.components import export_menu, plot
from dashboard.components.compared_runs import Compared
from dashboard.components.export_menu import Download
from dashboard.tables import confusion_tables


def menu(view: Compared, scale: Scale) -> None:
    """Draw the menu of downloads: the matrices as one figure and as tables, metrics by class."""
    evaluated, labels = view.evaluated, view.labels
    export_menu.menu(
        formats.file_name("class-metrics", view.file_stem),
        lambda: confusion_tables.class_metrics_table(evaluated, labels),
        more=lambda: _matrix_files(view, scale),
        caption=f"Per-class metrics on {view.images}.",
        figures=True,
    )


def _matrix_files(view: Compared, scale: Scale) -> Sequence[Download]:
    # A file is written in a thread without a session: read the session here.
    evaluated, labels = view.evaluated, view.labels
    name = formats.file_name("confusion", scale, view.file_stem)
    width = plot.image_width() or matrix_image.TWO_COLUMNS
    panels = [
        Panel(formats.plain_label(labels[run.id]), result, run.results.class_names)
        for run, result in view.charted
        if run.results
    ]
    top = confusion_matrix.max_cell_value([panel.result for panel in panels], scale)
    return (
        Download(
            "Matrices as SVG",
            f"{name}.svg",
            "image/svg+xml",
            lambda: matrix_image.matrices_svg(panels, scale, top, width),
            f"One figure, {width} mm wide, as normalized on the page.",
        ),
        Download(
            "Matrices as PNG",
            f"{name}.png",
            "image/png",
            lambda: matrix_image.matrices_png(panels, scale, top, width),
            f"One figure, {width} mm wide at 300 dpi.",
        ),
        Download(
            "Each matrix as CSV (ZIP)",
            f"{name}.zip",
            "application/zip",
            lambda: confusion_tables.matrices_zip(evaluated, labels, scale),
            "One file per run, as normalized on the page.",
        ),
        Download(
            "All cells as CSV",
            f"{formats.file_name('cells', view.file_stem)}.csv",
            "text/csv",
            lambda: confusion_tables.cells_table(evaluated, labels).to_csv(index=False),
            "One row per run and cell: count and all three normalizations.",
        ),
    )
