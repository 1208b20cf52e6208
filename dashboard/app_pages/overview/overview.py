"""Overview: which model is best on a dataset, and what to do next."""

import streamlit as st

from dashboard.app_pages.overview import sections
from dashboard.components import active_trainings, empty_state
from dashboard.state import comparison_cache, run_cache

st.title("Which model recognizes facial expressions best?", anchor=False)
runs = run_cache.list_runs()
# A dataset may have nothing to rank yet, such as single folds.
datasets = [name for name in comparison_cache.datasets(runs) if comparison_cache.boards(runs, name)]
if not datasets:
    empty_state.no_runs()
    active_trainings.show(runs)
    st.stop()

intro = st.container()
with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
    dataset = sections.pick_dataset(datasets)
    board = sections.pick_board(runs, dataset)
    entries = sections.pick_kinds(board)
with intro:
    sections.introduction(runs, board)
active_trainings.show(runs)
sections.cards(runs, board)
sections.leaderboard(board, entries)
sections.trade_off(board, entries)
sections.next_steps(board)
