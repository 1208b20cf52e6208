"""Saliency maps of the faces on the Photo page."""

import hashlib
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import formats
from dashboard.app_pages.photo.view import View
from dashboard.state import network_cache
from fercore.errors import UserError
from fercore.explain.occlusion import occlusion
from fercore.inference.predictor import Prediction
from fercore.runs.reader import Run

_MAPS = "photo:maps"
MAX_KEPT = 600
# Blue, green, red: what speaks for the class, and against it.
_FOR = np.array([30.0, 90.0, 240.0])
_AGAINST = np.array([220.0, 120.0, 20.0])
SALIENCY_METHODS = {"off": "Off", "occlusion": "Occlusion", "grad-cam": "Grad-CAM"}
SALIENCY_HELP = (
    "Occlusion: where the probability of the answer falls (red) or rises (blue) when the image is "
    "blurred there. Grad-CAM: which places of the last feature map speak for the answer; coarse, "
    "for that map has few places."
)


def shorten(kept: dict[Any, Any], most: int) -> None:
    """Drop the oldest entries until at most `most` are left."""
    while len(kept) > most:
        del kept[next(iter(kept))]


def heatmap(entry: Prediction, view: View) -> NDArray[np.uint8]:
    """Lay the saliency map of the explained network over a face: `(208, 208, 3)` RGB."""
    import cv2

    run_id = view.explained or ""
    crop = entry.crops[run_id]
    rests = saliency_map(view, crop, int(entry.probabilities[run_id].argmax()))
    size = (208, 208)
    grey = cv2.resize(crop, size, interpolation=cv2.INTER_NEAREST).astype(np.float32)[..., None]
    strength = cv2.resize(rests / max(float(np.abs(rests).max()), 1e-6), size)[..., None]
    tint = np.where(strength > 0, _FOR, _AGAINST)
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
    kept: dict[tuple[Any, ...], NDArray[np.float32]] = st.session_state.setdefault(_MAPS, {})
    run = view.runs[view.explained or ""]
    pixels = hashlib.sha256(crop.tobytes()).digest()
    key = (network_cache.network_signature(run), view.how, class_index, pixels)
    if key not in kept:
        if view.how == "grad-cam":
            kept[key] = network_cache.grad_cam(run)(crop, class_index)
        else:
            kept[key] = occlusion(network_cache.network(run), crop, class_index)
        shorten(kept, MAX_KEPT)
    return kept[key]
