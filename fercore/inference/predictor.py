"""From pixels to probabilities: the one way for pages, the command line and a user's own script."""

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
    """A finished run's network, and what its config says of the images that it takes.

    Args:
        run: finished, with a `model.onnx`.
        threads: processor cores for one call, 0 for all.

    Attributes:
        id: of the run.
        title: what people call it.
        class_names: of its outputs, in their order.
        temperature: fitted on the run's validation predictions; 1 where it has none.

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
        self._size = _framed_size(self._image, dataset, self._onnx.image_shape[0])
        self.temperature = run.results.temperature or 1.0

    def crops(self, image: geometry.Image, found: Sequence[Face]) -> NDArray[np.uint8]:
        """Faces of an image as the network sees them: `(n, height, width)` uint8."""
        grey = cropping.to_grey(image)
        cut = [cropping.crop_face(grey, face, self._size, self._image.margin) for face in found]
        if not cut:
            return np.empty((0, *self._onnx.image_shape), np.uint8)
        return fit_images(np.stack(cut), self._image)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of crops, as evaluation stores them: `(n, classes)` float32."""
        return self._onnx(crops)

    def calibrated(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities that say how often they are right, by temperature scaling."""
        if not len(probabilities):
            return probabilities
        return apply_temperature(probabilities, self.temperature).astype(np.float32)


@dataclass(frozen=True)
class Prediction:
    """What networks say of one face.

    Attributes:
        face: where it is.
        crops: what each network saw, by run id: `(height, width)` uint8.
        probabilities: by run id: `(classes,)` float32, calibrated.
        class_names: by run id, in the order of the probabilities.
    """

    face: Face
    crops: Mapping[str, NDArray[np.uint8]]
    probabilities: Mapping[str, NDArray[np.float32]]
    class_names: Mapping[str, tuple[str, ...]]

    def top(self, run_id: str) -> tuple[str, float]:
        """The likeliest class of one network, and its probability."""
        place = int(self.probabilities[run_id].argmax())
        return self.class_names[run_id][place], float(self.probabilities[run_id][place])

    def label(self, run_id: str, least: float = 0.0) -> str | None:
        """The likeliest class; `None` where its probability is below `least`."""
        name, share = self.top(run_id)
        return name if share >= least else None

    @property
    def agree(self) -> bool:
        """Whether all networks say the same class."""
        return len({self.top(run_id)[0] for run_id in self.probabilities}) == 1


class Predictor:
    """Find faces, cut them as training saw them, ask one or several networks.

    Args:
        runs: run ids under the runs root, paths of run directories, runs that were read, or
            networks that are loaded.
        finder: of faces; `fercore.faces.detection.load_detector()` if absent.
        threads: processor cores for one call of a network, 0 for all.
        calibrate: scale confidences by the temperature that fits the run's validation split.
        root: of the runs; `$FERCORE_RUNS` or `./runs` if absent.

    Raises:
        UserError: if there is no such run, or it has no network.

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
        finder: FaceDetector | None = None,
        *,
        threads: int = 1,
        calibrate: bool = True,
        root: Path | None = None,
    ):
        if not runs:
            raise UserError("expected at least one run to predict with")
        self.networks = [_loaded(run, threads, root) for run in runs]
        self.finder = finder or detection.load_detector()
        self.calibrate = calibrate

    @property
    def ids(self) -> list[str]:
        """The runs, in the order given."""
        return [network.id for network in self.networks]

    def predict(
        self, image: geometry.Image, found: Sequence[Face] | None = None
    ) -> list[Prediction]:
        """What the networks say of every face of an image.

        Args:
            image: `(height, width)` grey or `(height, width, 3)` blue, green, red; uint8.
            found: the faces, where they are known;
                `[fercore.faces.geometry.full_image_face(image)]` takes the image
                as one face, as datasets have it.

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
        if found is None:
            found = detection.detect_in_photo(self.finder, image)
        grey = cropping.to_grey(image)
        crops, probabilities = {}, {}
        for network in self.networks:
            crops[network.id] = network.crops(grey, found)
            raw = network(crops[network.id])
            probabilities[network.id] = network.calibrated(raw) if self.calibrate else raw
        names = {network.id: network.class_names for network in self.networks}
        return [
            Prediction(
                face,
                {run_id: cut[place] for run_id, cut in crops.items()},
                {run_id: row[place] for run_id, row in probabilities.items()},
                names,
            )
            for place, face in enumerate(found)
        ]


def _loaded(
    run: str | Path | Run | RunClassifier, threads: int, root: Path | None
) -> RunClassifier:
    if isinstance(run, RunClassifier):
        return run
    return RunClassifier(
        run if isinstance(run, Run) else find_run(runs_root(root), str(run)), threads
    )


def _framed_size(config: ImageConfig, dataset: str, network_size: int) -> int:
    # A network that sees the middle of an image needs the image around it.
    if config.fit == "resize" or config.size is None:
        return network_size
    return native_size(dataset) or network_size
