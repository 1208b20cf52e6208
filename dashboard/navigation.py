"""The script that Streamlit runs for every visitor: the list of pages, and the page asked for.

A page is a folder in `app_pages/` and an entry here.
"""

from pathlib import Path

import streamlit as st

from dashboard.components import url_widgets

# A file, because Streamlit's own icons would be fetched from elsewhere for the browser's tab.
LOGO = Path(__file__).parent / "assets" / "logo.svg"
st.set_page_config(page_title="fercore", page_icon=LOGO, layout="wide")
st.logo(LOGO)

page = st.navigation(
    [
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
            help="Every training run with its figures, and what is training now.",
        ),
        st.Page(
            "app_pages/compare/compare.py",
            title="Compare",
            icon=":material/compare_arrows:",
            help="Two to eight runs side by side: curves, confusions, recall, differences.",
        ),
        st.Page(
            "app_pages/confusion/confusion.py",
            title="Confusion",
            icon=":material/grid_on:",
            help="What runs mistake for what, and the faces behind every cell.",
        ),
        st.Page(
            "app_pages/run/run.py",
            title="Run",
            icon=":material/monitoring:",
            help="One run in full, live while it trains.",
        ),
        st.Page(
            "app_pages/photo/photo.py",
            title="Photo",
            icon=":material/add_a_photo:",
            help="Every face of a photo, and what one or several networks say of it.",
        ),
        st.Page(
            "app_pages/live/live.py",
            title="Live",
            icon=":material/videocam:",
            help="The camera's faces, followed and judged by one network or two.",
        ),
        st.Page(
            "app_pages/papers/papers.py",
            title="Papers",
            icon=":material/menu_book:",
            help="Every published figure beside ours, by the paper's protocol and an honest one.",
        ),
        st.Page(
            "app_pages/data/data.py",
            title="Data",
            icon=":material/dataset:",
            help="Which datasets are here, what they look like, and what is wrong with them.",
        ),
        st.Page(
            "app_pages/augmentation/augmentation.py",
            title="Augmentation",
            icon=":material/auto_fix_high:",
            help="What training sees, drawn by the layers that train.",
        ),
    ],
    position="top",
)
url_widgets.begin(page.url_path)
page.run()
