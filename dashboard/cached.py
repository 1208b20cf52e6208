"""What pages read from disk, kept until it changes there. The only home of `st.cache_*`."""

import gc
import importlib.util
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import facts, judged, shared_images
from dashboard.addresses import jpeg_address
from dashboard.judged import Judged, Pair
from dashboard.shared_images import Evaluations
from dashboard.shelf import Shelf, Signature, signature_of
from fercore import ablations, goals, metrics, papers
from fercore.config import AugmentationConfig
from fercore.data.splits import Splits
from fercore.errors import UserError
from fercore.faces import FaceFinder, Kind, load_finder, whole, yunet_file
from fercore.gradcam import GradCam
from fercore.labels import index_of
from fercore.metrics import PairedDifference, Reliability
from fercore.metrics.checks import Probabilities
from fercore.onnx_session import OnnxNetwork
from fercore.predict import Network
from fercore.records import Layer, LogRow
from fercore.recreate import has_network
from fercore.roots import data_root, runs_root
from fercore.runs import Predictions, Run, read_log

if TYPE_CHECKING:
    from fercore.preview import Preview

_MOST_DELTAS = 4096
_DELTAS_LOCK = threading.Lock()


def list_runs() -> list[Run]:
    """Every run under the runs root, newest first."""
    return _shelf(runs_root()).all()


def refreshed_runs() -> list[Run]:
    """Every run, for a part of a page that refreshes by itself: quicker than `list_runs`."""
    return _shelf(runs_root()).all(quick=True)


def known_runs() -> tuple[Run, ...]:
    """Every run as the last `list_runs` found it: nothing is looked for on the disk."""
    return _shelf(runs_root()).known()


def find_run(run_id: str) -> Run | None:
    """The run of that name under the runs root; `None` if there is none."""
    return _shelf(runs_root()).find(run_id)


def log(run: Run) -> list[LogRow]:
    """The run's log, read again only when it has grown."""
    return _log(run.path, signature_of(run.path, "log.jsonl"))


def layers(run: Run) -> list[Layer]:
    """The run's layer table."""
    return _layers(run, run.path, signature_of(run.path, "layers.json"))


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """A short label for each run by its id, unique among all runs: the same on every page.

    All runs are those that the page has listed before: nothing is read from the disk.
    """
    known = _labels(known_runs())
    return {run.id: known.get(run.id, run.id) for run in runs}


def paper_rows(runs: Sequence[Run]) -> tuple[papers.Comparison, ...]:
    """Every published figure beside ours, computed anew when one of the runs behind it changes."""
    return _paper_rows(_finished(runs, _paper_experiments()))


def goal_standings(runs: Sequence[Run]) -> tuple[goals.Standing, ...]:
    """Every goal beside what our runs give, computed anew when one of these runs changes."""
    return _goal_standings(_finished(runs, _goal_experiments(goals.goals())))


def ablation_lines(study: ablations.Study, runs: Sequence[Run]) -> tuple[ablations.Line, ...]:
    """The results of a study, computed anew when one of its runs changes."""
    text = study.model_dump_json(by_alias=True)
    return _ablation_lines(text, _finished(runs, _study_experiments(text)))


def predictions(run: Run, split: str) -> Predictions | None:
    """The run's predictions on `"validation"` or `"test"`, if they can be read."""
    return _predictions(run, run.path, split, _stamp(run))


def judged_samples(run: Run, split: str, also_dropped: tuple[str, ...] = ()) -> Judged | None:
    """What the run said of the samples of one evaluation; `None` where that is not stored.

    Args:
        run: any.
        split: as in `fercore.records.Results.splits`.
        also_dropped: classes to leave out besides those that the run does.
    """
    if run.results is None:
        return None
    left_out = () if split == "test_all" else (*facts.dropped_classes(run), *also_dropped)
    return _judged(run, run.path, split, tuple(sorted(set(left_out))), _stamp(run))


