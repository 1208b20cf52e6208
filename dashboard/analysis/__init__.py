"""Properties that follow from runs' records: pure functions, no Streamlit.

May import `fercore` and `dashboard.formats`.
"""
