"""The script that Streamlit runs for every visitor: the list of pages, and the requested page.

A page is a folder in `app_pages/` and an entry here.
"""

from pathlib import Path

import streamlit as st

from dashboard.components import run_picker, saved_views, scrolling, url_widgets

# In pixels: wide enough for the titles of the pages; the tables need the rest.
SIDEBAR_WIDTH = 226
# A file, because the browser would load Streamlit's own icons from another server.
LOGO = Path(__file__).parent / "assets" / "logo.svg"
st.set_page_config(
    page_title="fercore", page_icon=LOGO, layout="wide", initial_sidebar_state=SIDEBAR_WIDTH
)
st.logo(LOGO)

pages = {
    "Results": [
        st.Page(
            "app_pages/overview/overview.py",
            title="Overview",
            icon=":material/leaderboard:",
            help="The leaderboard, the recommended network, and what to do next.",
            default=True,
        ),
        st.Page(
            "app_pages/runs/runs.py",
            title="Runs",
            icon=":material/table_rows:",
            help="All training runs with their results, and running trainings.",
        ),
        st.Page(
            "app_pages/compare/compare.py",
            title="Compare",
            icon=":material/compare_arrows:",
            help="Runs side by side: metrics, significance, curves, differences.",
        ),
        st.Page(
            "app_pages/confusion/confusion.py",
            title="Confusion matrices",
            icon=":material/grid_on:",
            help="Confusion matrices of runs, and the samples of each cell.",
        ),
        st.Page(
            "app_pages/run/run.py",
            title="Run details",
            icon=":material/monitoring:",
            help="One run, updated live while it trains.",
        ),
    ],
    "Try it": [
        st.Page(
            "app_pages/photo/photo.py",
            title="Photo",
            icon=":material/add_a_photo:",
            help="The faces of a photo, and the predictions of one or several networks.",
        ),
        st.Page(
            "app_pages/live/live.py",
            title="Webcam",
            icon=":material/videocam:",
            help="Faces in the camera image, tracked and classified by one or two networks.",
        ),
    ],
    "Data": [
        st.Page(
            "app_pages/data/data.py",
            title="Datasets",
            icon=":material/dataset:",
            help="The installed datasets, their samples and their quality.",
        ),
        st.Page(
            "app_pages/augmentation/augmentation.py",
            title="Augmentation",
            icon=":material/auto_fix_high:",
            help="Previews of augmented training images.",
        ),
    ],
    "Papers": [
        st.Page(
            "app_pages/papers/papers.py",
            title="Paper reproductions",
            icon=":material/menu_book:",
            help="Published results and ours, under the paper's protocol and a clean one.",
        ),
    ],
}
page = st.navigation(pages)
# The browser's tab and its history name the page.
st.set_page_config(page_title=f"{page.title} · fercore")
visit = url_widgets.begin(page.url_path, run_picker.selected_runs())
saved_views.show({item.url_path: item for group in pages.values() for item in group}, page.url_path)
scrolling.scroll_to_top(visit)
page.run()
