"""Titles, formats and help texts of table columns."""

from typing import Any

import streamlit as st

from dashboard.charts import theme

INTERVAL_HELP = (
    "95 % CI (Wilson), at the effective sample size where images are grouped, as by subject."
)
CLEAN_HELP = "Without the test images that also occur in training."
GROUPS_HELP = (
    "Images of one subject and copies of one image are not independent: intervals and tests use "
    "these groups. Empty where all images are independent."
)
_PERCENT = "%.2f %%"
_SCORED = [
    *(f"all {n}" for n in range(2, 10)),
    *(f"{m} of {n}" for n in (7, 8) for m in range(2, n)),
]
_SCORED_COLORS = ["#66717d" if name.startswith("all") else "#ad5d17" for name in _SCORED]


def percent(label: str, help: str | None = None, width: int | None = None) -> Any:
    """Return a column of percentages with two decimals; the width is in pixels."""
    return st.column_config.NumberColumn(label, format=_PERCENT, help=help, width=width)


def groups() -> Any:
    """Return the column that counts groups of dependent images."""
    return st.column_config.TextColumn("Groups", help=GROUPS_HELP)


def runs(test_title: str, open_key: str, on_open: Any) -> dict[str, Any]:
    """Return the columns of the table of runs.

    Args:
        test_title: title of the column of test accuracy.
        open_key: session key of the column of buttons.
        on_open: called with `open_key` when a button is clicked.
    """
    config = st.column_config
    states = list(theme.STATES)
    return {
        "State": config.MultiselectColumn(
            "State", options=states, color=[theme.STATES[state].hex for state in states], width=100
        ),
        "Experiment": config.TextColumn("Experiment", width=236, pinned=True),
        "Open": config.ButtonColumn(
            "", type="tertiary", width=44, key=open_key, on_click=on_open, args=(open_key,)
        ),
        "Accuracy": percent(test_title, "Accuracy on the classes that the run is scored on."),
        "95% interval": config.TextColumn("95 % CI", help=INTERVAL_HELP),
        "Classes": config.MultiselectColumn(
            "Classes",
            options=_SCORED,
            color=_SCORED_COLORS,
            help="Results on six and on seven classes are not comparable.",
        ),
        "n": config.NumberColumn("n", format="localized", help="Number of test images."),
        "Groups": groups(),
        "Seed": config.NumberColumn("Seed", format="%d", width=56),
        "Runs": config.NumberColumn(
            "Runs", format="%d", width=56, help="Number of seeds and folds."
        ),
        "Spread": config.NumberColumn(
            "±",
            format="%.2f",
            width=56,
            help="Standard deviation over the runs, in percentage points.",
        ),
        "Delta": config.NumberColumn(
            "Δ vs. baseline",
            format="%+.2f",
            help="Percentage points, on the samples scored by both runs.",
        ),
        "Delta interval": config.TextColumn(
            "Δ 95 % CI", help="From 10,000 paired bootstrap resamples."
        ),
        "All classes": percent(
            "Accuracy (all classes)",
            "On every test image: an image of a dropped class counts as an error.",
        ),
        "Clean accuracy": percent("Clean accuracy", CLEAN_HELP),
        "Validation": percent(
            "Validation", "Accuracy on the validation split. Use this one to select a run."
        ),
        "Macro-F1": percent("Macro-F1", "Mean F1 over the classes scored."),
        "Worst class": config.TextColumn("Worst class"),
        "Worst-class recall": percent("Worst-class recall"),
        "Parameters": config.NumberColumn("Params", format="compact", width=68),
        "model.onnx": config.NumberColumn("Model size (ONNX)", format="bytes"),
        "Latency (ms)": config.NumberColumn(
            "Latency (ms)",
            format="%.2f",
            help="Per image, on one CPU core with ONNX Runtime, batch size 1.",
        ),
        "Tags": config.ListColumn("Tags"),
        "Training time": config.NumberColumn("Training time", format="compact"),
        "Started": config.DatetimeColumn("Started", format="distance"),
        "Model": config.TextColumn("Architecture"),
        "Note": config.TextColumn("Note", width="large"),
        "Run ID": config.TextColumn("Run ID", help="The name of the run's folder."),
    }


def metrics() -> dict[str, Any]:
    """Return the columns of evaluations and networks."""
    config = st.column_config
    return {
        "Color": config.ImageColumn("", width=36, pinned=True),
        "Run": config.TextColumn("Run", pinned=True),
        "Accuracy": percent("Accuracy", "Share of the images whose class is predicted."),
        "95% interval": config.TextColumn("95 % CI", help=INTERVAL_HELP),
        "n": config.NumberColumn("n", format="localized", help="Number of images."),
        "Groups": groups(),
        "Classes": config.NumberColumn("Classes", help="Classes with samples among these images."),
        "Macro-F1": percent("Macro-F1", "Mean F1 over the classes with samples."),
        "UAR": percent("UAR", "Unweighted average recall, also called balanced accuracy."),
        "Top-2": percent("Top-2", "The true class is among the two most probable."),
        "ECE": percent("ECE", "Expected calibration error over 15 bins. Lower is better."),
        "NLL": config.NumberColumn("NLL", format="%.3f", help="In nats. Lower is better."),
        "Parameters": config.NumberColumn("Parameters", format="localized"),
        "Trainable": config.NumberColumn("Trainable", format="localized"),
        "MACs": config.NumberColumn(
            "MACs",
            format="compact",
            help="Multiply-accumulate operations of one prediction, of all members and views.",
        ),
        "model.onnx": config.NumberColumn("Model size (ONNX)", format="bytes"),
        "Best epoch": config.NumberColumn(
            "Best epoch", format="%d", help="Epoch of the checkpoint."
        ),
    }


def classes() -> dict[str, Any]:
    """Return the columns of a table of classes."""
    config = st.column_config
    return {
        "Samples": config.NumberColumn("Samples", format="localized"),
        "Recall": config.NumberColumn("Recall", format="%.1f %%"),
        "95% interval": config.TextColumn("95 % CI", help=INTERVAL_HELP),
        "Groups": groups(),
        "Precision": config.NumberColumn("Precision", format="%.1f %%"),
        "F1": config.NumberColumn("F1", format="%.1f %%"),
    }


def precision(prevalence: float) -> dict[str, Any]:
    """Return the columns of the table of precision at another prevalence."""
    config = st.column_config
    return {
        "Recall": config.NumberColumn(
            "Recall (TPR)", format="%.1f %%", help="True positive rate, also called sensitivity."
        ),
        "FPR": config.NumberColumn(
            "FPR", format="%.1f %%", help="False positive rate: 1 minus specificity."
        ),
        "Prevalence": config.NumberColumn(
            "Prevalence", format="%.1f %%", help="Of the class in this split."
        ),
        "Precision": config.NumberColumn(
            "Precision (PPV)", format="%.1f %%", help="In this split: positive predictive value."
        ),
        "Precision at prevalence": config.NumberColumn(
            f"PPV at {prevalence:.1%}", format="%.1f %%"
        ),
    }


def layers() -> dict[str, Any]:
    """Return the columns of a layer table."""
    config = st.column_config
    return {
        "Parameters": config.NumberColumn("Parameters", format="localized"),
        "Trainable": config.NumberColumn("Trainable", format="localized"),
    }
