"""Saliency maps of faces, computed once per session and laid over the crop."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import formats
from dashboard.app_pages.photo.upload_section import MAPS
from dashboard.app_pages.photo.view import View
from dashboard.charts.data_urls import jpeg_data_url
from dashboard.state import network_cache
from fercore.errors import UserError
from fercore.explain.occlusion import occlusion_map
from fercore.inference.predictor import Prediction
from fercore.runs.reader import Run

# Maximum number of maps, and of photos with predictions, that a session keeps.
MAX_CACHED = 600
# Colours of pixels that support the class and of those that contradict it: blue, green, red.
_SUPPORTING = np.array([30.0, 90.0, 240.0])
_CONTRADICTING = np.array([220.0, 120.0, 20.0])
_MAP_SIZE = (208, 208)
SALIENCY_METHODS = {"off": "Off", "occlusion": "Occlusion", "grad-cam": "Grad-CAM"}
SALIENCY_HELP = (
    "Occlusion: where the probability of the predicted class falls (red) or rises (blue) when the "
    "image is blurred. Grad-CAM: positions of the last feature map that support the predicted "
    "class, at the map's low resolution."
)


def drop_oldest(entries: dict[Any, Any], maximum: int) -> None:
    """Remove the oldest entries of a dictionary until at most `maximum` are left."""
    while len(entries) > maximum:
        del entries[next(iter(entries))]


def heatmap_url(prediction: Prediction, run_id: str, view: View) -> str:
    """Return a face with the saliency map of one network's prediction, as a data URL.

    The picture has 208 x 208 pixels. It is computed once per session.

    Args:
        prediction: for the face.
        run_id: of the network.
        view: the visitor's selection.
    """
    cache: dict[tuple[Any, ...], str] = st.session_state.setdefault(MAPS, {})
    crop, class_index = prediction.crops[run_id], int(prediction.probabilities[run_id].argmax())
    pixels = hashlib.sha256(crop.tobytes()).digest()
    run = view.runs[run_id]
    key = (network_cache.network_signature(run), view.saliency_method, class_index, pixels)
    if key not in cache:
        saliency = _saliency_map(run, view.saliency_method, crop, class_index)
        cache[key] = jpeg_data_url(_heatmap(crop, saliency), quality=85)
        drop_oldest(cache, MAX_CACHED)
    return cache[key]


def runs_with_maps(runs: Mapping[str, Run], method: str) -> tuple[str, ...]:
    """Return the ids of the runs that a method works on; warn on the page about the others."""
    if method == "off":
        return ()
    return tuple(
        run_id for run_id, run in runs.items() if method != "grad-cam" or _supports_grad_cam(run)
    )


def _supports_grad_cam(run: Run) -> bool:
    try:
        network_cache.grad_cam(run)
    except UserError as error:
        st.warning(formats.markdown(str(error)), icon=":material/blur_off:")
        return False
    return True


def _saliency_map(
    run: Run, method: str, crop: NDArray[np.uint8], class_index: int
) -> NDArray[np.float32]:
    """Return the saliency of each pixel of a crop for one class, `(height, width)`."""
    if method == "grad-cam":
        return network_cache.grad_cam(run)(crop, class_index)
    return occlusion_map(network_cache.network(run), crop, class_index)


def _heatmap(crop: NDArray[np.uint8], saliency: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a saliency map over a face: `(208, 208, 3)` uint8, blue, green, red."""
    import cv2

    enlarged = cv2.resize(crop, _MAP_SIZE, interpolation=cv2.INTER_NEAREST)
    grey = enlarged.astype(np.float32)[..., None]
    normalized = saliency / max(float(np.abs(saliency).max()), 1e-6)
    strength = cv2.resize(normalized, _MAP_SIZE)[..., None]
    tint = np.where(strength > 0, _SUPPORTING, _CONTRADICTING)
    weight = 0.65 * np.abs(strength)
    return np.asarray(grey * (1 - weight) + tint * weight, np.uint8)
