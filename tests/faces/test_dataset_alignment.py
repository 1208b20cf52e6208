"""Faces aligned by landmarks, and the dataset of them: its splits, its record, its leaks."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fercore.cli import main
from fercore.config.experiment import ExperimentConfig
from fercore.data import registry, store
from fercore.data import store as store_module
from fercore.data.labels import FER2013
from fercore.data.quality import audit
from fercore.data.splits import UNSPLIT, DatasetVersion, Split, Splits
from fercore.errors import UserError
from fercore.evaluation import protocol
from fercore.faces import cropping, dataset_alignment, detection
from fercore.faces.geometry import Face
from fercore.runs.provenance import describe_environment
from fercore.runs.reader import Run, read_run
from fercore.runs.writer import RunWriter
from fercore.training.warm_start import resolve_initial_run, resolve_teachers
from tests.photos import astronaut
from tests.tiny import UntrainedRun, make_splits, tiny_config


class FakeDetector:
    """Finds the same faces, in pixels of the detection image, in every image that is not black."""

    kind = "yunet"

    def __init__(self, *found: Face):
        self.found = list(found)

    def detect(self, image, smallest=None, largest=None):
        assert image.shape == (240, 240)
        return self.found if image.any() else []


def photo(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(1, 256, (48, 48), dtype=np.uint8), (0, 0), 2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with a small FER2013; a quarter of its images is black."""
    parts = {}
    for role, part in make_splits().parts.items():
        part.images[::4] = 0
        parts[role] = part
    store.write(
        tmp_path, "fer2013", FER2013, parts, (), validation_from_train=True, audit=audit(parts)
    )
    return tmp_path


@pytest.fixture
def aligned(root: Path) -> Path:
    """That root with its aligned faces beside it."""
    align(root)
    return root


def align(
    root: Path, source: str = "fer2013", name: str = "fer2013-aligned"
) -> store_module.AddReport:
    detector = FakeDetector(Face(20, 30, 200, 0.2))
    return dataset_alignment.align_dataset(source, name, root, detector, "f" * 64)


def test_the_face_nearest_to_the_centre_is_cut_in_pixels_of_the_image():
    image = photo()
    near, far = Face(25, 35, 180, 0.3), Face(150, 150, 220)
    result, found = dataset_alignment.align_faces(image[None], FakeDetector(far, near))
    assert found.tolist() == [True]
    assert (result.shape, result.dtype) == ((1, 48, 48), np.uint8)
    np.testing.assert_array_equal(result[0], cropping.crop_face(image, Face(5, 7, 36, 0.3), 48))


def test_an_image_without_a_detected_face_stays_as_it_is():
    images = np.stack([photo(), np.zeros((48, 48), np.uint8), photo(1)])
    before = images.copy()
    result, found = dataset_alignment.align_faces(images, FakeDetector(Face(40, 40, 170)))
    assert found.tolist() == [True, False, True]
    np.testing.assert_array_equal(result[1], before[1])
    assert (result[0] != before[0]).any()
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(("side", "limited"), [(40, 32), (200, 40), (500, 64)])
def test_the_scale_is_limited_around_the_same_centre(side: float, limited: float):
    image = photo()
    face = Face(130 - side / 2, 110 - side / 2, side)
    result, _ = dataset_alignment.align_faces(image[None], FakeDetector(face))
    expected = cropping.crop_face(image, Face(26 - limited / 2, 22 - limited / 2, limited), 48)
    np.testing.assert_array_equal(result[0], expected)


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="expected square ones"):
        dataset_alignment.align_faces(np.zeros((2, 48, 40), np.uint8), FakeDetector())


