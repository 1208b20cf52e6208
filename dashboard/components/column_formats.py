"""Formats of table columns."""

from typing import Any

import streamlit as st

from dashboard.charts import theme

INTERVAL_HELP = "Wilson's interval; at the effective sample size where images come in groups."
_PERCENT = "%.2f %%"
_SCORED = [
    *(f"all {n}" for n in range(2, 10)),
    *(f"{m} of {n}" for n in (7, 8) for m in range(2, n)),
]
_SCORED_COLORS = ["#66717d" if name.startswith("all") else "#ad5d17" for name in _SCORED]


def percent(label: str, help: str | None = None, width: int | None = None) -> Any:
    """A share in percent, two decimals; the width is in pixels."""
    return st.column_config.NumberColumn(label, format=_PERCENT, help=help, width=width)


def groups() -> Any:
    """The groups of dependent images beside n."""
    return st.column_config.TextColumn(
        "Groups",
        help="Images of one subject, or copies of one image, are not independent: intervals and "
        "tests are by these groups. Empty where each image stands for itself.",
    )


def runs(test_title: str, open_key: str, on_open: Any) -> dict[str, Any]:
    """The columns of the table of runs."""
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
        "Accuracy": percent(test_title, "Accuracy on the classes that the run was scored on."),
        "95% interval": config.TextColumn("95 % interval", help=INTERVAL_HELP),
        "Scored": config.MultiselectColumn(
            "Classes",
            options=_SCORED,
            color=_SCORED_COLORS,
            help="Figures on six classes and on seven are not comparable.",
        ),
        "n": config.NumberColumn("n", format="localized", help="Images that the accuracy is of."),
        "Groups": groups(),
        "Seed": config.NumberColumn("Seed", format="%d", width=56),
        "Runs": config.NumberColumn("Runs", format="%d", width=56, help="Seeds and folds."),
        "Spread": config.NumberColumn(
            "±", format="%.2f", width=56, help="Standard deviation over the runs, in points."
        ),
        "Delta": config.NumberColumn(
            "To baseline", format="%+.2f", help="Points, on the samples that both have judged."
        ),
        "Delta interval": config.TextColumn(
            "Its 95 % interval", help="From 10,000 paired bootstrap draws."
        ),
        "All classes": percent(
            "All classes", "Accuracy on every test image: an image of a dropped class is an error."
        ),
        "No repeats": percent(
            "No repeats", "Accuracy without the test images that also stand in training."
        ),
        "Validation": percent(
            "Validation", "Accuracy on the validation split: choose a run by this one."
        ),
        "Macro-F1": percent("Macro-F1", "Mean F1 over the classes scored."),
        "Worst class": config.TextColumn("Worst class"),
        "Worst recall": percent("Its recall"),
        "Parameters": config.NumberColumn("Parameters", format="localized"),
        "model.onnx": config.NumberColumn("model.onnx", format="bytes"),
        "Face ms": config.NumberColumn(
            "ms a face", format="%.2f", help="One face at a time on one core, ONNX Runtime."
        ),
        "Tags": config.ListColumn("Tags"),
        "Training time": config.NumberColumn("Training time", format="compact"),
        "Started": config.DatetimeColumn("Started", format="distance"),
        "Note": config.TextColumn("Note", width="large"),
    }


def figures() -> dict[str, Any]:
    """The columns of an evaluation."""
    config = st.column_config
    return {
        "Color": config.ImageColumn("", width=36, pinned=True),
        "Run": config.TextColumn("Run", pinned=True),
        "Accuracy": percent("Accuracy"),
        "95% interval": config.TextColumn("95 % interval", help=INTERVAL_HELP),
        "n": config.NumberColumn("n", format="localized"),
        "Groups": groups(),
        "Classes": config.NumberColumn("Classes", help="Classes that occur among these images."),
        "Macro-F1": percent("Macro-F1", "Mean F1 over the classes that occur."),
        "UAR": percent("UAR", "Unweighted average recall, also called balanced accuracy."),
        "Top-2": percent("Top-2", "The true class is among the two most probable."),
        "ECE": percent("ECE", "Expected calibration error over 15 bins: lower is better."),
        "NLL": config.NumberColumn("NLL", format="%.3f", help="Nats: lower is better."),
        "Parameters": config.NumberColumn("Parameters", format="localized"),
        "Trainable": config.NumberColumn("Trainable", format="localized"),
        "model.onnx": config.NumberColumn("model.onnx", format="bytes"),
        "Checkpoint": config.NumberColumn("Kept epoch", format="%d"),
    }


def classes() -> dict[str, Any]:
    """The columns of a table of classes."""
    config = st.column_config
    return {
        "Samples": config.NumberColumn("Samples", format="localized"),
        "Recall": config.NumberColumn("Recall", format="%.1f %%"),
        "95% interval": config.TextColumn("95 % interval"),
        "Groups": groups(),
        "Precision": config.NumberColumn("Precision", format="%.1f %%"),
        "F1": config.NumberColumn("F1", format="%.1f %%"),
    }


def trust(prevalence: float) -> dict[str, Any]:
    """The columns of the table of predictive values."""
    config = st.column_config
    return {
        "Found": config.NumberColumn("Found", format="%.1f %%", help="Recall: sensitivity."),
        "False alarms": config.NumberColumn(
            "False alarms", format="%.1f %%", help="Of faces that show something else."
        ),
        "Share here": config.NumberColumn("Share here", format="%.1f %%"),
        "Right here": config.NumberColumn("Right here", format="%.1f %%", help="Precision."),
        "Right there": config.NumberColumn(f"Right at {prevalence:.1%}", format="%.1f %%"),
    }


def layers() -> dict[str, Any]:
    """The columns of a layer table."""
    config = st.column_config
    return {
        "Parameters": config.NumberColumn("Parameters", format="localized"),
        "Trainable": config.NumberColumn("Trainable", format="localized"),
    }
