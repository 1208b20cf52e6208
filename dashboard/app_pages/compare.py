"""Compare: two to eight runs side by side."""

import streamlit as st

from dashboard import cached, comparison, exports, pieces, reports, tables, versus

st.title("Compare", anchor=False)
readable = {run.id: run for run in cached.list_runs() if run.config}
if not readable:
    pieces.no_runs()
    st.stop()

picked = pieces.pick_runs(readable)
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
menu = st.container()
comparison.headline(view)
baseline = versus.section(view)
with menu, st.container(horizontal=True, vertical_alignment="center", gap="medium"):
    exports.menu(
        "comparison",
        lambda: tables.headline_table(
            view.runs, view.labels, view.colors, view.evaluations.results
        ),
        lambda: reports.of_comparison(view, baseline),
    )
    st.page_link(
        pieces.CONFUSION_PAGE,
        label="Confusion matrices and faces",
        icon=":material/grid_on:",
        query_params={"runs": picked, "split": view.split},
    )
comparison.training(view)
if view.evaluated:
    comparison.recalls(view)
    comparison.costs(view)
comparison.networks(view, baseline)
comparison.differences(view)