def test_the_dataset_keeps_splits_labels_ids_and_titles(root: Path):
    report = align(root)
    source, splits = (
        registry.load_dataset("fer2013", root),
        registry.load_dataset("fer2013-aligned", root),
    )
    assert list(splits) == ["train", "validation", "test"]
    assert splits.titles == source.titles
    assert splits.class_names == source.class_names
    assert splits.validation_from_train
    assert splits.source == splits.original == DatasetVersion("fer2013", source.fingerprint)
    for role in source:
        assert splits[role].ids.tolist() == source[role].ids.tolist()
        assert splits[role].labels.tolist() == source[role].labels.tolist()
        changed = (splits[role].images != source[role].images).any(axis=(1, 2))
        assert changed.mean() == pytest.approx(0.75, abs=0.01)
    assert report.fingerprint == splits.fingerprint != source.fingerprint
    assert "faces found in PublicTest: 75.0%; the other images are unchanged" in report.notes
    protocol.build_protocol(tiny_config(dataset="fer2013-aligned"), splits)


def test_the_record_says_what_it_was_derived_from(aligned: Path):
    derived = store.read_manifest(aligned, "fer2013-aligned").derived_from
    assert derived.dataset == "fer2013"
    assert derived.fingerprint == registry.load_dataset("fer2013", aligned).fingerprint
    assert (derived.detector, derived.detector_sha256) == ("yunet", "f" * 64)
    assert derived.faces_found == {"train": 0.75, "validation": 0.75, "test": 0.75}
    status = registry.dataset_status("fer2013-aligned", aligned)
    assert status.installed
    assert sum(status.counts["train"].values()) == 600
    assert "aligned from fer2013" in status.remark
    assert "PrivateTest 75.0%" in status.remark


def test_the_record_of_any_other_dataset_is_that_of_earlier_versions(root: Path):
    assert "derived_from" not in json.loads((root / "fer2013" / "dataset.json").read_text())
    splits = registry.load_dataset("fer2013", root)
    assert splits.source is None
    assert splits.original == DatasetVersion("fer2013", splits.fingerprint)


def test_subjects_and_frames_stay_known(tmp_path: Path):
    ids = np.array([f"S0{k // 3:02d}_001_{k:08d}" for k in range(12)])
    images = np.stack([photo(k) for k in range(12)])
    parts = {UNSPLIT: Split(images, (np.arange(12) % 7).astype(np.uint8), ids)}
    names = registry._import_dataset("ckplus", tmp_path).CLASS_NAMES
    store.write(
        tmp_path, "ckplus", names, parts, (), validation_from_train=False, audit=audit(parts)
    )
    align(tmp_path, "ckplus", "ckplus-aligned")
    pool = registry.load_dataset("ckplus-aligned", tmp_path)[UNSPLIT]
    assert set(pool.groups) == {"subject", "sequence"}
    assert pool.groups["subject"][0] == "S000"


def test_images_are_not_added_to_a_derived_dataset(aligned: Path, tmp_path: Path):
    with pytest.raises(UserError, match="is derived from fer2013; expected them for fer2013"):
        registry.add_dataset("fer2013-aligned", [tmp_path], aligned)
    with pytest.raises(UserError, match="is derived from fer2013"):
        registry.add_dataset("fer2013-aligned", [tmp_path], aligned, new_size=48)


def test_a_damaged_one_is_aligned_again(aligned: Path):
    (stored,) = (aligned / "fer2013-aligned").glob("*.npz")
    stored.write_bytes(stored.read_bytes()[:-100])
    status = registry.dataset_status("fer2013-aligned", aligned)
    assert not status.installed
    assert "fercore data align fer2013 --name fer2013-aligned" in status.remark
    align(aligned)
    assert registry.dataset_status("fer2013-aligned", aligned).installed


def test_what_cannot_be_aligned_is_said_in_one_line(aligned: Path):
    with pytest.raises(UserError, match="received the dataset 'faces', expected one of"):
        align(aligned, "faces", "other")
    with pytest.raises(UserError, match="ckplus is not installed"):
        align(aligned, "ckplus", "other")
    with pytest.raises(UserError, match="drawn by code"):
        align(aligned, "synthetic", "other")
    with pytest.raises(UserError, match="derived from fer2013; expected fer2013"):
        align(aligned, "fer2013-aligned", "other")
    for name in ("fer2013", "../up"):
        with pytest.raises(UserError, match="for a new dataset"):
            align(aligned, "fer2013", name)
    parts = {UNSPLIT: registry.load_dataset("fer2013", aligned)["test"]}
    store.write(
        aligned, "mine", FER2013, parts, (), validation_from_train=False, audit=audit(parts)
    )
    with pytest.raises(UserError, match="'mine', which another dataset has"):
        align(aligned, "fer2013", "mine")
    assert registry.load_dataset("mine", aligned).source is None


