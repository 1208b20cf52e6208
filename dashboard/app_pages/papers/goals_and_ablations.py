"""Our models on the Paper reproductions page: goals and ablation studies."""

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
TITLE = "Our models"
# These columns fit a window of 1440 pixels. The others are in a section of their own.
_MAIN_COLUMNS = [
    *("Goal", "Target", "CPU target", "Ours", "Spread", "95% interval", "Clean accuracy", "Runs"),
    *("Status", "Parameters", "Network"),
]
_DETAIL_COLUMNS = ["Goal", "Network", "n", "Time budget", "Seconds", "Device"]
_STATUS_COLORS = ["#1a7f4b", "#3f6fb5", "#ad5d17", "#66717d"]


def section(runs: Sequence[Run]) -> None:
    """Draw goals and ablation studies, each with the command that trains the missing runs."""
    st.subheader(TITLE, anchor=KEY)
    st.markdown(
        "Trained from scratch on the training split of FER2013 only, and selected on PublicTest. "
        "Results are on PrivateTest. A goal is reached by the mean over at least "
        f"{goals.SEEDS} seeds, or by one ensemble of them."
    )
    statuses = comparison_cache.goal_statuses(runs)
    st.dataframe(
        goal_table(statuses)[_MAIN_COLUMNS],
        hide_index=True,
        column_config=_goal_columns(),
        placeholder=formats.DASH,
        height="content",
        key="goals",
    )
    if any(status.status != "reached" for status in statuses):
        st.caption(
            "Train the missing runs with this command. It can be stopped and resumed. Without a "
            "GPU, it skips the runs that need one."
        )
        st.code("fercore goals --train", language="bash")
    with st.container(gap="xsmall"):
        _notes()
        _details(statuses)
        for study in ablations.studies():
            _study_section(study, runs)


def _notes() -> None:
    opened = expander.expander("Notes", "notes-ours", ":material/sticky_note_2:")
    if opened is not None:
        opened.markdown("\n".join(f"- {note}" for note in goals.notes()))


def _details(statuses: Sequence[GoalStatus]) -> None:
    opened = expander.expander("Training time and device", "details-ours", ":material/timer:")
    if opened is not None:
        opened.dataframe(
            goal_table(statuses)[_DETAIL_COLUMNS],
            hide_index=True,
            column_config=_goal_columns(),
            placeholder=formats.DASH,
            height="content",
            key="goal-details",
        )


def _study_section(study: Study, runs: Sequence[Run]) -> None:
    opened = expander.expander(study.title, f"study-{study.key}", ":material/science:")
    if opened is None:
        return
    results = comparison_cache.ablation_results(study, runs)
    with opened:
        if study.note:
            st.markdown(study.note)
        st.dataframe(
            change_table(study, results),
            hide_index=True,
            column_config=_change_columns(study),
            placeholder=formats.DASH,
            height="content",
            key=f"ablations-{study.key}",
        )
        if study.findings:
            st.markdown("\n".join(f"- {finding}" for finding in study.findings))
        if any(result.mean is None for result in results):
            st.code(f"fercore ablate --train {study.key}", language="bash")


