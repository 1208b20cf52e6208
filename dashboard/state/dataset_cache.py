"""Cached datasets, their thumbnails and previews of augmentation."""

import gc
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.charts.data_urls import jpeg_data_url
from dashboard.state.run_cache import HASH_AS_TEXT
from dashboard.state.run_store import Signature, signature_of
from fercore.config.augmentation import AugmentationConfig
from fercore.config.experiment import ExperimentConfig
from fercore.config.loading import list_configs, load_config
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.paths import data_root

if TYPE_CHECKING:
    from fercore.augmentation.preview import Preview


_PREVIEW_READY = threading.Event()


def images(dataset: str) -> "Images | None":
    """Return the faces of an installed dataset by sample id; `None` if it is absent or damaged."""
    root = data_root()
    return _images(dataset, root, signature_of(root / dataset, "dataset.json"))


def installed_datasets() -> list[str]:
    """Return the names of the datasets that can be read: FER2013 first, synthetic faces last."""
    from fercore.data.registry import dataset_status, list_custom_datasets, list_datasets

    root = data_root()
    names = [*list_datasets(), *list_custom_datasets(root)]
    statuses = [dataset_status(name, root) for name in names]
    installed = [status.name for status in statuses if status.installed]
    order = {"fer2013": 0, "synthetic": 2}
    return sorted(installed, key=lambda name: order.get(name, 1))


@cache  # the package's own files do not change while the server runs
def experiments() -> Mapping[str, ExperimentConfig]:
    """Return the experiments that the package contains, by name."""
    return {name: load_config(name) for name in list_configs()}


def preview_is_ready() -> bool:
    """Return whether TensorFlow is loaded for `preview`, which takes ten seconds and more."""
    return _PREVIEW_READY.is_set()


def preview(
    images: NDArray[np.uint8], policy: AugmentationConfig, seed: int, epoch: int = 1
) -> "Preview":
    """Augment images with the layers that training uses, see `fercore.augmentation.preview`."""
    return _preview(images, images.tobytes(), policy.model_dump_json(), seed, epoch)


def inspect(dataset: str, what: str, role: str = "") -> Any:
    """Return what `fercore.data.quality` computes of an installed dataset.

    Args:
        dataset: its name.
        what: `"mean"`, `"brightness"` or `"sharpness"` of one split; `"groups"`, `"constant"` or
            `"near"` of all of them.
        role: of the split, where one is needed.
    """
    installed = images(dataset)
    assert installed is not None
    return _inspect(installed.splits, installed.fingerprint, dataset, what, role)


def thumbnails(dataset: str, role: str, places: NDArray[np.intp]) -> list[str]:
    """Return images of one split of an installed dataset as data URLs of small JPEGs.

    Args:
        dataset: its name.
        role: of the split.
        places: `(n,)` positions of the images.
    """
    installed = images(dataset)
    assert installed is not None
    part, fingerprint = installed.splits[role], installed.fingerprint
    return list(_thumbnails(part.images, places, places.tobytes(), fingerprint, role))


class Images(Mapping[str, Any]):
    """The faces of a dataset by sample id: `(height, width)` uint8.

    Attributes:
        fingerprint: of the dataset.
        splits: the dataset.
    """

    def __init__(self, splits: Splits):
        self.fingerprint = splits.fingerprint
        self.splits = splits
        self._places = {
            name: (role, place)
            for role, part in splits.parts.items()
            for place, name in enumerate(part.ids.tolist())
        }

    def __getitem__(self, name: str) -> NDArray[np.uint8]:
        role, place = self._places[name]
        image: NDArray[np.uint8] = self.splits[role].images[place]
        return image

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@st.cache_resource(max_entries=3, show_spinner=False, hash_funcs=HASH_AS_TEXT)
def _images(dataset: str, root: Path, signature: Signature) -> Images | None:
    from fercore.data.registry import load_dataset

    try:
        return Images(load_dataset(dataset, root))
    except UserError:
        return None


@st.cache_resource(max_entries=64, show_spinner=False)
def _preview(
    _images: NDArray[np.uint8], pixels: bytes, policy: str, seed: int, epoch: int
) -> "Preview":
    preview = preview_function()
    config = AugmentationConfig.model_validate_json(policy)
    result: Preview = preview(_images, config, seed, epoch)
    return result


@st.cache_resource(show_spinner=False)
def preview_function() -> Any:
    """Return `fercore.augmentation.preview.preview`, with Keras loaded and compiled once.

    TensorFlow runs on the CPU: a preview needs no GPU, whose memory TensorFlow would reserve. That
    there is none is no error for the server's log. (The notices that TensorFlow 2.21 writes while
    it is imported ignore the level.)
    """
    with _environment(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1"):
        from fercore.augmentation.preview import preview

        preview(np.zeros((2, 48, 48), np.uint8), AugmentationConfig(rotation=1), 0)
    _PREVIEW_READY.set()
    # Streamlit collects garbage after every run of every page. With the million objects of a
    # framework, each collection would take a second.
    gc.collect()
    gc.freeze()
    return preview


@contextmanager
def _environment(**defaults: str) -> Iterator[None]:
    """Set environment variables that are not set, for the body of the `with` statement."""
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@st.cache_resource(max_entries=64, show_spinner="Analyzing the images")
def _inspect(_splits: Splits, fingerprint: str, dataset: str, what: str, role: str) -> Any:
    from fercore.data import quality

    match what:
        case "mean":
            return quality.mean_faces(_splits[role], len(_splits.class_names))
        case "brightness":
            return quality.brightness(_splits[role].images)
        case "sharpness":
            return quality.sharpness(_splits[role].images)
        case "groups":
            return quality.duplicate_groups(_splits.parts)
        case "constant":
            return quality.constant_images(_splits.parts)
        case "near":
            return quality.near_duplicates(_splits.parts)
    raise ValueError(what)


@st.cache_resource(max_entries=8, show_spinner=False)
def _thumbnails(
    _images: NDArray[np.uint8], _places: NDArray[np.intp], key: bytes, fingerprint: str, role: str
) -> tuple[str, ...]:
    return tuple(jpeg_data_url(_images[place]) for place in _places)
