"""The sections of the Overview page: key figures, leaderboard, trade-off chart, next steps."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.analysis import leaderboard as boards
from dashboard.analysis import run_properties
from dashboard.analysis.leaderboard import Board, Entry
from dashboard.charts import tradeoff_charts
from dashboard.charts.tradeoff_charts import TradeOffPoint
from dashboard.components import (
    column_formats,
    deferred,
    export_menu,
    page_links,
    plot,
    run_picker,
    url_widgets,
)
from dashboard.state import comparison_cache, run_cache
from dashboard.tables import leaderboard_table
from fercore.reproduction import published_figures
from fercore.runs.reader import Run
from fercore.runs.recreate import has_network

_SMALL = 1_000_000
_VISIT = "overview visit"
_LEAD_HELP = (
    "Its lead over each of the others: McNemar's exact test at 0.05, corrected by Holm's method. "
    "The test is about other images, not about other training seeds."
)
_DATASETS = {
    "fer2013": "FER2013",
    "ckplus": "CK+",
    "lfw_emotion": "LFW",
    "fer2013-aligned": "FER2013 aligned",
}


def pick_dataset(names: Sequence[str]) -> str:
    """Let the visitor select a dataset."""
    titles = {name: _DATASETS.get(name, name) for name in names}
    if len(titles) == 1:
        return names[0]
    return url_widgets.segmented_control("Dataset", titles, key="dataset")


def pick_board(runs: Sequence[Run], dataset: str) -> Board:
    """Let the visitor select a protocol; experiments under different ones are not comparable."""
    candidates = comparison_cache.boards(runs, dataset)
    titles: dict[str, str] = {}
    for place, board in enumerate(candidates):
        count = len(board.entries)
        noun = "experiment" if count == 1 else "experiments"
        titles[str(place)] = f"{board.title} · {count} {noun}"
    selected = "0"
    if len(titles) > 1:
        selected = (
            url_widgets.selectbox(
                "Protocol",
                titles,
                key="protocol",
                implied=True,
                width=270,
                help="Experiments are ranked only among those with the same test images and "
                "classes, divided in the same way.",
            )
            or "0"
        )
    return candidates[int(selected)]


def pick_kinds(board: Board) -> list[Entry]:
    """Let the visitor select which kinds of experiments are listed."""
    present = [kind for kind in boards.KINDS if any(e.kind == kind for e in board.entries)]
    if len(present) < 2:
        return list(board.entries)
    default = [kind for kind in present if kind != "ablation"]
    selected = url_widgets.pills(
        "Show", {kind: boards.KINDS[kind] for kind in present}, key="kinds", default=default
    )
    return [entry for entry in board.entries if entry.kind in (selected or present)]


def introduction(runs: Sequence[Run], board: Board) -> None:
    """Say in one sentence what the page ranks, and on which images."""
    first = board.entries[0]
    result = first.results[0]
    systems = len(published_figures.systems())
    counted = boards.groups_of(first)
    folds = first.run.config is not None and first.run.config.protocol.by_folds
    validation = run_properties.result_of(first.run, "validation")
    name = f", {formats.markdown(validation.title)}" if validation and not folds else ""
    by = f"accuracy on the validation split{name}"
    tested = board.title if folds else run_properties.display_title(result.title)
    st.caption(
        f"{len(runs):,} runs · {systems} published systems · our own models. Test accuracy on "
        f"{formats.markdown(tested)} (n = {first.n:,}{', ' + counted if counted else ''}). Models "
        f"are ranked by {by}, so that the test split selects nothing."
    )


def cards(runs: Sequence[Run], board: Board) -> None:
    """Show four key figures, each with a link to its run."""
    with st.grid(4, min_column_width=165, gap="small"):
        _card(
            "Recommended",
            ":material/star:",
            board.recommended,
            boards.RECOMMENDED_HELP,
            "Smallest single model within one standard error of the best, on validation.",
            try_it=True,
        )
        _card(
            "Most accurate",
            ":material/trophy:",
            board.best,
            f"{boards.BEST_HELP} {_LEAD_HELP}",
            _lead(board.best, board.entries),
        )
        _card(
            "Best under 1 M parameters",
            ":material/compress:",
            board.best_under(_SMALL),
            "The highest accuracy on the validation split among models with fewer than one "
            f"million parameters, test-time augmentation included. {_LEAD_HELP}",
            _lead(board.best_under(_SMALL), board.under(_SMALL)),
        )
        _papers_card(runs)


def _lead(best: Entry | None, entries: Sequence[Entry]) -> str:
    if best is None:
        return ""
    differences = comparison_cache.differences_to(best, tuple(entries))
    return boards.describe_lead(best, entries, differences)


def _card(
    label: str,
    icon: str,
    entry: Entry | None,
    explanation: str,
    reason: str,
    *,
    try_it: bool = False,
) -> None:
    with st.container(border=True, height="stretch", gap="xxsmall"):
        st.markdown(f"{icon} {label}", help=explanation)
        if entry is None:
            st.caption("No experiment with a validation split.")
            return
        low, high = entry.interval
        st.metric(
            formats.markdown(entry.title),
            formats.percent(entry.accuracy, 1),
        )
        spread = f" · ± {100 * entry.spread:.1f} SD over {entry.repeats}" if entry.spread else ""
        validation = entry.validation
        facts = [
            f"95% CI {formats.interval(low, high, 1)}{spread}",
            f"validation {formats.percent(validation, 1)}" if validation is not None else "",
            f"{_count(entry.parameters)} parameters" if entry.parameters else "",
            f"{entry.latency_ms:.2f} ms per face" if entry.latency_ms is not None else "",
        ]
        st.caption(" · ".join(text for text in facts if text))
        if reason:
            st.caption(formats.markdown(reason))
        with st.container(horizontal=True, gap="small"):
            _link(page_links.RUN_PAGE, ":primary[Details]", {"run": entry.run.id})
            if try_it:
                query = {"networks": entry.run.id}
                _link(page_links.PHOTO_PAGE, ":primary[Photo]", query)
                _link(page_links.LIVE_PAGE, ":primary[Webcam]", query)


def _papers_card(runs: Sequence[Run]) -> None:
    states = comparison_cache.paper_statuses(runs)
    count = sum(states.values())
    with st.container(border=True, height="stretch", gap="xxsmall"):
        st.markdown(
            ":material/menu_book: Published results",
            help="Test accuracies that the papers print, beside ours under the paper's protocol.",
        )
        st.metric("Matched or exceeded", f"{states['reached']} of {count}")
        rest = [
            f"{states['within']} within the 95% CI" if states["within"] else "",
            f"{states['short']} below" if states["short"] else "",
            f"{states['missing']} not trained yet" if states["missing"] else "",
        ]
        st.caption(" · ".join(text for text in rest if text) or "All of them.")
        _link(page_links.PAPERS_PAGE, ":primary[Paper by paper]")


def leaderboard(board: Board, entries: Sequence[Entry]) -> None:
    """Show the experiments as a table whose selected rows lead to the other pages."""
    if not entries:
        st.info("No experiment of this kind.", icon=":material/filter_alt_off:")
        return
    differences = comparison_cache.differences_to(board.recommended, tuple(board.entries))
    table = leaderboard_table.leaderboard_table(entries, board.recommended, differences)
    _ticks_from_address()
    st.subheader("Leaderboard", anchor=False, help="Select rows to compare them.")
    actions = st.container(horizontal=True, vertical_alignment="center", gap="small")
    ticked = set(run_picker.selected_runs())
    ids = [entry.run.id for entry in entries]
    visit = st.session_state.get(_VISIT, 0)
    event = st.dataframe(
        table,
        hide_index=True,
        column_config=_columns(),
        key=f"leaderboard-{visit}-{hash(tuple(ids))}",
        on_select=_ticked,
        selection_mode="multi-row",
        selection_default={
            "selection": {"rows": [i for i, run_id in enumerate(ids) if run_id in ticked]}
        },
        placeholder=formats.DASH,
        height="content" if len(entries) <= 20 else 740,
        alt="Experiments with their accuracy and their cost",
    )
    selected = [ids[row] for row in event.selection.rows if row < len(ids)]
    hidden = [run_id for run_id in run_picker.selected_runs() if run_id not in ids]
    run_picker.select_runs([*hidden, *selected])
    url_widgets.sync_query("runs", run_picker.selected_runs())
    with actions:
        _actions(selected, table)


def _columns() -> dict[str, Any]:
    config = st.column_config
    percent = column_formats.percent
    return {
        "Model": config.TextColumn("Model", pinned=True, width=310),
        "Accuracy": percent(
            "Accuracy",
            "On the test split without images that also occur in training, where the protocol "
            "allows it. Mean over the seeds.",
            width=80,
        ),
        "95% CI": config.TextColumn("95% CI", help=column_formats.INTERVAL_HELP, width=102),
        "Spread": config.NumberColumn(
            "± SD", format="%.1f", width=54, help="Standard deviation over seeds, in points."
        ),
        "To recommended": config.TextColumn(
            "vs. recommended",
            width=130,
            help="Difference in percentage points where McNemar's exact test, corrected by Holm's "
            "method for all experiments of the table, tells the two apart at 0.05.",
        ),
        "Validation": percent(
            "Validation", "Accuracy on the validation split, which ranks the table.", width=82
        ),
        "Macro-F1": percent("Macro-F1", "Mean F1 over the classes.", width=82),
        "Parameters": config.NumberColumn("Params", format="compact", width=62),
        "MACs": config.NumberColumn(
            "MACs",
            format="compact",
            width=60,
            help="Multiply-accumulate operations for one face, all members and views included.",
        ),
        "Latency": config.NumberColumn(
            "ms/face", format="%.2f", width=68, help="ONNX Runtime, one face at a time, one core."
        ),
        "Worst class": config.TextColumn(
            "Worst class", help="The class with the lowest recall.", width=104
        ),
        "Published": percent("Published", "As the paper prints it.", width=84),
        "Seeds": config.NumberColumn("Seeds", format="%d", width=58),
    }


def _actions(selected: Sequence[str], table: pd.DataFrame) -> None:
    count = f" ({len(selected)})" if selected else ""
    several = 2 <= len(selected) <= 8
    if st.button(
        f"Compare{count}", type="primary", icon=":material/compare_arrows:", disabled=not several
    ):
        st.switch_page(page_links.COMPARE_PAGE, query_params={"runs": list(selected)})
    if st.button(
        "Confusion matrices", icon=":material/grid_on:", disabled=not 1 <= len(selected) <= 8
    ):
        st.switch_page(page_links.CONFUSION_PAGE, query_params={"runs": list(selected)})
    if st.button("Run details", icon=":material/monitoring:", disabled=len(selected) != 1):
        st.switch_page(page_links.RUN_PAGE, query_params={"run": selected[0]})
    if st.button(
        "Try on a photo",
        icon=":material/add_a_photo:",
        disabled=not (1 <= len(selected) <= 4 and all(map(_can_predict, selected))),
        help="Up to four models with a network (`model.onnx`) here. Ensembles have none.",
    ):
        st.switch_page(page_links.PHOTO_PAGE, query_params={"networks": list(selected)})
    export_menu.menu("leaderboard", lambda: table)


def trade_off(board: Board, entries: Sequence[Entry]) -> None:
    """Show accuracy against a cost, with the Pareto front; a click opens the run."""
    costs = {
        key: (title, {e.run.id: value for e in entries if (value := read(e)) is not None})
        for key, (title, read) in _COSTS.items()
    }
    options = {key: title for key, (title, values) in costs.items() if len(values) > 1}
    if not options:
        return
    st.subheader("Accuracy and cost", anchor=False)
    cost = url_widgets.segmented_control(
        "Cost", {key: _SHORT[key] for key in options}, key="cost", label_visibility="collapsed"
    )
    title, values = costs[cost]
    ticked = set(run_picker.selected_runs())
    points = [
        TradeOffPoint(
            run_id=entry.run.id,
            label=entry.title,
            kind=boards.KINDS[entry.kind],
            cost=values[entry.run.id],
            accuracy=entry.accuracy,
            low=entry.interval[0],
            high=entry.interval[1],
            is_labelled=entry.run.id in ticked or entry is board.recommended,
        )
        for entry in entries
        if entry.run.id in values
    ]

    def draw() -> None:
        plot.plot(
            tradeoff_charts.trade_off(points, title, plot.theme_mode()),
            "accuracy-and-cost",
            f"Accuracy against {_SHORT[cost].lower()}",
            on_click=_open_run,
        )

    deferred.draw_later(draw, height=420)
    st.caption("Error bars: 95% CI. Dashed line: Pareto front. Click a point to open its run.")


_COSTS: dict[str, tuple[str, Any]] = {
    "parameters": ("Parameters", lambda entry: entry.parameters),
    "macs": ("Multiply-accumulate operations per face", lambda entry: entry.macs),
    "latency": ("Latency (ms per face, one CPU core)", lambda entry: entry.latency_ms),
}
_SHORT = {"parameters": "Parameters", "macs": "MACs", "latency": "Latency"}


def next_steps(board: Board) -> None:
    """Show the most frequent errors, and where to try and to train a model."""
    with st.grid(3, min_column_width=300, gap="small"):
        with st.container(border=True, height="stretch"):
            _confusions(board)
        with st.container(border=True, height="stretch"):
            st.markdown("**Try it**")
            run = board.recommended.run.id if board.recommended else None
            networks = {"networks": run} if run else None
            _link(page_links.PHOTO_PAGE, "Predict on a photo", networks, ":material/add_a_photo:")
            _link(page_links.LIVE_PAGE, "Use the webcam", networks, ":material/videocam:")
            _link(
                page_links.AUGMENTATION_PAGE,
                "Preview the augmentation",
                None,
                ":material/auto_fix_high:",
            )
            st.caption("Photos and video frames stay on this machine.")
        with st.container(border=True, height="stretch"):
            st.markdown("**Train your own**")
            st.code("fercore train synthetic-quick", language="bash")
            st.caption("A training appears on this page as soon as it starts.")
            _link(page_links.DATA_PAGE, "Add a dataset", None, ":material/dataset:")


def _confusions(board: Board) -> None:
    st.markdown("**Most frequent errors** (true → predicted)")
    entries = [entry for entry in (board.best, board.recommended) if entry]
    if not entries:
        st.caption("No experiment with a validation split.")
    for entry in dict.fromkeys(entries):
        result = run_properties.result_of(entry.run, board.split)
        if result is None:
            continue
        st.caption(formats.markdown(entry.title))
        for true, predicted, count, share in leaderboard_table.confusions(result, 3):
            st.page_link(
                page_links.CONFUSION_PAGE,
                label=f"**{true} → {predicted}**: {count:,} faces, {share:.0%} of {true}",
                query_params={"runs": [entry.run.id], "true": true, "said": predicted},
            )


def _can_predict(run_id: str) -> bool:
    run = run_cache.find_run(run_id)
    return run is not None and has_network(run)


def _link(
    page: str, label: str, query: dict[str, Any] | None = None, icon: str | None = None
) -> None:
    st.page_link(page, label=label, icon=icon, query_params=query)


def _open_run(custom: list[Any]) -> None:
    st.switch_page(page_links.RUN_PAGE, query_params={"run": custom[0]})


def _ticks_from_address() -> None:
    wanted = url_widgets.pending_value("runs")
    if wanted is None or wanted == run_picker.selected_runs():
        return
    run_picker.select_runs(wanted)
    # Another table: one that is there already keeps its own ticks.
    st.session_state[_VISIT] = st.session_state.get(_VISIT, 0) + 1


def _ticked() -> None:
    url_widgets.mark_changed("runs")


def _count(number: int) -> str:
    if number < 1_000_000:
        return f"{number / 1e3:.0f} k"
    return f"{number / 1e6:.1f} M"
