"""Runs as data frames: pure functions, no Streamlit.

May import `dashboard.analysis` and `dashboard.charts.theme`.
"""
