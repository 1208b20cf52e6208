"""HTML reports and table formats: files that open without a server. No Streamlit."""
