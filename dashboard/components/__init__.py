"""Widgets and sections that several pages share.

May import Streamlit, `dashboard.tables`, `dashboard.state`, `dashboard.charts` and what these
import. What only one page needs belongs in its folder under `dashboard.app_pages`.
"""
