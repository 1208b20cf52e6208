"""Metrics of classifiers with confidence intervals, and paired tests.

Everything here is numpy, so dashboard pages may import it. Rows of a confusion matrix are true
classes, columns are predicted ones. An undefined figure, such as the recall of a class with no
sample, is NaN in an array and null in JSON.
"""

from fercore.metrics.all_metrics import Evaluation, summarise
from fercore.metrics.calibration import (
    ECE_BINS,
    Reliability,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
    top_k_accuracy,
)
from fercore.metrics.clustered import (
    Groups,
    clustered_interval,
    clustered_mean_interval,
    clustered_recall_interval,
    group_codes,
    merge_groups,
)
from fercore.metrics.counts import (
    PerClass,
    accuracy,
    accuracy_interval,
    balanced_class_weights,
    confusion_matrix,
    difference_interval,
    effective_size,
    macro_f1,
    per_class,
    positive_predictive_value,
    recall_interval,
    uar,
    wilson_interval,
)
from fercore.metrics.multiple_testing import holm
from fercore.metrics.paired_tests import (
    McNemar,
    PairedDifference,
    PairedMetric,
    bootstrap_mean,
    mcnemar,
    paired_bootstrap,
)
from fercore.metrics.ranking import ClassCurves, Curves, class_curves, macro_average
from fercore.metrics.temperature_scaling import apply_temperature, fit_temperature

__all__ = [
    "ECE_BINS",
    "ClassCurves",
    "Curves",
    "Evaluation",
    "Groups",
    "McNemar",
    "PairedDifference",
    "PairedMetric",
    "PerClass",
    "Reliability",
    "accuracy",
    "accuracy_interval",
    "apply_temperature",
    "balanced_class_weights",
    "bootstrap_mean",
    "class_curves",
    "clustered_interval",
    "clustered_mean_interval",
    "clustered_recall_interval",
    "confusion_matrix",
    "difference_interval",
    "effective_size",
    "expected_calibration_error",
    "fit_temperature",
    "group_codes",
    "holm",
    "macro_average",
    "macro_f1",
    "mcnemar",
    "merge_groups",
    "negative_log_likelihood",
    "paired_bootstrap",
    "per_class",
    "positive_predictive_value",
    "recall_interval",
    "reliability",
    "summarise",
    "top_k_accuracy",
    "uar",
    "wilson_interval",
]
