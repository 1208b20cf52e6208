"""Papers: every published figure beside ours, and what was found about each system."""

import streamlit as st

from dashboard import cached, exports, linked, published
from fercore import papers

st.title("Papers", anchor=False)
rows = papers.compare(cached.list_runs())
published.summary(rows)
titles = {"all": "All"} | {system.key: published.short(system) for system in papers.systems()}
chosen = linked.choice("System", titles, key="system")
shown = [row for row in rows if chosen in {"all", row.row.system}]
exports.menu("papers", lambda: published.exported(shown))
for system in papers.systems():
    if chosen in {"all", system.key}:
        published.section(system, [row for row in rows if row.row.system == system.key])
