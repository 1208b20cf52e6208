"""Recall and false detections of the face detectors, and their effect on a network's accuracy.

    python tests/benchmarks/face_finders.py --run RUN [--images 500]

"found" is the share of LFW-emotion's photos (one face each, here 210 pixels high on a wall of
640x480) in which a face is found where it is; "false" the boxes elsewhere, for each hundred of
them; "in none" the boxes in scikit-image's photos without a face. "accuracy" is the run's on
PrivateTest of FER2013 when each image is enlarged, set into a larger one, and found again; what is
not found counts as wrong. The first line has the images as they are. Times are of one search of a
whole frame.
"""

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from fercore.data import registry
from fercore.faces import detection, geometry
from fercore.inference.predictor import Predictor
from fercore.paths import data_root

NOBODY = ("cat", "coffee", "rocket", "coins", "brick", "grass", "gravel", "clock", "text", "page")
SIDE, SIZE = 210, (480, 640)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", required=True)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--data-root", type=Path)
    arguments = parser.parse_args()
    root = data_root(arguments.data_root)
    rng = np.random.default_rng(0)
    portraits = take(
        next(iter(registry.load_dataset("lfw_emotion", root).parts.values())), arguments.images, rng
    )
    test = take(registry.load_dataset("fer2013", root)["test"], arguments.images, rng)
    table = Table("detector", "found", "false", "in none", "ms", "found in FER2013", "accuracy")
    kinds = ["haar", *(["yunet"] if detection.yunet_file() else [])]
    asis = Predictor([arguments.run], detection.HaarDetector(), threads=0)
    table.add_row("none: as they are", *[""] * 5, f"{accuracy(asis, test, whole=True)[1]:.1%}")
    for kind in kinds:
        detector = detection.load_detector(kind)
        found, false, times = [], 0, []
        for image in portraits.images:
            scene, wanted = placed(image, rng)
            began = time.perf_counter()
            boxes = detector.detect(scene)
            times.append(time.perf_counter() - began)
            hits = [geometry.iou(face, wanted) > 0.5 for face in boxes]
            found.append(any(hits))
            false += len(hits) - any(hits)
        nowhere = sum(len(detector.detect(image)) for image in without_faces())
        seen, right = accuracy(Predictor([arguments.run], detector, threads=0), test)
        table.add_row(
            *(detection.DETECTOR_TITLES[detector.kind], f"{np.mean(found):.1%}"),
            *(f"{100 * false / len(found):.1f}", f"{nowhere} of {len(NOBODY)}"),
            *(f"{1e3 * statistics.median(times):.1f}", f"{seen:.1%}", f"{right:.1%}"),
        )
    Console().print(table)


def take(part, count: int, rng: np.random.Generator):
    return part.take(np.sort(rng.permutation(len(part.images))[:count]))


def placed(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, geometry.Face]:
    """A portrait on a wall; the dataset's frame is where the face is."""
    scene = np.full(SIZE, 110, np.float32) + rng.normal(0, 4, SIZE)
    top, left = (int(rng.integers(0, size - SIDE)) for size in SIZE)
    scene[top : top + SIDE, left : left + SIDE] = cv2.resize(image, (SIDE, SIDE))
    grey = np.clip(scene, 0, 255).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), geometry.Face(left, top, SIDE)


def without_faces() -> list[np.ndarray]:
    from skimage import data as photos

    found = [np.asarray(getattr(photos, name)()) for name in NOBODY]
    return [
        cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
        for image in found
    ]


def accuracy(predictor: Predictor, part, whole: bool = False) -> tuple[float, float]:
    """Shares of the images found, and of those named rightly."""
    run = predictor.ids[0]
    names = predictor.networks[0].class_names
    seen = right = 0
    for image, label in zip(part.images, part.labels, strict=True):
        if whole:
            said = predictor.predict(image, [geometry.full_image_face(image)])
        else:
            large = cv2.resize(image, (192, 192), interpolation=cv2.INTER_CUBIC)
            said = predictor.predict(
                cv2.copyMakeBorder(large, 96, 96, 96, 96, cv2.BORDER_REPLICATE)
            )
        seen += bool(said)
        right += bool(said) and said[0].top(run)[0] == names[label]
    return seen / len(part.images), right / len(part.images)


if __name__ == "__main__":
    main()
