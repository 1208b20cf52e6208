"""The hyper-parameters of the compared runs: parallel coordinates and a table, linked."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard import formats
from dashboard.charts import parallel_charts
from dashboard.charts.parallel_charts import Axis
from dashboard.components import plot, url_widgets
from dashboard.components.compared_runs import Compared
from dashboard.tables import hyper_parameters
from fercore.runs.reader import Run

_MARKED, _VISIT = "marked runs", "marked runs visit"


def section(view: Compared) -> bool:
    """Draw the settings in which the trained runs differ; return whether there are any.

    Runs that are marked in the chart, by a box, are ticked in the table, and the other way round.
    """
    runs = [run for run in view.runs if run.experiment]
    settings = hyper_parameters.differing_settings(runs) if len(runs) > 1 else []
    if not settings:
        return False
    st.subheader("Hyper-parameters", anchor="hyper-parameters")
    keys = url_widgets.multiselect(
        "Settings",
        {key: hyper_parameters.setting_title(key) for key in settings},
        key="settings",
        limit=12,
        default=settings[: hyper_parameters.MAX_AXES],
        placeholder="Select settings",
    )
    marked = _marked_runs(runs)
    axes = hyper_parameters.axes_of(runs, keys)
    _chart(view, runs, axes, marked)
    _table(view, runs, axes, marked)
    if len(marked) > 1:
        st.button(
            f"Compare only the {len(marked)} marked runs",
            icon=":material/compare_arrows:",
            on_click=_select_runs,
            args=(marked,),
            key="compare-marked",
        )
    if others := [view.labels[run.id] for run in view.runs if not run.experiment]:
        st.caption(f"No settings: {formats.markdown(', '.join(others))} (not trained here).")
    return True


def _marked_runs(runs: Sequence[Run]) -> list[str]:
    """Return the ids of the marked runs, from the URL on arrival, else from the session."""
    from_url = url_widgets.pending_value("marked")
    if from_url is not None:
        _mark(from_url)
    ids = {run.id for run in runs}
    marked = [run_id for run_id in st.session_state.get(_MARKED, []) if run_id in ids]
    url_widgets.sync_query("marked", marked)
    return marked


def _select_runs(run_ids: Sequence[str]) -> None:
    """Set the selection of runs at the top of the page, in a callback."""
    url_widgets.mark_changed("runs")
    st.session_state["runs"] = list(run_ids)


def _mark(run_ids: Sequence[str]) -> None:
    st.session_state[_MARKED] = list(dict.fromkeys(run_ids))
    # A new key for the table: an existing one keeps its own selection.
    st.session_state[_VISIT] = st.session_state.get(_VISIT, 0) + 1


def _chart(
    view: Compared, runs: Sequence[Run], axes: Sequence[Axis], marked: Sequence[str]
) -> None:
    def select(points: list[Any]) -> None:
        url_widgets.mark_changed("marked")
        _mark([point[0] for point in points])

    figure = parallel_charts.parallel_coordinates(
        [run.id for run in runs],
        {run.id: view.labels[run.id] for run in runs},
        axes,
        marked,
        plot.theme_mode(),
    )
    # The key contains the marks, so that the chart forgets its own selection.
    key = f"parallel-{zlib.crc32(','.join(marked).encode())}"
    alt = f"Settings of {len(runs)} runs as parallel coordinates: {_titles(axes)}"
    plot.plot(figure, key, alt, on_box=select, file_name=f"hyper-parameters-{view.file_stem}")
    st.caption(
        "One line per run, coloured by validation accuracy. Mark runs by a box over an axis, or in "
        "the table."
    )


def _titles(axes: Sequence[Axis]) -> str:
    return ", ".join(axis.title for axis in axes)


def _table(
    view: Compared, runs: Sequence[Run], axes: Sequence[Axis], marked: Sequence[str]
) -> None:
    ids = [run.id for run in runs]
    key = f"settings-table-{st.session_state.get(_VISIT, 0)}"
    config = st.column_config
    st.dataframe(
        hyper_parameters.settings_table(runs, view.labels, axes),
        hide_index=True,
        column_config={
            "Run": config.TextColumn("Run", pinned=True, width=250),
            hyper_parameters.METRIC: config.NumberColumn(
                "Validation accuracy", format="%.2f %%", help="Select a run by this one."
            ),
        },
        placeholder=formats.DASH,
        key=key,
        on_select=_on_select(key, ids),
        selection_mode="multi-row",
        selection_default={
            "selection": {"rows": [ids.index(run_id) for run_id in marked if run_id in ids]}
        },
        height="content" if len(ids) <= 15 else 560,
        alt=f"Settings of each run: {_titles(axes)}",
    )


def _on_select(key: str, ids: Sequence[str]) -> Callable[[], None]:
    def select() -> None:
        event = st.session_state.get(key)
        if event is not None:
            url_widgets.mark_changed("marked")
            rows = event["selection"]["rows"]
            st.session_state[_MARKED] = [ids[row] for row in rows if row < len(ids)]

    return select
