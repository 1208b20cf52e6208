"""Tables of runs as data frames: pure functions, no Streamlit.

May import `dashboard.analysis` and `dashboard.charts`. To add a table, add a function to the
module of its page, and the formats of its columns to `dashboard.components.column_formats`.
"""
