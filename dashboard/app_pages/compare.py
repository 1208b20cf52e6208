"""Compare: two to eight runs side by side."""

import streamlit as st

from dashboard import cached, comparison, facts, linked, pieces, theme, versus

st.title("Compare", anchor=False)
readable = {run.id: run for run in cached.list_runs() if run.config}
if not readable:
    pieces.no_runs()
    st.stop()

# What was ticked on the Runs page, where the address does not say otherwise.
if "runs" not in st.query_params and (remembered := pieces.chosen()):
    st.query_params["runs"] = remembered[: theme.MAX_COMPARED]
names = facts.labels(list(readable.values()))
picked = linked.picks(
    "Runs", names, key="runs", limit=theme.MAX_COMPARED, placeholder="Choose two to eight runs"
)
pieces.choose(picked)
if len(picked) < 2:
    missing = "two runs" if not picked else "one more run"
    st.info(
        f"Choose at least {missing} above, or tick rows on the Runs page.",
        icon=":material/compare_arrows:",
    )
    st.page_link(pieces.RUNS_PAGE, label="Go to Runs", icon=":material/table_rows:")
    st.stop()

view = comparison.compared([readable[run_id] for run_id in picked])
comparison.cautions(view)
comparison.headline(view)
versus.section(view)
comparison.curves(view)
if view.evaluated:
    comparison.confusions(view)
    comparison.recalls(view)
comparison.networks(view)
comparison.differences(view)
