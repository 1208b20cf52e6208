"""The areas under precision-recall and ROC curves as a table."""

from collections.abc import Mapping

import pandas as pd

from fercore.metrics import ClassCurves, Curves


def ranking_table(curves: Mapping[str, Curves], title: str) -> pd.DataFrame:
    """Return one row for each class or run: its images, prevalence in percent, AP and AUC.

    Args:
        curves: by class, or by run; a mean has neither images nor a prevalence.
        title: of the first column.
    """
    return pd.DataFrame(
        [
            {
                title: name,
                "n": curve.positives if isinstance(curve, ClassCurves) else None,
                "Prevalence": 100 * curve.prevalence if isinstance(curve, ClassCurves) else None,
                "AP": curve.average_precision,
                "AUC": curve.auc,
            }
            for name, curve in curves.items()
        ]
    )
