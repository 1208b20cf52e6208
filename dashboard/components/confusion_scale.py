"""The selection of the unit of confusion matrices."""

from typing import cast

from dashboard.charts.confusion_matrix import SCALES, Scale
from dashboard.components import url_widgets


def select_scale() -> Scale:
    """Draw the selection of how confusion matrices are normalized, and return it."""
    options = {str(scale): title for scale, title in SCALES.items()}
    scale = url_widgets.segmented_control(
        "Normalize",
        options,
        key="cells",
        help="As scikit-learn's `normalize`: the diagonal is recall with “True”, precision with "
        "“Predicted”.",
    )
    return cast(Scale, scale)
