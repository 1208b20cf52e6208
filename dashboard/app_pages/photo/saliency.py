"""Saliency maps of faces, computed once per session and laid over the crop."""

import hashlib
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import formats
from dashboard.app_pages.photo.view import View
from dashboard.state import network_cache
from fercore.errors import UserError
from fercore.explain.occlusion import occlusion_map
from fercore.inference.predictor import Prediction
from fercore.runs.reader import Run

_CACHE_KEY = "photo:maps"
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


def heatmap(prediction: Prediction, view: View) -> NDArray[np.uint8]:
    """Lay the saliency map of the explained network over a face.

    Returns:
        `(208, 208, 3)` uint8, blue, green, red.
    """
    import cv2

    run_id = view.explained or ""
    crop = prediction.crops[run_id]
    saliency = saliency_map(view, crop, int(prediction.probabilities[run_id].argmax()))
    enlarged = cv2.resize(crop, _MAP_SIZE, interpolation=cv2.INTER_NEAREST)
    grey = enlarged.astype(np.float32)[..., None]
    normalized = saliency / max(float(np.abs(saliency).max()), 1e-6)
    strength = cv2.resize(normalized, _MAP_SIZE)[..., None]
    tint = np.where(strength > 0, _SUPPORTING, _CONTRADICTING)
    weight = 0.65 * np.abs(strength)
    return np.asarray(grey * (1 - weight) + tint * weight, np.uint8)


def supports_grad_cam(run: Run) -> bool:
    """Return whether Grad-CAM works on a run's network; warn on the page if it does not."""
    try:
        network_cache.grad_cam(run)
    except UserError as error:
        st.warning(formats.markdown(str(error)), icon=":material/blur_off:")
        return False
    return True


def saliency_map(view: View, crop: NDArray[np.uint8], class_index: int) -> NDArray[np.float32]:
    """Return the saliency of each pixel of a crop for one class, `(height, width)`."""
    cache: dict[tuple[Any, ...], NDArray[np.float32]]
    cache = st.session_state.setdefault(_CACHE_KEY, {})
    run = view.runs[view.explained or ""]
    pixels = hashlib.sha256(crop.tobytes()).digest()
    key = (network_cache.network_signature(run), view.saliency_method, class_index, pixels)
    if key not in cache:
        if view.saliency_method == "grad-cam":
            cache[key] = network_cache.grad_cam(run)(crop, class_index)
        else:
            cache[key] = occlusion_map(network_cache.network(run), crop, class_index)
        drop_oldest(cache, MAX_CACHED)
    return cache[key]
