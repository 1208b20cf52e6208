"""Compare: two or more runs side by side."""

import streamlit as st

from dashboard.app_pages.compare import (
    baseline_section,
    exports,
    ranking_section,
    sections,
    training_section,
)
from dashboard.components import (
    class_metrics,
    compared_runs,
    empty_state,
    page_links,
    run_picker,
)
from dashboard.state import run_cache

st.title("Compare", anchor=False)
readable = {run.id: run for run in run_cache.list_runs() if run.config}
if not readable:
    empty_state.no_runs()
    st.stop()

picked = run_picker.pick_runs(readable)
if len(picked) < 2:
    missing = "two runs" if not picked else "one more run"
    st.info(
        f"Select at least {missing} above or on the Runs page.",
        icon=":material/compare_arrows:",
    )
    st.page_link(page_links.RUNS_PAGE, label="Go to Runs", icon=":material/table_rows:")
    st.stop()

view = compared_runs.compare([readable[run_id] for run_id in picked])
compared_runs.cautions(view)
menu = st.container()
sections.contents(view)
sections.test_metrics(view)
baseline = baseline_section.section(view)
with menu, st.container(horizontal=True, vertical_alignment="center", gap="medium"):
    exports.menu(view, baseline)
    st.page_link(
        page_links.CONFUSION_PAGE,
        label="Confusion matrices and samples",
        icon=":material/grid_on:",
        query_params={"runs": picked, "split": view.split},
    )
training_section.section(view)
if view.evaluated:
    sections.matrices(view)
    class_metrics.class_metrics(view)
    ranking_section.section(view)
    sections.costs(view)
sections.networks(view, baseline)
sections.differences(view)