@lru_cache(maxsize=256)
def reliability(samples: Judged, temperature: float | None = None) -> Reliability:
    """Accuracy against confidence, at a temperature if one is given."""
    probabilities = _at(samples, temperature)
    return metrics.reliability(probabilities, samples.labels, groups=samples.groups)


# Samples are compared by identity: those of a run that was read anew have no entry yet.
@lru_cache(maxsize=256)
def calibration_error(samples: Judged, temperature: float | None = None) -> float:
    """The expected calibration error, at a temperature if one is given."""
    return metrics.expected_calibration_error(_at(samples, temperature), samples.labels)


def temperature(run: Run) -> float | None:
    """The run's own temperature, fitted on its validation split; `None` where there is none."""
    return run.results.temperature if run.results else None


def evaluate_together(runs: Sequence[Run], split: str) -> Evaluations:
    """The figures of several runs on one split, on the same images wherever they share any."""
    return _evaluate_together(runs, split, _files_of(runs))


def paired(runs: Sequence[Run], split: str, baseline: str, other: str) -> Pair | None:
    """How a run differs from the baseline on the images that the runs of a view share.

    Args:
        runs: of the view.
        split: in view.
        baseline: a run's id.
        other: another run's id.

    Returns:
        The difference; `None` if the two have no image in common.
    """
    return _paired(evaluate_together(runs, split), split, baseline, other, _files_of(runs))


def accuracy_deltas(baseline: Run, others: Sequence[Run]) -> dict[str, PairedDifference | None]:
    """Each run's test accuracy less the baseline's, on the samples scored by both, by run id."""
    # One entry of Streamlit's cache for each baseline: a thousand would take half a second to find.
    known = _deltas_from(baseline.path, _stamp(baseline))
    found = {}
    for run in others:
        key = (run.path, _stamp(run))
        try:
            found[run.id] = known[key]
        except KeyError:
            found[run.id] = delta = _accuracy_delta(baseline, run)
            with _DELTAS_LOCK:
                known[key] = delta
                while len(known) > _MOST_DELTAS:
                    del known[next(iter(known))]
    return found


def images(dataset: str) -> "Images | None":
    """The faces of an installed dataset by sample id; `None` if it is not there or damaged."""
    root = data_root()
    return _images(dataset, root, signature_of(root / dataset, "dataset.json"))


def installed_datasets() -> list[str]:
    """The datasets that can be read: FER2013 first, faces drawn by code last."""
    from fercore.data import list_datasets, list_own, status

    root = data_root()
    names = [*list_datasets(), *list_own(root)]
    found = [status(name, root) for name in names]
    ready = [entry for entry in found if entry.installed]
    order = {"fer2013": 0, "synthetic": 2}
    return sorted((entry.name for entry in ready), key=lambda name: order.get(name, 1))


def keras_is_loaded() -> bool:
    """Whether augmentation answers at once."""
    return "keras" in sys.modules


def preview(
    images: NDArray[np.uint8], policy: AugmentationConfig, seed: int, epoch: int = 1
) -> "Preview":
    """What training makes of these images, by the layers that train."""
    return _preview(images, images.tobytes(), policy.model_dump_json(), seed, epoch)


def probabilities(run: Run, images: NDArray[Any]) -> NDArray[np.float32] | None:
    """What a run's exported network says of images; `None` if it cannot."""
    network = _network(run.path, signature_of(run.path, "model.onnx"))
    if network is None or images.shape[1:] != network.image_shape:
        return None
    return network(images)


def answers(run: Run, dataset: str, role: str) -> NDArray[np.float32] | None:
    """What a run's exported network says of one part of a dataset; `None` if it cannot."""
    found = images(dataset)
    assert found is not None
    stamp = signature_of(run.path, "model.onnx")
    return _answers(run, found.splits[role].images, run.path, stamp, found.fingerprint, role)


