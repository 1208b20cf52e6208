"""Widgets that several pages share.

May import `dashboard.state`, `dashboard.charts` and what is below them, and Streamlit.
"""
