"""Data to Plotly and Altair charts: pure functions, no Streamlit.

The only home of Plotly and Altair. May import `fercore` and `dashboard.formats`.
"""
