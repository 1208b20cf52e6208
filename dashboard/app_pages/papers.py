"""Papers: every published figure beside ours, what was found of each system, and our own."""

import streamlit as st

from dashboard import cached, exports, linked, own, published
from fercore import papers

st.title("Papers", anchor=False)
runs = cached.list_runs()
rows = cached.paper_rows(runs)
published.summary(rows)
titles = {"all": "All"} | {system.key: published.short(system) for system in papers.systems()}
titles[own.KEY] = "Ours"
chosen = linked.choice("System", titles, key="system")
shown = [row for row in rows if chosen in {"all", row.row.system}]
exports.menu(
    "goals" if chosen == own.KEY else "papers",
    lambda: own.exported(runs) if chosen == own.KEY else published.exported(shown),
)
for system in papers.systems():
    if chosen in {"all", system.key}:
        published.section(system, [row for row in rows if row.row.system == system.key])
if chosen in {"all", own.KEY}:
    own.section(runs)
