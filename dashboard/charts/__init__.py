"""Charts as Plotly figures and Vega-Lite specifications: pure functions, no Streamlit.

Only this package uses Plotly. May import `fercore` and `dashboard.formats`. To add a chart, add a
function with the decorator `base.cached_figure` to the module of its subject.
"""
