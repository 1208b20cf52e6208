"""Our own networks on the Papers page: their goals, and what the parts of them are worth."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import columns, formats
from fercore import ablations, goals
from fercore.ablations import Line
from fercore.goals import Reached, Standing
from fercore.runs import Run

KEY = "ours"
TITLE = "Our own networks"
_STATUS_COLORS = ["#1a7f4b", "#ad5d17", "#66717d"]


def section(runs: Sequence[Run]) -> None:
    """Goals and ablations, each with the command that trains what it lacks."""
    st.subheader(TITLE, anchor=KEY)
    st.markdown(
        "Trained from scratch on FER2013's training split alone; what is chosen, is chosen on "
        "PublicTest. Every figure is of PrivateTest, and a goal is reached by the mean over at "
        f"least {goals.SEEDS} seeds, or by one ensemble of them."
    )
    standings = goals.compare(runs)
    st.dataframe(
        goal_table(standings),
        hide_index=True,
        column_config=_goal_columns(),
        placeholder=formats.DASH,
        height="content",
        key="goals",
    )
    if any(standing.status != "reached" for standing in standings):
        st.caption("What is missing, most of it for a GPU; it can be stopped and resumed:")
        st.code("fercore goals --train", language="bash")
    lines = ablations.compare(runs)
    with st.expander("What the parts of the recipe are worth", icon=":material/science:"):
        st.markdown(
            "Shorter trainings that differ from the recipe in one thing each, judged on PublicTest "
            "at their last epoch. They tell large effects from none, and speak against what pays "
            "in long trainings alone: mixing, erasing, stochastic depth."
        )
        st.dataframe(
            change_table(lines),
            hide_index=True,
            column_config=_change_columns(),
            placeholder=formats.DASH,
            height="content",
            key="ablations",
        )
        if any(line.mean is None for line in lines):
            st.code("fercore ablate --train", language="bash")


def exported(runs: Sequence[Run]) -> pd.DataFrame:
    """The goals, as they are shown."""
    return goal_table(goals.compare(runs))


def goal_table(standings: Sequence[Standing]) -> pd.DataFrame:
    """One line a goal; percent throughout."""
    lines = []
    for standing in standings:
        goal, reached = standing.goal, standing.reached
        asked = {
            "Goal": goal.title,
            "Asked": goal.accuracy,
            "Seconds asked": goal.seconds or None,
        }
        status = {"Status": [goals.STATUS_WORDS[standing.status]]}
        lines.append(asked | (_figures(reached) if reached else {}) | status)
    return pd.DataFrame(lines, columns=list(_goal_columns()))


def _figures(reached: Reached) -> dict[str, Any]:
    return {
        "Ours": reached.mean,
        "95% interval": formats.interval(reached.low / 100, reached.high / 100),
        "No repeats": reached.unrepeated,
        "n": reached.n,
        "Runs": len(reached.runs),
        "Spread": reached.spread,
        "Parameters": reached.parameters,
        "Seconds": reached.seconds,
        "Network": reached.experiment or "all of them",
        "Device": reached.device,
    }


def change_table(lines: Sequence[Line]) -> pd.DataFrame:
    """One line a change; percent and points."""
    return pd.DataFrame(
        [
            {
                "Change": line.change.title,
                "PublicTest": line.mean,
                "Difference": 100 * line.difference.difference if line.difference else None,
                "95% interval": formats.delta_interval(line.difference)
                if line.difference
                else None,
                "n": line.n or None,
                "Runs": len(line.runs) or None,
                "Spread": line.spread,
                "Epoch": line.seconds,
                "Parameters": line.parameters,
            }
            for line in lines
        ]
    )


def _goal_columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "Goal": config.TextColumn("Goal", width=300),
        "Asked": columns.percent("Asked", "Of PrivateTest.", width=76),
        "Seconds asked": config.NumberColumn("In seconds", format="%d", width=76),
        "Ours": columns.percent("Ours", "Mean over the seeds.", width=76),
        "Status": config.MultiselectColumn(
            "Status", options=list(goals.STATUS_WORDS.values()), color=_STATUS_COLORS, width=130
        ),
        "95% interval": config.TextColumn("95 % interval", help="Wilson's.", width=112),
        "No repeats": columns.percent(
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


def _change_columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "Change": config.TextColumn("Change", width=340),
        "PublicTest": columns.percent("PublicTest", "Mean over the seeds.", width=84),
        "Difference": config.NumberColumn(
            "Difference", format="%+.2f", help="Points, from the recipe as it is, seed by seed."
        ),
        "95% interval": config.TextColumn(
            "Its 95 % interval", help="From paired bootstrap draws: other samples, not other seeds."
        ),
        "n": config.NumberColumn("n", format="localized"),
        "Runs": config.NumberColumn("Seeds", format="%d", width=56),
        "Spread": config.NumberColumn("±", format="%.2f", width=56),
        "Epoch": config.NumberColumn("s an epoch", format="%.0f", help="Median."),
        "Parameters": config.NumberColumn("Parameters", format="localized"),
    }