def test_a_detector_that_is_not_there_says_how_to_get_it(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("FERCORE_YUNET", raising=False)
    with pytest.raises(UserError, match=f"put {detection.YUNET_NAME} .* into {tmp_path}"):
        dataset_alignment.load_detector("yunet", tmp_path)
    with pytest.raises(UserError, match="received --detector haar, expected a detector with land"):
        dataset_alignment.load_detector("haar", tmp_path)


def test_the_command_aligns_and_lists(root: Path, monkeypatch, capsys):
    detector = FakeDetector(Face(20, 30, 200, 0.2))
    monkeypatch.setattr(dataset_alignment, "load_detector", lambda *_: (detector, "f" * 64))

    def command(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["fercore", "data", *words, "--data-root", str(root)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    said = command("align", "fer2013", "--name", "fer2013-aligned")
    assert "faces found in Training: 75.0%" in said
    assert "fer2013-aligned is in" in said
    listed = {entry["name"]: entry for entry in json.loads(command("list", "--json"))}
    assert listed["fer2013-aligned"]["installed"]
    assert set(listed["fer2013-aligned"]["counts"]) == {"train", "validation", "test"}


# A derived dataset holds the images of its source: who was trained on one has seen the other.


def run_on(runs: Path, config: ExperimentConfig, splits: Splits) -> Run:
    """A finished run of a training on a dataset, without a network."""
    writer = RunWriter.create(runs, config)
    laid_out = protocol.build_protocol(config, splits)
    details = {"backend": "none", "device": "none", "precision": "float32"}
    environment = describe_environment("test", splits, laid_out, **details)
    writer.write_record(environment)
    writer.write_record(UntrainedRun(config, 100).results)
    (writer.path / "checkpoints").mkdir(exist_ok=True)
    (writer.path / "checkpoints" / "best.npz").touch()
    layer = {"name": "input", "kind": "InputLayer", "output_shape": [48, 48, 1]}
    (writer.path / "layers.json").write_text(
        json.dumps([layer | {"parameters": 0, "trainable": 0}])
    )
    writer.set_status(state="finished")
    run = read_run(writer.path)
    assert not run.problem
    return run


@pytest.fixture
def both(aligned: Path) -> dict[str, Splits]:
    return {name: registry.load_dataset(name, aligned) for name in ("fer2013", "fer2013-aligned")}


def test_a_run_records_the_source_of_its_dataset(both, tmp_path: Path):
    for name, splits in both.items():
        run = run_on(tmp_path / "runs", tiny_config(dataset=name), splits)
        assert run.environment.dataset_fingerprint == splits.fingerprint
        assert run.original_dataset == DatasetVersion("fer2013", both["fer2013"].fingerprint)


@pytest.mark.parametrize("seen", ["fer2013", "fer2013-aligned"])
@pytest.mark.parametrize("wanted", ["fer2013", "fer2013-aligned"])
def test_weights_do_not_leak_between_a_dataset_and_its_aligned_faces(
    both, tmp_path: Path, seen: str, wanted: str
):
    runs = tmp_path / "runs"
    official = run_on(runs, tiny_config(dataset=seen), both[seen])
    config = tiny_config(dataset=wanted, init_from=official.id)
    # The same split of the same images: it has trained on what is trained on here.
    assert resolve_initial_run(runs, config, both[wanted]).id == official.id
    random = {"split": "random"}
    divided = tiny_config(dataset=wanted, init_from=official.id, protocol=random)
    with pytest.raises(UserError, match="trained on other samples and may have seen"):
        resolve_initial_run(runs, divided, both[wanted])
    at_random = run_on(runs, tiny_config(dataset=seen, protocol=random), both[seen])
    with pytest.raises(UserError, match="trained on other samples and may have seen"):
        resolve_initial_run(runs, tiny_config(dataset=wanted, init_from=at_random.id), both[wanted])
    # Another version of the source may be divided otherwise.
    original = both[wanted].original._replace(fingerprint="0" * 16)
    other = replace(both[wanted], fingerprint="0" * 16)
    if other.source:
        other = replace(other, source=original)
    with pytest.raises(UserError, match="trained on other samples and may have seen"):
        resolve_initial_run(runs, config, other)


def test_a_teacher_that_saw_the_aligned_faces_does_not_teach_the_source(both, tmp_path: Path):
    runs = tmp_path / "runs"
    run = run_on(runs, tiny_config(dataset="fer2013-aligned"), both["fer2013-aligned"])
    config = tiny_config(dataset="fer2013", distillation={"teachers": [run.id]})
    with pytest.raises(UserError, match="expected the same dataset and protocol"):
        resolve_teachers(runs, config, both["fer2013"])


def test_a_run_is_evaluated_on_the_aligned_faces_by_its_own_division(both, tmp_path: Path):
    random = {"split": "random"}
    config = tiny_config(dataset="fer2013", protocol=random)
    run = run_on(tmp_path / "runs", config, both["fer2013"])
    protocol.require_same_splits(run, both["fer2013-aligned"])
    changed = DatasetVersion("fer2013", "0" * 16)
    with pytest.raises(UserError, match="was trained on another version of fer2013"):
        protocol.require_same_splits(run, replace(both["fer2013-aligned"], source=changed))


@pytest.mark.parametrize(
    ("seen", "asked"), [("fer2013", "fer2013-aligned"), ("fer2013-aligned", "fer2013")]
)
def test_evaluate_divides_the_aligned_faces_as_the_run_was_trained(
    both, tmp_path: Path, root: Path, monkeypatch, capsys, seen: str, asked: str
):
    """What is judged is the random test, not PrivateTest, most of which it was trained on."""
    runs = tmp_path / "runs"
    config = tiny_config(dataset=seen, protocol={"split": "random"})
    run = run_on(runs, config, both[seen])
    judged = {}

    def evaluate_onnx(run, splits, role, views):
        judged.update(ids=splits[role].ids.tolist())
        return run.results.splits["test"]

    monkeypatch.setattr("fercore.inference.run_evaluation.require_network", lambda run: run.path)
    monkeypatch.setattr("fercore.inference.run_evaluation.evaluate_onnx", evaluate_onnx)
    options = ["--data-root", str(root), "--runs-root", str(runs), "--dataset", asked]
    monkeypatch.setattr(sys, "argv", ["fercore", "evaluate", run.id, *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr().err
    expected = protocol.build_protocol(config, both[seen]).eval_splits["test"].ids.tolist()
    assert judged["ids"] == expected


_FILE = detection.yunet_file()


@pytest.mark.skipif(_FILE is None, reason="FERCORE_YUNET names no file of YuNet")
def test_yunet_turns_a_face_upright(tmp_path: Path):
    shutil.copy(_FILE, tmp_path / detection.YUNET_NAME)
    detector, digest = dataset_alignment.load_detector("yunet", tmp_path)
    assert len(digest) == 64
    grey = cropping.to_grey(astronaut())
    crops = [
        cropping.crop_face(grey, Face(160, 55, 124, float(np.radians(a))), 48) for a in (-20, 0, 20)
    ]
    result, found = dataset_alignment.align_faces(np.stack(crops), detector)
    assert found.all()

    def difference(images: list[np.ndarray] | np.ndarray) -> float:
        left, middle, right = np.asarray(images, float)[:, 10:40, 10:40]
        return float(np.abs(left - middle).mean() + np.abs(right - middle).mean())

    assert difference(result) < 0.7 * difference(crops)
