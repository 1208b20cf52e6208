"""Realistic run directories for tests and screenshots, written through `fercore.runs.writer`.

python tests/dashboard/make_runs.py FOLDER
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from fercore.config.experiment import ExperimentConfig
from fercore.config.run import PublishedFigure
from fercore.data import store
from fercore.data.labels import FER2013
from fercore.data.quality import audit
from fercore.data.splits import Split
from fercore.evaluation.results import split_result
from fercore.metrics import fit_temperature
from fercore.runs.predictions import Predictions
from fercore.runs.schema import Environment, EpochLog, LayerSummary, OnnxExport, Results, Selection
from fercore.runs.writer import RunWriter

COUNTS = {
    "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "PublicTest": (467, 56, 496, 895, 653, 415, 607),
    "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
}
# How far each class stands above or below the overall recall, as such networks have it.
EASE = np.array([-0.04, -0.16, -0.22, 0.22, -0.13, 0.15, 0.0])
# What each class is mistaken for, one row a class.
MISTAKES = np.array(
    [
        [0, 2, 4, 2, 5, 1, 4],
        [6, 0, 2, 1, 2, 1, 1],
        [4, 1, 0, 2, 5, 4, 4],
        [1, 0.2, 1, 0, 1.5, 1, 2.5],
        [3, 0.5, 4, 2, 0, 0.6, 5],
        [1, 0.2, 3, 2, 0.7, 0, 1.5],
        [2, 0.4, 2, 2, 4, 1, 0],
    ]
)
LAYERS = (
    LayerSummary(
        name="pixels", kind="InputLayer", output_shape=[48, 48, 1], parameters=0, trainable=0
    ),
    LayerSummary(
        name="conv1",
        kind="Conv2D",
        detail="32 kernels 3×3, relu",
        output_shape=[46, 46, 32],
        parameters=320,
        trainable=320,
    ),
    LayerSummary(
        name="pool1",
        kind="MaxPooling2D",
        detail="2×2",
        output_shape=[23, 23, 32],
        parameters=0,
        trainable=0,
    ),
    LayerSummary(
        name="conv2",
        kind="Conv2D",
        detail="64 kernels 3×3, relu",
        output_shape=[21, 21, 64],
        parameters=18496,
        trainable=18496,
    ),
    LayerSummary(name="flatten", kind="Flatten", output_shape=[4096], parameters=0, trainable=0),
    LayerSummary(
        name="hidden",
        kind="Dense",
        detail="64 units, relu",
        output_shape=[64],
        parameters=262208,
        trainable=262208,
    ),
    LayerSummary(name="logits", kind="Dense", output_shape=[7], parameters=455, trainable=455),
)


@dataclass(frozen=True)
class Plan:
    """What one made-up run is like."""

    name: str
    title: str
    accuracy: float = 0.60
    model: str = "katkar2021"
    seed: int = 0
    epochs: int = 30
    done: int = 30
    dropped: tuple[str, ...] = ()
    published: float | None = None
    synthetic: bool = False
    scale: int = 1
    hours_ago: float = 5.0
    device: str = "Intel Xeon, 2 cores"
    settings: dict[str, Any] = field(default_factory=dict)


def finished(root: Path, plan: Plan) -> Path:
    """A run with everything."""
    run = _begun(root, plan)
    rng = np.random.default_rng(plan.seed + len(plan.name))
    views = {"validation": "PublicTest", "test": "PrivateTest"}
    if plan.synthetic:
        views = {"validation": "validation", "test": "test"}
    predictions, splits = {}, {}
    dropped = [FER2013.index(name) for name in plan.dropped]
    for split, title in views.items():
        counts = COUNTS["PublicTest" if split == "validation" else "PrivateTest"]
        found = _predictions(rng, split, counts, plan.accuracy)
        predictions[split] = found
        kept = ~np.isin(found.labels, dropped)
        splits[split] = split_result(title, found.probabilities[kept], found.labels[kept], FER2013)
        if split == "validation":
            temperature = fit_temperature(found.probabilities[kept], found.labels[kept])
        if split == "test":
            unique = kept & (rng.random(len(kept)) > 0.02)
            predictions[split] = replace(found, unique=unique)
            splits["test_unique"] = split_result(
                f"{title} without repeats",
                found.probabilities[unique],
                found.labels[unique],
                FER2013,
            )
            if dropped:
                splits["test_all"] = split_result(
                    f"{title}, all classes", found.probabilities, found.labels, FER2013
                )
    log = _log(plan, plan.done)
    best = max(log, key=lambda row: row.val_accuracy)
    run.write_predictions(predictions)
    parameters = sum(layer.parameters for layer in _layers(plan))
    run.write_record(
        Results(
            class_names=list(FER2013),
            splits=splits,
            selection=Selection(
                epoch=best.epoch,
                split=views["validation"],
                metric="accuracy",
                value=best.val_accuracy,
            ),
            stopped_by="epochs" if plan.done == plan.epochs else "early stopping",
            epochs_run=plan.done,
            parameters=parameters,
            trainable_parameters=parameters,
            train_seconds=log[-1].elapsed,
            images_per_second=2870.0,
            peak_memory_bytes=1_830_000_000,
            finished=_stamp(plan.hours_ago - 0.5),
            onnx=OnnxExport(
                bytes=parameters * 2 + 14_000,
                weights="float16",
                opset=17,
                max_difference=3.1e-4,
                n=512,
            ),
            temperature=temperature,
        )
    )
    run.set_status(state="finished", phase="", epoch=plan.done, epochs=plan.epochs)
    return run.path


def running(root: Path, plan: Plan) -> RunWriter:
    """A run that trains on another machine: without a heartbeat for two minutes it is stalled."""
    run = _begun(root, plan)
    run.set_status(
        **{"state": "running", "phase": "training", "epoch": plan.done, "epochs": plan.epochs},
        **{"step": 210, "steps": 449, "host": "another-machine"},
    )
    return run


def another_epoch(run: RunWriter, plan: Plan, epoch: int) -> None:
    """Let a running run finish an epoch."""
    run.append_log(_log(plan, epoch)[-1])
    run.set_status(epoch=epoch, step=20)


def revive(path: Path) -> None:
    """Give a running run a fresh heartbeat."""
    status = path / "status.json"
    fields = json.loads(status.read_bytes())
    status.write_text(json.dumps(fields | {"heartbeat": time.time()}))


def killed(root: Path, plan: Plan) -> Path:
    """A run of this machine whose process was killed before its first epoch."""
    run = _begun(root, plan)
    (run.path / "log.jsonl").unlink(missing_ok=True)
    (run.path / "environment.json").unlink()
    run.set_status(state="starting", phase="starting", epochs=plan.epochs)
    run.release()
    return run.path


def stalled(root: Path, plan: Plan) -> Path:
    """A run that says it is running but has been silent for an hour."""
    run = running(root, plan)
    status = run.path / "status.json"
    fields = json.loads(status.read_bytes())
    fields["heartbeat"] = time.time() - 3600
    status.write_text(json.dumps(fields))
    os.utime(status, (time.time() - 3600, time.time() - 3600))
    _saved(run)
    return run.path


def ended(root: Path, plan: Plan, state: str, message: str) -> Path:
    """A run that was interrupted or failed."""
    run = running(root, plan)
    run.set_status(state=state, message=message)
    _saved(run)
    return run.path


def _saved(run: RunWriter) -> None:
    """A checkpoint, to be found and not to be read."""
    run.checkpoints.mkdir(exist_ok=True)
    (run.checkpoints / "last.npz").write_bytes(b"")


def broken(root: Path) -> None:
    """A folder with torn JSON, one that is no run, and a run without its status."""
    torn = root / "torn-s0-20250101T000000"
    torn.mkdir(parents=True)
    (torn / "config.json").write_text('{"name": "torn", "epo')
    (root / "holiday-pictures").mkdir()
    (root / "holiday-pictures" / "notes.txt").write_text("not a run")
    run = running(root, Plan("half-written", "A run whose status is gone", done=3))
    (run.path / "status.json").unlink()


def full_root(root: Path) -> RunWriter:
    """A runs root with a run of every kind; the one that is running comes back."""
    finished(
        root,
        Plan(
            "le2019-deep",
            "Le 2019, Deep CNN",
            accuracy=0.659,
            model="le2019",
            seed=1,
            epochs=60,
            done=60,
            published=66.3,
            scale=5,
            hours_ago=3,
            device="NVIDIA H200",
            settings={"augmentation": {"horizontal_flip": True, "rotation": 10}, "batch_size": 128},
        ),
    )
    finished(
        root,
        Plan(
            "le2019-shallow",
            "Le 2019, Shallow CNN",
            accuracy=0.587,
            model="le2019",
            epochs=60,
            done=41,
            scale=2,
            hours_ago=7,
            settings={"model_options": {"variant": "shallow"}},
        ),
    )
    for seed, accuracy in ((0, 0.552), (1, 0.561)):
        finished(
            root,
            Plan(
                "katkar2021-model1-original",
                "Katkar 2021, Model 1, original data",
                accuracy=accuracy,
                seed=seed,
                done=22,
                epochs=100,
                dropped=("disgust",),
                published=54.06,
                hours_ago=20 + seed,
                settings={"class_weights": True},
            ),
        )
    finished(
        root,
        Plan(
            "synthetic-quick",
            "Synthetic faces, the first minute",
            accuracy=0.93,
            done=6,
            epochs=6,
            synthetic=True,
            hours_ago=50,
        ),
    )
    alive = running(
        root, Plan("khopkar2021", "Khopkar 2021, CNN", done=12, epochs=40, hours_ago=0.2)
    )
    stalled(root, Plan("stalled-run", "A training that fell silent", done=7, hours_ago=9))
    stopped = Plan("stopped-run", "A training stopped by hand", done=5, hours_ago=30)
    ended(root, stopped, "interrupted", "interrupted; resume it to continue")
    failed = Plan("failed-run", "A training on a full disk", done=2, hours_ago=31)
    ended(root, failed, "failed", "no space left on device")
    broken(root)
    return alive


def faces(data_root: Path, runs_root: Path) -> None:
    """Install a FER2013 of noise with the samples that the made runs have judged."""
    rng = np.random.default_rng(0)
    titles = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    parts = {}
    for role, title in titles.items():
        counts = COUNTS[title] if role != "train" else (2,) * 7
        n = sum(counts)
        labels = np.repeat(np.arange(7), counts).astype(np.uint8)
        images = rng.integers(0, 256, (n, 48, 48)).astype(np.uint8)
        parts[role] = Split(images, labels, np.array([f"{role}-{i:05d}" for i in range(n)]))
    installed = store.write(
        data_root, "fer2013", FER2013, parts, (), validation_from_train=False, audit=audit(parts)
    )
    for path in runs_root.glob("*/environment.json"):
        fields = json.loads(path.read_bytes()) | {"dataset_fingerprint": installed.fingerprint}
        path.write_text(json.dumps(fields))


def _begun(root: Path, plan: Plan) -> RunWriter:
    published = None
    if plan.published:
        published = PublishedFigure(
            system=plan.name.split("-")[0], row="Table 3", test_accuracy=plan.published
        )
    config = ExperimentConfig(
        name=plan.name,
        title=plan.title,
        published=published,
        dataset="synthetic" if plan.synthetic else "fer2013",
        drop_classes=plan.dropped,
        model=plan.model,
        epochs=plan.epochs,
        seed=plan.seed,
        **plan.settings,
    )
    run = RunWriter.create(root, config)
    counts = {title: dict(zip(FER2013, numbers, strict=True)) for title, numbers in COUNTS.items()}
    run.write_record(
        Environment(
            command=f"fercore train {plan.name} --seed {plan.seed}",
            started=_stamp(plan.hours_ago),
            commit="388398d0c1f2e4b5a6978877665544332211ffee",
            python="3.11.9",
            platform="Linux x86_64",
            packages={"keras": "3.15.1", "tensorflow": "2.20.0", "numpy": "2.3.4"},
            backend="tensorflow",
            device=plan.device,
            cores=2,
            precision="float32",
            dataset_fingerprint="5y7th" if plan.synthetic else "9f1c02d3a4b5c6e7",
            dataset_counts=counts,
            synthetic=plan.synthetic,
        )
    )
    run.write_layers(_layers(plan))
    for row in _log(plan, plan.done):
        run.append_log(row)
    return run


def _layers(plan: Plan) -> Sequence[LayerSummary]:
    return [
        layer.model_copy(
            update={
                "parameters": layer.parameters * plan.scale,
                "trainable": layer.trainable * plan.scale,
            }
        )
        for layer in LAYERS
    ]


def _log(plan: Plan, epochs: int) -> list[EpochLog]:
    rng = np.random.default_rng(plan.seed * 31 + len(plan.name))
    rows, elapsed = [], 0.0
    for epoch in range(1, epochs + 1):
        learned = 1 - np.exp(-epoch / (plan.epochs * 0.22))
        val = 0.25 + (plan.accuracy - 0.25) * learned + rng.normal(0, 0.006)
        train = 0.24 + (min(plan.accuracy + 0.2, 0.98) - 0.24) * learned**1.3
        seconds = 11.0 * plan.scale + rng.normal(0, 0.3)
        elapsed += seconds + 1.2
        rows.append(
            EpochLog(
                epoch=epoch,
                loss=float(1.9 * (1 - train) + 0.05),
                accuracy=float(train),
                val_loss=float(2.4 * (1 - val) + 0.02 * epoch / plan.epochs * 20 * learned * 0.3),
                val_accuracy=float(np.clip(val, 0, 1)),
                learning_rate=0.001 * (0.5 if epoch > plan.epochs // 2 else 1.0),
                seconds=seconds,
                val_seconds=1.2,
                images_per_second=28709 / seconds,
                elapsed=elapsed,
            )
        )
    return rows


def _predictions(
    rng: np.random.Generator, split: str, counts: Sequence[int], accuracy: float
) -> Predictions:
    labels = np.repeat(np.arange(7), counts).astype(np.uint8)
    recall = np.clip(accuracy + 0.02 + EASE, 0.05, 0.98)
    transition = MISTAKES / MISTAKES.sum(axis=1, keepdims=True) * (1 - recall[:, None])
    transition[np.arange(7), np.arange(7)] = recall
    draws = rng.random((len(labels), 1))
    said = (draws < transition.cumsum(axis=1)[labels]).argmax(axis=1)
    right = said == labels
    weight = np.where(right, rng.beta(3, 1.6, len(labels)), rng.beta(2, 3, len(labels)))
    probabilities = rng.dirichlet(np.full(7, 2.0), len(labels)) * (1 - weight[:, None])
    probabilities[np.arange(len(labels)), said] += weight
    ids = np.array([f"{split}-{i:05d}" for i in range(len(labels))])
    return Predictions(ids, labels, probabilities.astype(np.float32))


def _stamp(hours_ago: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours_ago)).isoformat(timespec="seconds")


if __name__ == "__main__":
    full_root(Path(sys.argv[1]))
