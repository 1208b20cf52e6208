"""Cached networks, detectors and predictions."""

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.state import comparison_cache
from dashboard.state.dataset_cache import images, preview_function
from dashboard.state.run_cache import list_runs
from dashboard.state.run_store import Signature, signature_of
from fercore.config.augmentation import AugmentationConfig
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.explain.gradcam import GradCam
from fercore.faces.detection import DetectorKind, FaceDetector, load_detector, yunet_file
from fercore.faces.geometry import full_image_face
from fercore.inference.onnx_session import OnnxNetwork
from fercore.inference.predictor import RunClassifier
from fercore.runs.reader import Run
from fercore.runs.recreate import has_network


def probabilities(run: Run, images: NDArray[Any]) -> NDArray[np.float32] | None:
    """Predict images with a run's exported network.

    Args:
        run: with a `model.onnx`.
        images: `(n, height, width)`, levels from 0 to 255.

    Returns:
        `(n, classes)`; `None` if the network cannot be read or takes images of another size.
    """
    network = _network(run.path, signature_of(run.path, "model.onnx"))
    if network is None or images.shape[1:] != network.image_shape:
        return None
    return network(images)


def shown_probabilities(run: Run, images: NDArray[Any]) -> NDArray[np.float32] | None:
    """Return `probabilities` of the few images that a page shows, cached for its reruns."""
    signature = signature_of(run.path, "model.onnx")
    return _shown_probabilities(
        run, images, images.tobytes(), images.shape, images.dtype.str, run.path, signature
    )


def predict_split(run: Run, dataset: str, role: str) -> NDArray[np.float32] | None:
    """Return `probabilities` of one split of an installed dataset."""
    installed = images(dataset)
    assert installed is not None
    faces, fingerprint = installed.splits[role].images, installed.fingerprint
    signature = signature_of(run.path, "model.onnx")
    return _predict_split(run, faces, run.path, signature, fingerprint, role)


def correct_under_augmentation(
    run: Run, faces: NDArray[np.uint8], labels: NDArray[Any], policy: AugmentationConfig
) -> NDArray[np.bool_] | None:
    """Augment faces once and predict them with a run's network.

    Args:
        run: with a `model.onnx`.
        faces: `(n, height, width)` uint8.
        labels: `(n,)` class positions.
        policy: how the faces are augmented.

    Returns:
        `(n,)`, whether each prediction is correct; `None` where `probabilities` has none.
    """
    signature = signature_of(run.path, "model.onnx")
    return _correct_under_augmentation(
        run, faces, labels, faces.tobytes(), run.path, signature, policy.model_dump_json()
    )


def network(run: Run) -> RunClassifier:
    """Return a finished run's classifier, loaded and warmed up once for all visitors.

    Many threads may use it at a time.

    Raises:
        UserError: if it cannot be loaded.
    """
    return _classifier(run, *network_signature(run))


def network_signature(run: Run) -> tuple[Path, Signature]:
    """Return what changes when a run's network changes, or how its outputs are interpreted."""
    return run.path, signature_of(run.path, "model.onnx", "config.json", "results.json")


def grad_cam(run: Run) -> GradCam:
    """Return Grad-CAM of a finished run's network, prepared once for all visitors.

    Raises:
        UserError: if the network has no feature map that Grad-CAM can weight.
    """
    return _grad_cam(run, run.path, signature_of(run.path, "model.onnx"))


def detector(kind: DetectorKind) -> FaceDetector:
    """Return a face detector, shared by all visitors."""
    return _detector(kind, str(yunet_file()))


def detector_kinds() -> list[DetectorKind]:
    """Return the installed face detectors, the default one first."""
    kinds: list[DetectorKind] = ["yunet"] if yunet_file() else []
    kinds.append("haar")
    return [*kinds, "mtcnn"] if importlib.util.find_spec("mtcnn") else kinds


