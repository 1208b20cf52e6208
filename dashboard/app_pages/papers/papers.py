"""Papers: every published figure beside ours, what was found of each system, and our own."""

import streamlit as st

from dashboard.app_pages.papers import goals_and_ablations, published
from dashboard.components import export_menu, url_widgets
from dashboard.state import comparison_cache, run_cache
from fercore.reproduction import published_figures

st.title("Papers", anchor=False)
runs = run_cache.list_runs()
rows = comparison_cache.paper_rows(runs)
published.summary(rows)
titles = {"all": "All"} | {
    system.key: published.short(system) for system in published_figures.systems()
}
titles[goals_and_ablations.KEY] = "Ours"
chosen = url_widgets.segmented_control("System", titles, key="system")
shown = [row for row in rows if chosen in {"all", row.row.system}]
export_menu.menu(
    "goals" if chosen == goals_and_ablations.KEY else "papers",
    lambda: (
        goals_and_ablations.exported(runs)
        if chosen == goals_and_ablations.KEY
        else published.exported(shown)
    ),
)
for system in published_figures.systems():
    if chosen in {"all", system.key}:
        published.section(system, [row for row in rows if row.row.system == system.key])
if chosen in {"all", goals_and_ablations.KEY}:
    goals_and_ablations.section(runs)