def exported(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the table of goals, for a download."""
    return goal_table(comparison_cache.goal_statuses(runs))


def goal_table(statuses: Sequence[GoalStatus]) -> pd.DataFrame:
    """Return one row for each goal; accuracies in percent."""
    rows = []
    for entry in statuses:
        goal, result = entry.goal, entry.reached
        target = {
            "Goal": goal.title,
            "Target": goal.accuracy,
            "CPU target": goal.accuracy_cpu,
            "Time budget": goal.seconds or None,
        }
        status = {"Status": [goals.STATUS_WORDS[entry.status]]}
        rows.append(target | (_result_cells(result) if result else {}) | status)
    return pd.DataFrame(rows, columns=list(_goal_columns()))


def _result_cells(result: GoalResult) -> dict[str, Any]:
    return {
        "Ours": result.mean,
        "95% interval": formats.interval(result.low / 100, result.high / 100),
        "Clean accuracy": result.unrepeated,
        "n": result.n,
        "Runs": len(result.runs),
        "Spread": result.spread,
        "Parameters": result.parameters,
        "Seconds": result.seconds,
        "Network": result.experiment or "selected members",
        "Device": result.device,
    }


def change_table(study: Study, results: Sequence[AblationResult]) -> pd.DataFrame:
    """Return one row per change; accuracies in percent, differences in points."""
    table = pd.DataFrame(
        [
            {
                "Change": result.change.title,
                "Compared with": result.reference.title if result.reference else None,
                "PublicTest": result.mean,
                "Difference": 100 * result.difference.difference if result.difference else None,
                "95% interval": formats.delta_interval(result.difference)
                if result.difference
                else None,
                "Epochs to target": result.epochs_to_target,
                "n": result.n or None,
                "Runs": len(result.runs) or None,
                "Spread": result.spread,
                "Epoch": result.seconds,
                "Parameters": result.parameters,
            }
            for result in results
        ]
    )
    absent = [] if study.cumulative else ["Compared with"]
    absent += [] if study.target else ["Epochs to target"]
    absent += ["Spread"] if table["Spread"].isna().all() else []
    return table.drop(columns=absent)


def _goal_columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "Goal": config.TextColumn("Goal", width=318),
        "Target": column_formats.percent(
            "Target", "Target accuracy on PrivateTest, trained with a GPU.", width=84
        ),
        "CPU target": column_formats.percent(
            "Target (CPU)", "Target accuracy on PrivateTest, trained without a GPU.", width=96
        ),
        "Time budget": config.NumberColumn("Time budget (s)", format="%d", width=112),
        "Ours": column_formats.percent("Ours", "Mean over the seeds.", width=76),
        "Status": config.MultiselectColumn(
            "Status", options=list(goals.STATUS_WORDS.values()), color=_STATUS_COLORS, width=130
        ),
        "95% interval": config.TextColumn("95% CI", help=column_formats.INTERVAL_HELP, width=116),
        "Clean accuracy": column_formats.percent(
            "Clean accuracy", column_formats.CLEAN_HELP, width=114
        ),
        "n": config.NumberColumn("n", format="localized", help="Number of test images."),
        "Runs": config.NumberColumn("Seeds", format="%d", width=56),
        "Spread": config.NumberColumn(
            "± SD", format="%.2f", width=62, help="Over the seeds, in percentage points."
        ),
        "Parameters": config.NumberColumn("Parameters", format="localized", width=94),
        "Seconds": config.NumberColumn(
            "Training time (s)", format="%.0f", help="Mean over the seeds."
        ),
        "Network": config.TextColumn(
            "Network",
            width=110,
            help="The best on PublicTest of the experiments for this goal. Those with at least "
            f"{goals.SEEDS} seeds are preferred.",
        ),
        "Device": config.TextColumn("Device"),
    }


def _change_columns(study: Study) -> dict[str, Any]:
    config = st.column_config
    target = f"{study.target or 0:g} %"
    return {
        "Change": config.TextColumn("Change", width=330 if not study.cumulative else 280),
        "Compared with": config.TextColumn("Compared with", width=190),
        "PublicTest": column_formats.percent("PublicTest", "Mean over the seeds.", width=88),
        "Difference": config.NumberColumn(
            "Difference",
            format="%+.2f",
            width=86,
            help='In points, to the first row or to "Compared with", over the same seeds.',
        ),
        "95% interval": config.TextColumn(
            "Δ 95% CI", width=120, help="Paired bootstrap over images, not over seeds."
        ),
        "Epochs to target": config.NumberColumn(
            f"Epochs to {target}",
            format="%.1f",
            width=104,
            help=f"First epoch with a PublicTest accuracy of {target}, mean over the seeds.",
        ),
        "n": config.NumberColumn("n", format="localized", width=60),
        "Runs": config.NumberColumn("Seeds", format="%d", width=56),
        "Spread": config.NumberColumn("± SD", format="%.2f", width=60),
        "Epoch": config.NumberColumn("s per epoch", format="%.0f", help="Median.", width=90),
        "Parameters": config.NumberColumn("Parameters", format="localized", width=94),
    }
