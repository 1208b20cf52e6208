"""Widgets to select networks and a face detector."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard import formats
from dashboard.analysis.leaderboard import RECOMMENDED_HELP
from dashboard.components import run_picker, url_widgets
from dashboard.state import comparison_cache, network_cache, run_cache
from fercore.faces import detection
from fercore.paths import data_root
from fercore.runs.reader import Run
from fercore.runs.recreate import has_network, missing_network

# The networks selected last, for the pages that share the selection.
_PICKED = "picked networks"
NO_NETWORK = (
    "No run here has a network (`model.onnx`). Training writes one at its end. For a run that was "
    "trained on JAX, run `fercore export RUN` where TensorFlow is installed, too."
)


def networks(runs: Sequence[Run]) -> dict[str, Run]:
    """Return the finished runs with a network, by id.

    The recommended one is first. Then follow the single networks of the main leaderboard in its
    order, so that the first one is fast, and then all others.
    """
    available = {run.id: run for run in runs if has_network(run)}
    board = comparison_cache.main_board(runs)
    entries = board.entries if board else ()
    ranked = [entry.run.id for entry in entries if entry.is_single_network]
    recommended = comparison_cache.recommended_run(runs)
    first = [recommended.id] if recommended else []
    order = dict.fromkeys([*first, *ranked, *available])
    return {run_id: available[run_id] for run_id in order if run_id in available}


def explain_missing(key: str) -> None:
    """Draw a message for each run in the URL that has no network, with the command to make it.

    Args:
        key: URL parameter that names the runs.
    """
    for run_id in url_widgets.query_values(key):
        run = run_cache.find_run(run_id)
        if run is not None and not has_network(run):
            st.info(formats.markdown(missing_network(run)), icon=":material/hub:")


def pick_networks(runs: Mapping[str, Run], limit: int, placeholder: str) -> list[str]:
    """Draw the selection of networks.

    Args:
        runs: to select from, by id.
        limit: maximum number of networks.
        placeholder: text of the empty widget.

    Returns:
        The ids of the selected runs.
    """
    recommended = comparison_cache.recommended_run(run_cache.known_runs())
    labels = run_cache.labels(list(runs.values()))
    if recommended and recommended.id in labels:
        labels[recommended.id] += " ★"
    default = list(runs)[:1]
    remembered = st.session_state.get(_PICKED) or run_picker.selected_runs()
    offered = [run_id for run_id in remembered if run_id in runs][:limit]
    _explain_left_out([run_id for run_id in remembered if run_id not in runs])
    picked = url_widgets.multiselect(
        "Models",
        labels,
        key="networks",
        limit=limit,
        default=default,
        remembered=offered,
        placeholder=placeholder,
        help="Runs with a network (`model.onnx`) here. At first these are the ones that you "
        "selected on other pages, or else the recommended one. "
        f"★ Recommended: {RECOMMENDED_HELP}",
    )
    # A page that shows fewer networks than another one keeps the others selected.
    if picked != offered and (remembered or picked != default):
        st.session_state[_PICKED] = picked
    return picked


def _explain_left_out(run_ids: Sequence[str]) -> None:
    """Say which of the selected runs cannot predict here, unless the URL selects others."""
    known = {run.id: run for run in run_cache.known_runs()}
    left_out = [known[run_id] for run_id in run_ids if run_id in known]
    if left_out and not url_widgets.query_values("networks"):
        names = run_cache.labels(left_out).values()
        st.caption(
            f"Not offered, because no network (`model.onnx`) is here: "
            f"{formats.markdown(', '.join(names))}. Ensembles are evaluated from the predictions "
            "of their members."
        )


def pick_detector(without: Sequence[detection.DetectorKind] = ()) -> detection.DetectorKind:
    """Draw the selection of the face detector.

    Args:
        without: detectors that are not offered.
    """
    kinds: dict[str, str] = {
        kind: detection.DETECTOR_TITLES[kind]
        for kind in network_cache.detector_kinds()
        if kind not in without
    }
    return url_widgets.segmented_control("Face detector", kinds, key="finder")  # type: ignore[return-value]


def how_to_add_yunet() -> None:
    """Draw the instructions to add YuNet, unless it is installed."""
    if "yunet" not in network_cache.detector_kinds():
        st.caption(
            f"YuNet also detects rotated faces. To add it, put `{detection.YUNET_NAME}` of "
            f"OpenCV's model zoo into `{data_root()}`, or set `FERCORE_YUNET` to its path."
        )
