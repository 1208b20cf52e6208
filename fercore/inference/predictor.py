"""`Predictor`: detect the faces of an image, crop them and classify them with one or more runs.

The pages, the command line and users' scripts all predict through this module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.config.protocol import ImageConfig
from fercore.data.registry import native_size
from fercore.data.splitting import fit_images
from fercore.errors import UserError
from fercore.faces import cropping, detection, geometry
from fercore.faces.detection import FaceDetector
from fercore.faces.geometry import Face
from fercore.inference.onnx_session import OnnxNetwork
from fercore.metrics import apply_temperature
from fercore.paths import runs_root
from fercore.runs.listing import find_run
from fercore.runs.reader import Run
from fercore.runs.recreate import require_network


class RunClassifier:
    """The network of a finished run, with the preprocessing of the run's config.

    Args:
        run: finished, with a `model.onnx`.
        threads: processor cores for one call, 0 for all.

    Attributes:
        id: of the run.
        title: of the run's config, or its name.
        class_names: of the outputs, in their order.
        temperature: fitted on the run's validation predictions; 1 if none is stored.

    Raises:
        UserError: if the run has no network.
    """

    def __init__(self, run: Run, threads: int = 1):
        file = require_network(run)
        assert run.config is not None
        assert run.results is not None
        self.id, self.title = run.id, run.config.title or run.config.name
        self.class_names = tuple(run.results.class_names)
        self._image = run.config.image
        self._onnx = OnnxNetwork(file, threads)
        original = run.original_dataset
        dataset = original.name if original else run.config.dataset
        self._crop_size = _crop_size(self._image, dataset, self._onnx.image_shape[0])
        self.temperature = run.results.temperature or 1.0

    def crop_faces(self, image: geometry.Image, faces: Sequence[Face]) -> NDArray[np.uint8]:
        """Crop faces to the network's input.

        Args:
            image: `(height, width)` grey, or `(height, width, 3)` blue, green, red; uint8.
            faces: in pixels of the image.

        Returns:
            `(n, height, width)` uint8.
        """
        grey = cropping.to_grey(image)
        margin = self._image.margin
        crops = [cropping.crop_face(grey, face, self._crop_size, margin) for face in faces]
        if not crops:
            return np.empty((0, *self._onnx.image_shape), np.uint8)
        return fit_images(np.stack(crops), self._image)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities of crops without calibration: `(n, classes)` float32."""
        return self._onnx(crops)

    def calibrate(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrate probabilities by temperature scaling: `(n, classes)` float32."""
        if not len(probabilities):
            return probabilities
        return apply_temperature(probabilities, self.temperature).astype(np.float32)


@dataclass(frozen=True)
class Prediction:
    """The predictions of one or more networks for one face.

    Attributes:
        face: its position in the image.
        crops: input of each network, by run id: `(height, width)` uint8.
        probabilities: by run id: `(classes,)` float32, calibrated unless the `Predictor` was made
            with `calibrate=False`.
        class_names: by run id, in the order of the probabilities.
    """

    face: Face
    crops: Mapping[str, NDArray[np.uint8]]
    probabilities: Mapping[str, NDArray[np.float32]]
    class_names: Mapping[str, tuple[str, ...]]

    def top(self, run_id: str) -> tuple[str, float]:
        """Return the most probable class of one network, and its probability."""
        index = int(self.probabilities[run_id].argmax())
        return self.class_names[run_id][index], float(self.probabilities[run_id][index])

    def label(self, run_id: str, min_confidence: float = 0.0) -> str | None:
        """Return the most probable class; `None` if its probability is below `min_confidence`."""
        name, probability = self.top(run_id)
        return name if probability >= min_confidence else None

    @property
    def is_unanimous(self) -> bool:
        """Whether all networks predict the same class."""
        return len({self.top(run_id)[0] for run_id in self.probabilities}) == 1


class Predictor:
    """Detect faces, crop them as in training, and classify them with one or more networks.

    Args:
        runs: run ids under the runs root, paths of run directories, `Run` objects or loaded
            `RunClassifier` objects.
        detector: of faces; `fercore.faces.detection.load_detector()` if absent.
        threads: processor cores for one call of a network, 0 for all.
        calibrate: scale probabilities by the temperature that was fitted on the run's validation
            split.
        root: folder of the runs; `$FERCORE_RUNS` or `./runs` if absent.

    Raises:
        UserError: if no run is given, or a run does not exist or has no network.

    Example:
        >>> predictor = fercore.Predictor(["facet-tiny-s0-20261121T151906"])
        >>> predictions = predictor.predict(cv2.imread("photo.jpg"))
        >>> for prediction in predictions:
        ...     label, confidence = prediction.top(predictor.ids[0])
        ...     print(label)
        happy
    """

    def __init__(
        self,
        runs: Sequence[str | Path | Run | RunClassifier],
        detector: FaceDetector | None = None,
        *,
        threads: int = 1,
        calibrate: bool = True,
        root: Path | None = None,
    ):
        if not runs:
            raise UserError("expected at least one run to predict with")
        self.networks = [_load_classifier(run, threads, root) for run in runs]
        self.detector = detector or detection.load_detector()
        self.calibrate = calibrate

    @property
    def ids(self) -> list[str]:
        """The ids of the runs, in the order given."""
        return [network.id for network in self.networks]

    def predict(
        self, image: geometry.Image, faces: Sequence[Face] | None = None
    ) -> list[Prediction]:
        """Classify every face of an image.

        Args:
            image: `(height, width)` grey or `(height, width, 3)` blue, green, red; uint8.
            faces: in pixels of the image; detected if absent. For an image that is a face crop
                already, pass `[fercore.faces.geometry.full_image_face(image)]`.

        Returns:
            One prediction per face, in the order of `faces`, or else in reading order.

        Raises:
            ValueError: for an array of another shape or dtype.
        """
        if (
            image.dtype != np.uint8
            or image.ndim < 2
            or image.shape[2:] not in ((), (3,))
            or not image.size
        ):
            raise ValueError(
                f"received an array of shape {image.shape} and dtype {image.dtype}, expected "
                "(height, width) or (height, width, 3) uint8"
            )
        if faces is None:
            faces = detection.detect_in_photo(self.detector, image)
        grey = cropping.to_grey(image)
        crops, probabilities = {}, {}
        for network in self.networks:
            crops[network.id] = network.crop_faces(grey, faces)
            raw = network(crops[network.id])
            probabilities[network.id] = network.calibrate(raw) if self.calibrate else raw
        names = {network.id: network.class_names for network in self.networks}
        return [
            Prediction(
                face,
                {run_id: run_crops[index] for run_id, run_crops in crops.items()},
                {run_id: rows[index] for run_id, rows in probabilities.items()},
                names,
            )
            for index, face in enumerate(faces)
        ]


def _load_classifier(
    run: str | Path | Run | RunClassifier, threads: int, root: Path | None
) -> RunClassifier:
    if isinstance(run, RunClassifier):
        return run
    return RunClassifier(
        run if isinstance(run, Run) else find_run(runs_root(root), str(run)), threads
    )


def _crop_size(config: ImageConfig, dataset: str, network_size: int) -> int:
    """Return the side in pixels to which faces are cropped before `fit_images`."""
    # A network that takes a centre crop of the dataset's images needs faces at their full size.
    if config.fit == "resize" or config.size is None:
        return network_size
    return native_size(dataset) or network_size