def right_under(
    run: Run, faces: NDArray[np.uint8], labels: NDArray[Any], policy: AugmentationConfig
) -> NDArray[np.bool_] | None:
    """Which faces a run's network names rightly once they are changed; `None` if it cannot."""
    stamp = signature_of(run.path, "model.onnx")
    return _right_under(
        run, faces, labels, faces.tobytes(), run.path, stamp, policy.model_dump_json()
    )


def network(run: Run) -> Network:
    """A finished run's network, loaded and asked once for all visitors.

    Many threads may ask it at a time.

    Raises:
        UserError: if it cannot be loaded.
    """
    return _predicting(run, *network_stamp(run))


def network_stamp(run: Run) -> tuple[Path, Signature]:
    """What changes where a run's network, or how its answers are read, does."""
    return run.path, signature_of(run.path, "model.onnx", "config.json", "results.json")


def grad_cam(run: Run) -> GradCam:
    """Grad-CAM of a finished run's network, cut once for all visitors.

    Raises:
        UserError: if the network has no feature map to weigh.
    """
    return _grad_cam(run, run.path, signature_of(run.path, "model.onnx"))


def finder(kind: Kind) -> FaceFinder:
    """A finder of faces, shared by all visitors."""
    return _finder(kind, str(yunet_file()))


def finder_kinds() -> list[Kind]:
    """The finders that are here, the one to begin with first."""
    kinds: list[Kind] = ["yunet"] if yunet_file() else []
    kinds.append("haar")
    return [*kinds, "mtcnn"] if importlib.util.find_spec("mtcnn") else kinds


def runs_on(splits: Splits) -> dict[str, Run]:
    """The runs whose exported network takes these faces and knows these classes, by id."""
    return dict(_runs_on(tuple(list_runs()), splits.name, splits.class_names))


def inspected(dataset: str, what: str, role: str = "") -> Any:
    """What `fercore.data.inspection` finds in an installed dataset."""
    found = images(dataset)
    assert found is not None
    return _inspected(found.splits, found.fingerprint, dataset, what, role)


def embedded(
    run: Run, dataset: str, role: str, method: Literal["pca", "tsne"]
) -> NDArray[np.float32] | None:
    """A run's features of one part of a dataset, in two dimensions; `None` if it has none."""
    found = images(dataset)
    assert found is not None
    stamp = signature_of(run.path, "model.onnx")
    return _embedded(found.splits[role].images, run.path, stamp, found.fingerprint, role, method)


def thumbnails(dataset: str, role: str, places: NDArray[np.intp]) -> list[str]:
    """Images of one part of an installed dataset as the addresses of small JPEGs."""
    found = images(dataset)
    assert found is not None
    part = found.splits[role]
    return list(_thumbnails(part.images, places, places.tobytes(), found.fingerprint, role))


