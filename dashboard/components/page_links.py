"""The scripts of the pages, for `st.page_link` and `st.switch_page`."""

RUNS_PAGE = "app_pages/runs/runs.py"
COMPARE_PAGE = "app_pages/compare/compare.py"
CONFUSION_PAGE = "app_pages/confusion/confusion.py"
RUN_PAGE = "app_pages/run/run.py"
PHOTO_PAGE = "app_pages/photo/photo.py"
