"""The dashboard's server: `streamlit run dashboard/app.py`.

Before it answers, it imports what the first page needs, reads the run directories and computes the
leaderboard, so that the first visitor need not wait for that. `navigation.py` is the script that
runs for each visitor.
"""

import gc
from importlib import import_module
from pathlib import Path

import streamlit as st

from dashboard.state import comparison_cache, run_cache

# libsrtp, which video streams need, crashes the process if TensorFlow is loaded before it.
import_module("pylibsrtp")
for _module in (
    *(
        "dashboard.app_pages.overview.sections",
        "dashboard.app_pages.runs.sections",
        "dashboard.app_pages.run.sections",
        "dashboard.app_pages.photo.sections",
    ),
    *("pyarrow.pandas_compat", "PIL.Image", "cv2", "onnxruntime"),
):
    import_module(_module)
_runs = run_cache.list_runs()
comparison_cache.paper_statuses(_runs)
if _board := comparison_cache.main_board(_runs):
    for _entry in (_board.recommended, _board.best):
        comparison_cache.differences_to(_entry, _board.entries)
# Streamlit collects garbage after every run of a page: exclude the objects that stay.
gc.collect()
gc.freeze()

app = st.App(Path(__file__).with_name("navigation.py"))
