"""Cached networks, detectors and predictions."""

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

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

if TYPE_CHECKING:
    pass
from dashboard.state.dataset_cache import images, preview_function
from dashboard.state.run_cache import list_runs


def probabilities(run: Run, images: NDArray[Any]) -> NDArray[np.float32] | None:
    """What a run's exported network says of images; `None` if it cannot."""
    network = _network(run.path, signature_of(run.path, "model.onnx"))
    if network is None or images.shape[1:] != network.image_shape:
        return None
    return network(images)


def shown_probabilities(run: Run, images: NDArray[Any]) -> NDArray[np.float32] | None:
    """Return `probabilities` of the few images that a page shows, cached for its reruns."""
    stamp = signature_of(run.path, "model.onnx")
    return _shown_probabilities(
        run, images, images.tobytes(), images.shape, images.dtype.str, run.path, stamp
    )


def predict_split(run: Run, dataset: str, role: str) -> NDArray[np.float32] | None:
    """What a run's exported network says of one part of a dataset; `None` if it cannot."""
    found = images(dataset)
    assert found is not None
    stamp = signature_of(run.path, "model.onnx")
    return _predict_split(run, found.splits[role].images, run.path, stamp, found.fingerprint, role)


def correct_under_augmentation(
    run: Run, faces: NDArray[np.uint8], labels: NDArray[Any], policy: AugmentationConfig
) -> NDArray[np.bool_] | None:
    """Which faces a run's network names rightly once they are changed; `None` if it cannot."""
    stamp = signature_of(run.path, "model.onnx")
    return _right_under(
        run, faces, labels, faces.tobytes(), run.path, stamp, policy.model_dump_json()
    )


def network(run: Run) -> RunClassifier:
    """A finished run's network, loaded and asked once for all visitors.

    Many threads may ask it at a time.

    Raises:
        UserError: if it cannot be loaded.
    """
    return _predicting(run, *network_signature(run))


def network_signature(run: Run) -> tuple[Path, Signature]:
    """What changes where a run's network, or how its answers are read, does."""
    return run.path, signature_of(run.path, "model.onnx", "config.json", "results.json")


def grad_cam(run: Run) -> GradCam:
    """Grad-CAM of a finished run's network, cut once for all visitors.

    Raises:
        UserError: if the network has no feature map to weigh.
    """
    return _grad_cam(run, run.path, signature_of(run.path, "model.onnx"))


def detector(kind: DetectorKind) -> FaceDetector:
    """A finder of faces, shared by all visitors."""
    return _detector(kind, str(yunet_file()))


def detector_kinds() -> list[DetectorKind]:
    """The finders that are here, the one to begin with first."""
    kinds: list[DetectorKind] = ["yunet"] if yunet_file() else []
    kinds.append("haar")
    return [*kinds, "mtcnn"] if importlib.util.find_spec("mtcnn") else kinds


def runs_on(splits: Splits) -> dict[str, Run]:
    """The runs whose exported network takes these faces and knows these classes, by id."""
    return dict(_runs_on(tuple(list_runs()), splits.name, splits.class_names))


def embedded(
    run: Run, dataset: str, role: str, method: Literal["pca", "tsne"]
) -> NDArray[np.float32] | None:
    """A run's features of one part of a dataset, in two dimensions; `None` if it has none."""
    found = images(dataset)
    assert found is not None
    stamp = signature_of(run.path, "model.onnx")
    return _embedded(found.splits[role].images, run.path, stamp, found.fingerprint, role, method)


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
def _predicting(_run: Run, path: Path, signature: Signature) -> RunClassifier:
    loaded = RunClassifier(_run)
    # A first call takes longer than a camera can wait.
    loaded(
        loaded.crop_faces(
            np.zeros((64, 64), np.uint8), [full_image_face(np.zeros((64, 64), np.uint8))]
        )
    )
    return loaded


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
def _right_under(
    _run: Run,
    _faces: NDArray[np.uint8],
    _labels: NDArray[Any],
    pixels: bytes,
    path: Path,
    signature: Signature,
    policy: str,
) -> NDArray[np.bool_] | None:
    changed = preview_function()(_faces, AugmentationConfig.model_validate_json(policy), 0).changed
    said = probabilities(_run, changed)
    return None if said is None else np.asarray(said.argmax(axis=1) == _labels)


@st.cache_resource(max_entries=8, show_spinner=False)
def _embedded(
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