def runs_on(splits: Splits) -> dict[str, Run]:
    """Return the runs on this dataset that have its classes and a network, by run id.

    The recommended network of the dataset is the first, if it is among them.
    """
    runs = list_runs()
    available = _runs_on(tuple(runs), splits.name, splits.class_names)
    recommended = comparison_cache.recommended_run(runs, splits.name)
    first = [recommended.id] if recommended and recommended.id in available else []
    return {run_id: available[run_id] for run_id in dict.fromkeys([*first, *available])}


def embed_split(
    run: Run, dataset: str, role: str, method: Literal["pca", "tsne"]
) -> NDArray[np.float32] | None:
    """Project the features of one split of a dataset onto two dimensions.

    Returns:
        `(n, 2)`; `None` if the network has no dense layer or takes images of another size.
    """
    installed = images(dataset)
    assert installed is not None
    faces, fingerprint = installed.splits[role].images, installed.fingerprint
    signature = signature_of(run.path, "model.onnx")
    return _embed_split(faces, run.path, signature, fingerprint, role, method)


@lru_cache(maxsize=8)
def _runs_on(
    runs: tuple[Run, ...], dataset: str, class_names: tuple[str, ...]
) -> Mapping[str, Run]:
    return {
        run.id: run
        for run in runs
        if run.results
        and run.config
        and run.config.dataset == dataset
        and tuple(run.results.class_names) == class_names
        and has_network(run)
    }


@st.cache_resource(max_entries=16, show_spinner=False)
def _classifier(_run: Run, path: Path, signature: Signature) -> RunClassifier:
    classifier = RunClassifier(_run)
    # The first call is slow: make it now, not while a camera waits.
    black = np.zeros((64, 64), np.uint8)
    classifier(classifier.crop_faces(black, [full_image_face(black)]))
    return classifier


@st.cache_resource(max_entries=4, show_spinner=False)
def _grad_cam(_run: Run, path: Path, signature: Signature) -> GradCam:
    return GradCam(path / "model.onnx")


@st.cache_resource(max_entries=4, show_spinner=False)
def _detector(kind: DetectorKind, yunet: str) -> FaceDetector:
    return load_detector(kind)


@st.cache_resource(max_entries=16, show_spinner=False)
def _network(path: Path, signature: Signature) -> OnnxNetwork | None:
    try:
        return OnnxNetwork(path / "model.onnx", threads=0)
    except UserError:
        return None


@st.cache_resource(max_entries=16, show_spinner=False)
def _predict_split(
    _run: Run,
    _faces: NDArray[np.uint8],
    path: Path,
    signature: Signature,
    fingerprint: str,
    role: str,
) -> NDArray[np.float32] | None:
    return probabilities(_run, _faces)


@st.cache_resource(max_entries=32, show_spinner=False)
def _shown_probabilities(
    _run: Run,
    _images: NDArray[Any],
    pixels: bytes,
    shape: tuple[int, ...],
    dtype: str,
    path: Path,
    signature: Signature,
) -> NDArray[np.float32] | None:
    return probabilities(_run, _images)


@st.cache_resource(max_entries=1024, show_spinner=False)
def _correct_under_augmentation(
    _run: Run,
    _faces: NDArray[np.uint8],
    _labels: NDArray[Any],
    pixels: bytes,
    path: Path,
    signature: Signature,
    policy: str,
) -> NDArray[np.bool_] | None:
    changed = preview_function()(_faces, AugmentationConfig.model_validate_json(policy), 0).changed
    predictions = probabilities(_run, changed)
    return None if predictions is None else np.asarray(predictions.argmax(axis=1) == _labels)


@st.cache_resource(max_entries=8, show_spinner=False)
def _embed_split(
    _images: NDArray[np.uint8],
    path: Path,
    signature: Signature,
    fingerprint: str,
    role: str,
    method: Literal["pca", "tsne"],
) -> NDArray[np.float32] | None:
    from fercore.explain.embedding import penultimate_features, project

    try:
        return project(penultimate_features(path / "model.onnx", _images), method)
    except UserError:
        return None
