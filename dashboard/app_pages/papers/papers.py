"""Paper reproductions: published results and ours, our goals and ablation studies."""

import streamlit as st

from dashboard.app_pages.papers import goals_and_ablations, papers_table
from dashboard.components import export_menu, url_widgets
from dashboard.state import comparison_cache, run_cache
from fercore.reproduction import published_figures

st.title("Paper reproductions", anchor=False)
runs = run_cache.list_runs()
rows = comparison_cache.paper_rows(runs)
papers_table.verdicts(rows)
papers_table.tiles(rows)
papers_table.general_notes()
titles = {"all": "All"} | {system.key: system.short_title for system in published_figures.systems()}
titles[goals_and_ablations.KEY] = goals_and_ablations.TITLE
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    selected = url_widgets.segmented_control("System", titles, key="system")
    shown = [row for row in rows if selected in {"all", row.row.system}]
    export_menu.menu(
        "goals" if selected == goals_and_ablations.KEY else "papers",
        lambda: (
            goals_and_ablations.exported(runs)
            if selected == goals_and_ablations.KEY
            else papers_table.exported(shown)
        ),
    )
for system in published_figures.systems():
    if selected in {"all", system.key}:
        papers_table.section(system, [row for row in rows if row.row.system == system.key])
if selected in {"all", goals_and_ablations.KEY}:
    goals_and_ablations.section(runs)