class Images(Mapping[str, Any]):
    """Faces by sample id: `(height, width)` uint8.

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


# Which experiments a table is of, does not change while the server runs.
@cache
def _paper_experiments() -> tuple[str, ...]:
    return papers.experiments()


@lru_cache(maxsize=4)
def _goal_experiments(wanted: tuple[goals.Goal, ...]) -> tuple[str, ...]:
    return goals.experiments(wanted)


@lru_cache(maxsize=32)
def _study_experiments(text: str) -> tuple[str, ...]:
    study = ablations.Study.model_validate_json(text)
    return tuple(ablations.overrides(study, change)["name"] for change in study.changes)


def _finished(runs: Sequence[Run], names: Sequence[str]) -> tuple[Run, ...]:
    """The runs of these experiments that have results, and combined ones."""
    wanted = frozenset(names)
    return tuple(
        run
        for run in runs
        if run.results and run.config and (run.origin == "combined" or run.config.name in wanted)
    )


# A run is compared by identity and is another object once its files have changed: runs are the key
# of what is computed from them. The results are frozen, so that all visitors share them.
@lru_cache(maxsize=2)
def _paper_rows(runs: tuple[Run, ...]) -> tuple[papers.Comparison, ...]:
    return papers.compare(runs)


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


@lru_cache(maxsize=2)
def _goal_standings(runs: tuple[Run, ...]) -> tuple[goals.Standing, ...]:
    return goals.compare(runs)


@lru_cache(maxsize=16)
def _ablation_lines(study: str, runs: tuple[Run, ...]) -> tuple[ablations.Line, ...]:
    return ablations.compare(ablations.Study.model_validate_json(study), runs)


@lru_cache(maxsize=4)
def _labels(runs: tuple[Run, ...]) -> dict[str, str]:
    return facts.labels(runs)


@st.cache_resource(max_entries=4, show_spinner=False)
def _shelf(root: Path) -> Shelf:
    return Shelf(root)


# The results below are shared between sessions and never changed: no copy is taken of them.
@st.cache_resource(max_entries=256, show_spinner=False)
def _log(path: Path, signature: Signature) -> list[LogRow]:
    return read_log(path)


@st.cache_resource(max_entries=128, show_spinner=False)
def _layers(_run: Run, path: Path, signature: Signature) -> list[Layer]:
    return _run.layers()


@st.cache_resource(max_entries=32, show_spinner=False)
def _predictions(_run: Run, path: Path, split: str, signature: Signature) -> Predictions | None:
    return _run.predictions(split)


@st.cache_resource(max_entries=64, show_spinner=False)
def _judged(
    _run: Run, path: Path, split: str, left_out: tuple[str, ...], signature: Signature
) -> Judged | None:
    found = predictions(_run, "validation" if split == "validation" else "test")
    names = _run.results.class_names if _run.results else []
    try:
        dropped = [index_of(name, names) for name in left_out]
    except UserError:
        return None
    if found is None:
        return None
    if split == "test_unique":
        if found.unique is None:
            return None
        found = found.take(found.unique)
    return judged.judge(found, dropped, gives_probabilities=_run.gives_probabilities)


@st.cache_resource(max_entries=16, show_spinner=False)
def _evaluate_together(_runs: Sequence[Run], split: str, key: str) -> Evaluations:
    def load(run: Run, also_dropped: tuple[str, ...]) -> Judged | None:
        return judged_samples(run, split, also_dropped)

    return shared_images.evaluate_together(_runs, split, load)


def _at(found: Judged, temperature: float | None) -> Probabilities:
    if temperature is None:
        return found.probabilities
    return metrics.apply_temperature(found.probabilities, temperature)


@st.cache_resource(max_entries=256, show_spinner=False)
def _paired(
    _evaluations: Evaluations, split: str, baseline: str, other: str, key: str
) -> Pair | None:
    found = _evaluations.pair(baseline, other)
    return judged.compare(*found) if found else None


@st.cache_resource(max_entries=8, show_spinner=False)
def _deltas_from(
    path: Path, signature: Signature
) -> dict[tuple[Path, Signature], PairedDifference | None]:
    return {}


def _accuracy_delta(baseline: Run, other: Run) -> PairedDifference | None:
    found = _on_common_classes(baseline, other, "test")
    both = judged.both(*found) if found else None
    return both.difference(found[0].probabilities.shape[1]) if found and both else None


@st.cache_resource(max_entries=3, show_spinner=False)
def _images(dataset: str, root: Path, signature: Signature) -> Images | None:
    from fercore.data import load

    try:
        return Images(load(dataset, root))
    except UserError:
        return None


@st.cache_resource(max_entries=64, show_spinner=False)
def _preview(
    _images: NDArray[np.uint8], pixels: bytes, policy: str, seed: int, epoch: int
) -> "Preview":
    preview = _preview_function()
    found: Preview = preview(_images, AugmentationConfig.model_validate_json(policy), seed, epoch)
    return found


@st.cache_resource(show_spinner=False)
def _preview_function() -> Any:
    from fercore.preview import preview

    preview(np.zeros((2, 48, 48), np.uint8), AugmentationConfig(rotation=1), 0)
    # Streamlit collects garbage after every run of every page; with a framework's million objects
    # to walk through, each would take a second from then on.
    gc.collect()
    gc.freeze()
    return preview


@st.cache_resource(max_entries=16, show_spinner=False)
def _predicting(_run: Run, path: Path, signature: Signature) -> Network:
    loaded = Network(_run)
    # A first call takes longer than a camera can wait.
    loaded(loaded.crops(np.zeros((64, 64), np.uint8), [whole(np.zeros((64, 64), np.uint8))]))
    return loaded


@st.cache_resource(max_entries=4, show_spinner=False)
def _grad_cam(_run: Run, path: Path, signature: Signature) -> GradCam:
    return GradCam(path / "model.onnx")


@st.cache_resource(max_entries=4, show_spinner=False)
def _finder(kind: Kind, yunet: str) -> FaceFinder:
    return load_finder(kind)


@st.cache_resource(max_entries=16, show_spinner=False)
def _network(path: Path, signature: Signature) -> OnnxNetwork | None:
    try:
        return OnnxNetwork(path / "model.onnx", threads=0)
    except UserError:
        return None


@st.cache_resource(max_entries=64, show_spinner="Looking through the images")
def _inspected(_splits: Splits, fingerprint: str, dataset: str, what: str, role: str) -> Any:
    from fercore.data import inspection

    match what:
        case "mean":
            return inspection.mean_faces(_splits[role], len(_splits.class_names))
        case "brightness":
            return inspection.brightness(_splits[role].images)
        case "sharpness":
            return inspection.sharpness(_splits[role].images)
        case "groups":
            return inspection.equal_groups(_splits.parts)
        case "constant":
            return inspection.constant(_splits.parts)
        case "near":
            return inspection.near_duplicates(_splits.parts)
    raise ValueError(what)


@st.cache_resource(max_entries=8, show_spinner=False)
def _thumbnails(
    _images: NDArray[np.uint8], _places: NDArray[np.intp], key: bytes, fingerprint: str, role: str
) -> tuple[str, ...]:
    return tuple(jpeg_address(_images[place]) for place in _places)


@st.cache_resource(max_entries=16, show_spinner=False)
def _answers(
    _run: Run,
    _faces: NDArray[np.uint8],
    path: Path,
    signature: Signature,
    fingerprint: str,
    role: str,
) -> NDArray[np.float32] | None:
    return probabilities(_run, _faces)


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
    changed = _preview_function()(_faces, AugmentationConfig.model_validate_json(policy), 0).changed
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
    from fercore.embedding import penultimate, project

    try:
        return project(penultimate(path / "model.onnx", _images), method)
    except UserError:
        return None


def _on_common_classes(first: Run, second: Run, split: str) -> tuple[Judged, Judged] | None:
    names = [run.results.class_names if run.results else [] for run in (first, second)]
    if names[0] != names[1] or first.original_dataset != second.original_dataset:
        return None
    left_out = (*facts.dropped_classes(first), *facts.dropped_classes(second))
    a, b = (judged_samples(run, split, left_out) for run in (first, second))
    return (a, b) if a and b else None


def _pair_key(first: Run, second: Run) -> str:
    # One text: Streamlit takes a millisecond to digest the same as tuples of tuples.
    return repr((str(first.path), _stamp(first), str(second.path), _stamp(second)))


def _files_of(runs: Sequence[Run]) -> str:
    """What changes where a figure of one of the runs can."""
    files = ("config.json", "environment.json", "results.json", "predictions.npz")
    # One text, as in `_pair_key`.
    return repr([(str(run.path), signature_of(run.path, *files)) for run in runs])


def _stamp(run: Run) -> Signature:
    return signature_of(run.path, "predictions.npz")
