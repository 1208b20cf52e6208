"""Our own networks on the Papers page: their goals and the ablation studies."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.components import column_formats, expander
from dashboard.state import comparison_cache
from fercore.reproduction import ablations, goals
from fercore.reproduction.ablations import AblationResult, Study
from fercore.reproduction.goals import GoalResult, GoalStatus
from fercore.runs.reader import Run

KEY = "ours"
TITLE = "Our own networks"
_STATUS_COLORS = ["#1a7f4b", "#3f6fb5", "#ad5d17", "#66717d"]


def section(runs: Sequence[Run]) -> None:
    """Show goals and ablation studies, each with the command that trains what is missing."""
    st.subheader(TITLE, anchor=KEY)
    st.markdown(
        "Trained from scratch on FER2013's training split alone; what is chosen, is chosen on "
        "PublicTest. Every figure is of PrivateTest, and a goal is reached by the mean over at "
        f"least {goals.SEEDS} seeds, or by one ensemble of them."
    )
    standings = comparison_cache.goal_statuses(runs)
    st.dataframe(
        goal_table(standings),
        hide_index=True,
        column_config=_goal_columns(),
        placeholder=formats.DASH,
        height="content",
        key="goals",
    )
    if any(standing.status != "reached" for standing in standings):
        st.caption(
            "Train what is missing; the command can be stopped and resumed. Without a GPU it "
            "leaves out what needs one."
        )
        st.code("fercore goals --train", language="bash")
    for study in ablations.studies():
        _study_section(study, runs)


def _study_section(study: Study, runs: Sequence[Run]) -> None:
    opened = expander.expander(study.title, f"study-{study.key}", ":material/science:")
    if opened is None:
        return
    lines = comparison_cache.ablation_lines(study, runs)
    with opened:
        if study.note:
            st.markdown(study.note)
        st.dataframe(
            change_table(study, lines),
            hide_index=True,
            column_config=_change_columns(study),
            placeholder=formats.DASH,
            height="content",
            key=f"ablations-{study.key}",
        )
        if any(line.mean is None for line in lines):
            st.code(f"fercore ablate --train {study.key}", language="bash")


def exported(runs: Sequence[Run]) -> pd.DataFrame:
    """The goals, as they are shown."""
    return goal_table(comparison_cache.goal_statuses(runs))


def goal_table(standings: Sequence[GoalStatus]) -> pd.DataFrame:
    """One line a goal; percent throughout."""
    lines = []
    for standing in standings:
        goal, reached = standing.goal, standing.reached
        asked = {
            "Goal": goal.title,
            "Target": goal.accuracy,
            "CPU target": goal.accuracy_cpu,
            "Seconds asked": goal.seconds or None,
        }
        status = {"Status": [goals.STATUS_WORDS[standing.status]]}
        lines.append(asked | (_figures(reached) if reached else {}) | status)
    return pd.DataFrame(lines, columns=list(_goal_columns()))


def _figures(reached: GoalResult) -> dict[str, Any]:
    return {
        "Ours": reached.mean,
        "95% interval": formats.interval(reached.low / 100, reached.high / 100),
        "No repeats": reached.unrepeated,
        "n": reached.n,
        "Runs": len(reached.runs),
        "Spread": reached.spread,
        "Parameters": reached.parameters,
        "Seconds": reached.seconds,
        "Network": reached.experiment or "chosen members",
        "Device": reached.device,
    }


def change_table(study: Study, lines: Sequence[AblationResult]) -> pd.DataFrame:
    """Return one row per change; accuracies in percent, differences in points."""
    table = pd.DataFrame(
        [
            {
                "Change": line.change.title,
                "Compared with": line.reference.title if line.reference else None,
                "PublicTest": line.mean,
                "Difference": 100 * line.difference.difference if line.difference else None,
                "95% interval": formats.delta_interval(line.difference)
                if line.difference
                else None,
                "Epochs to target": line.epochs_to_target,
                "n": line.n or None,
                "Runs": len(line.runs) or None,
                "Spread": line.spread,
                "Epoch": line.seconds,
                "Parameters": line.parameters,
            }
            for line in lines
        ]
    )
    absent = [] if study.cumulative else ["Compared with"]
    absent += [] if study.target else ["Epochs to target"]
    return table.drop(columns=absent)


def _goal_columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "Goal": config.TextColumn("Goal", width=300),
        "Target": column_formats.percent(
            "Target", "Accuracy on PrivateTest, with a GPU.", width=76
        ),
        "CPU target": column_formats.percent(
            "CPU target", "Accuracy on PrivateTest, trained on CPUs alone.", width=96
        ),
        "Seconds asked": config.NumberColumn("In seconds", format="%d", width=76),
        "Ours": column_formats.percent("Ours", "Mean over the seeds.", width=76),
        "Status": config.MultiselectColumn(
            "Status", options=list(goals.STATUS_WORDS.values()), color=_STATUS_COLORS, width=130
        ),
        "95% interval": config.TextColumn("95 % interval", help="Wilson's.", width=112),
        "No repeats": column_formats.percent(
            "No repeats", "Without the test images that also stand in training.", width=84
        ),
        "n": config.NumberColumn("n", format="localized", help="Samples tested."),
        "Runs": config.NumberColumn("Seeds", format="%d", width=56),
        "Spread": config.NumberColumn("±", format="%.2f", width=56, help="Over the seeds, points."),
        "Parameters": config.NumberColumn("Parameters", format="localized"),
        "Seconds": config.NumberColumn("Training s", format="%.0f", help="Mean over the seeds."),
        "Network": config.TextColumn(
            "Network",
            help="The best on PublicTest, of those meant that have three seeds if one has.",
        ),
        "Device": config.TextColumn("Device"),
    }


def _change_columns(study: Study) -> dict[str, Any]:
    config = st.column_config
    target = f"{study.target or 0:g} %"
    return {
        "Change": config.TextColumn("Change", width=340),
        "Compared with": config.TextColumn("Compared with", width=200),
        "PublicTest": column_formats.percent("PublicTest", "Mean over the seeds.", width=84),
        "Difference": config.NumberColumn(
            "Difference",
            format="%+.2f",
            help='In points, from the first row or from "Compared with", over the same seeds.',
        ),
        "95% interval": config.TextColumn(
            "Its 95 % interval", help="From paired bootstrap draws: other samples, not other seeds."
        ),
        "Epochs to target": config.NumberColumn(
            f"Epochs to {target}",
            format="%.1f",
            help=f"First epoch with a PublicTest accuracy of {target}, mean over the seeds.",
        ),
        "n": config.NumberColumn("n", format="localized"),
        "Runs": config.NumberColumn("Seeds", format="%d", width=56),
        "Spread": config.NumberColumn("±", format="%.2f", width=56),
        "Epoch": config.NumberColumn("s an epoch", format="%.0f", help="Median."),
        "Parameters": config.NumberColumn("Parameters", format="localized"),
    }
