"""How the datasets frame a face: where eyes, nose and mouth stand, and what the Haar cascade boxes.

    FERCORE_YUNET=face_detection_yunet_2023mar.onnx python tests/benchmarks/face_crops.py

Medians over images of each dataset that is installed, as fractions of the image's side; each image
is enlarged and continued beyond its edges by its last pixels. `fercore.faces.geometry.REFERENCE`
is their
mean.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from fercore.data import registry
from fercore.faces import detection, geometry
from fercore.paths import data_root

SIDE = 240
DATASETS = ("fer2013", "ckplus", "lfw_emotion")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--data-root", type=Path)
    arguments = parser.parse_args()
    root = data_root(arguments.data_root)
    yunet, haar = detection.load_detector("yunet"), detection.HaarDetector()
    table = Table("dataset", "eyes", "nose", "mouth corners", "Haar's box: left, top, side", "n")
    means = []
    for name in DATASETS:
        if not registry.dataset_status(name, root).installed:
            continue
        splits = registry.load_dataset(name, root)
        part = splits.parts.get("validation") or next(iter(splits.parts.values()))
        chosen = np.random.default_rng(0).permutation(len(part.images))[: arguments.images]
        marks, boxes = [], []
        for image in part.images[chosen]:
            large = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            edge = SIDE // 2
            wide = cv2.copyMakeBorder(large, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
            for face in yunet.detect(wide)[:1]:
                marks.append((face.landmarks - edge) / SIDE)
            for face in haar.detect(wide, smallest=SIDE / 3)[:1]:
                boxes.append((np.array([face.left, face.top, face.side]) - [edge, edge, 0]) / SIDE)
        found, box = np.median(np.array(marks, float), axis=0), np.median(boxes, axis=0)
        means.append(found)
        eyes, nose, mouth = (
            np.round(found[rows].astype(float), 3).tolist() for rows in ([0, 1], 2, [3, 4])
        )
        table.add_row(
            *(name, str(eyes), str(nose), str(mouth), str(np.round(box, 3).tolist())),
            f"{len(marks)}, {len(boxes)}",
        )
    Console(width=160).print(table)
    if means:
        off = np.abs(np.mean(means, axis=0) - geometry.REFERENCE).max()
        print(f"fercore.faces.geometry.REFERENCE is within {off:.3f} of their mean")


if __name__ == "__main__":
    main()
