"""Compare: two or more runs side by side."""

import streamlit as st

from dashboard.app_pages.compare import (
    baseline_section,
    exports,
    hyper_parameters_section,
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
menu, contents = st.container(), st.container()
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
drawn = {"significance": baseline is not None}
if view.evaluated:
    sections.matrices(view)
    class_metrics.class_metrics(view)
drawn["matrices"] = drawn["per-class"] = bool(view.evaluated)
drawn["ranking"] = ranking_section.section(view)
drawn["cost"] = sections.costs(view)
sections.networks(view, baseline)
drawn["hyper-parameters"] = hyper_parameters_section.section(view)
sections.differences(view)
with contents:
    sections.contents([anchor for anchor, is_drawn in drawn.items() if not is_drawn])
