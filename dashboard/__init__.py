"""The Streamlit workbench over the run directories that `fercore` writes."""
