"""Create a derived dataset in which the faces are aligned by their landmarks.

An aligned face is upright, centred and of a similar size in every image. The derived dataset has
the splits, labels and ids of its source.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fercore.data import registry, store
from fercore.data.quality import audit
from fercore.data.readers.archives import sha256_of_path
from fercore.data.reports import AddReport, OnProgress
from fercore.data.splits import ROLES, UNSPLIT, Split, Splits
from fercore.errors import UserError
from fercore.faces import cropping, detection
from fercore.faces.detection import FaceDetector
from fercore.faces.geometry import Face, Image

DETECTORS = ("yunet",)

# Side in pixels to which an image is scaled before detection. Of 1,000 FER2013 training images
# YuNet finds a face in 95.8% at 144, 97.5% at 192, 97.7% at 240, 97.3% at 288 and 95.0% at 320;
# a replicated border of 30% on each side lowers the fraction at 240 to 93.9%.
_DETECTION_SIDE = 240
# Limits on the side of a face, as fractions of the image's side. The landmarks of a profile are
# close together, those of a tight crop far apart: without limits the former would be enlarged up to
# three times, and the latter framed by a wide border of repeated pixels.
_MIN_SIDE, _MAX_SIDE = 2 / 3, 4 / 3


def load_detector(detector: str, root: Path) -> tuple[FaceDetector, str]:
    """Load a face detector that returns landmarks.

    Args:
        detector: one of `DETECTORS`.
        root: data root, which may have the detector's file.

    Returns:
        The detector and the SHA-256 of its file.

    Raises:
        UserError: if the detector is unknown, or its file is missing or damaged.
    """
    if detector not in DETECTORS:
        raise UserError(
            f"received --detector {detector}, expected a detector with landmarks: "
            f"{', '.join(DETECTORS)}"
        )
    file = detection.yunet_file(root)
    if file is None:
        raise UserError(
            f"YuNet's file is missing; put {detection.YUNET_NAME} of OpenCV's model zoo into "
            f"{root}, or set FERCORE_YUNET to its path"
        )
    return detection.YuNetDetector(file), sha256_of_path(file)


def align_faces(
    images: NDArray[np.uint8],
    detector: FaceDetector,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Rotate the face in each image upright, centre it and scale it.

    Args:
        images: `(n, side, side)` uint8, each of one face.
        detector: detects the faces.
        on_progress: called with the number of images done.

    Returns:
        The aligned images, `(n, side, side)` uint8, and in which of them a face was detected,
        `(n,)` bool. An image without a detected face is unchanged.

    Raises:
        ValueError: if the images are not square.
    """
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(
            f"received images of shape {images.shape}, expected square ones, (n, side, side)"
        )
    aligned = images.copy()
    is_detected = np.zeros(len(images), bool)
    for index, image in enumerate(images):
        face = _central_face(image, detector)
        if face is not None:
            aligned[index] = cropping.crop_face(image, _limit_side(face, len(image)), len(image))
            is_detected[index] = True
        if on_progress and (index + 1) % 128 == 0:
            on_progress(index + 1)
    return aligned, is_detected


def align_dataset(
    source: str,
    name: str,
    root: Path,
    detector: FaceDetector,
    detector_sha256: str,
    on_progress: OnProgress | None = None,
) -> AddReport:
    """Install a dataset of the aligned faces of another dataset.

    A dataset of this name that was aligned from the same source is replaced.

    Args:
        source: name of an installed dataset.
        name: of the new dataset.
        root: data root.
        detector: detects the faces.
        detector_sha256: of the detector's file; stored in the manifest.
        on_progress: called with the number of images done and the total.

    Raises:
        UserError: if the source is unknown, not installed, drawn by code or itself derived, the
            name belongs to another dataset or is not allowed, or the result cannot be stored.
    """
    splits = _load_source(source, name, root)
    parts, fractions = _align_splits(splits, detector, on_progress)
    with store.lock_dataset(root, name):
        manifest = store.write(
            root,
            name,
            splits.class_names,
            parts,
            (),
            validation_from_train=splits.validation_from_train,
            audit=audit(parts),
            derived_from=store.Derivation(
                dataset=source,
                fingerprint=splits.fingerprint,
                titles=dict(splits.titles),
                detector=detector.kind,
                detector_sha256=detector_sha256,
                faces_found=fractions,
            ),
        )
    return AddReport(
        dataset=name,
        changed=True,
        fingerprint=manifest.fingerprint,
        counts=manifest.counts,
        titles=splits.titles,
        audit=manifest.audit,
        notes=tuple(
            f"faces found in {splits.title(role)}: {fraction:.1%}; the other images are unchanged"
            for role, fraction in fractions.items()
        ),
    )


def _load_source(source: str, name: str, root: Path) -> Splits:
    """Load the dataset to align; raise if it or the name of the result cannot be used."""
    registry.check_custom_name(name)
    existing = store.read_derivation(root, name)
    if name in registry.list_custom_datasets(root) and (
        existing is None or existing.dataset != source
    ):
        raise UserError(
            f"received the name {name!r}, which another dataset has; expected a new name, or one "
            f"of a dataset that was aligned from {source}"
        )
    splits = registry.load_dataset(source, root)
    if splits.synthetic:
        raise UserError(f"received {source}, which is drawn by code; expected a dataset of photos")
    if splits.source is not None:
        raise UserError(
            f"received {source}, which is derived from {splits.source.name}; expected "
            f"{splits.source.name}"
        )
    return splits


def _align_splits(
    splits: Splits, detector: FaceDetector, on_progress: OnProgress | None
) -> tuple[dict[str, Split], dict[str, float]]:
    """Align every split; return them by role, and the fraction of images with a detected face."""
    total = sum(map(len, splits.parts.values()))
    parts: dict[str, Split] = {}
    fractions: dict[str, float] = {}
    done = 0
    for role in (role for role in (*ROLES, UNSPLIT) if role in splits.parts):
        part = splits[role]

        def report(count: int, before: int = done) -> None:
            if on_progress:
                on_progress(before + count, total)

        images, is_detected = align_faces(part.images, detector, report)
        parts[role] = Split(images, part.labels, part.ids)
        fractions[role] = round(float(is_detected.mean()), 4)
        done += len(part)
    return parts, fractions


def _central_face(image: Image, detector: FaceDetector) -> Face | None:
    """Return the detected face nearest to the centre, in pixels of the image."""
    import cv2

    side = len(image)
    larger = cv2.resize(image, (_DETECTION_SIDE, _DETECTION_SIDE), interpolation=cv2.INTER_LINEAR)
    detections = [
        face.transform(0, 0, side / _DETECTION_SIDE)
        for face in detector.detect(np.asarray(larger, np.uint8))
    ]

    def distance_to_centre(face: Face) -> float:
        return float(
            np.hypot(face.left + face.side / 2 - side / 2, face.top + face.side / 2 - side / 2)
        )

    return min(detections, key=distance_to_centre, default=None)


def _limit_side(face: Face, image_side: int) -> Face:
    """Limit the side of a face, with the same centre."""
    side = float(np.clip(face.side, _MIN_SIDE * image_side, _MAX_SIDE * image_side))
    shift = (face.side - side) / 2
    return replace(face, left=face.left + shift, top=face.top + shift, side=side)
