"""Evaluate an ONNX network of another project in a separate process.

`python -m fercore.importers.worker FOLDER MEMORY` reads `task.json` and `task.npz` in a folder and
writes `outcome.json`, and if the network fits `predictions.npz` and `model.onnx`. The files hold no
pickles, because the waiting process does not trust the content that this one writes.
"""

import json
import os
import sys
import traceback
from dataclasses import asdict
from dataclasses import fields as fields_of
from pathlib import Path

import numpy as np

from fercore.errors import UserError
from fercore.importers.limited_process import MEMORY_EXIT, is_memory_error, limit_memory
from fercore.importers.onnx_evaluation import evaluate_network
from fercore.importers.onnx_inputs import ModelIOSpec
from fercore.importers.onnx_task import Outcome, Task

# Prefix of the arrays of images to predict in `task.npz`.
_EVALUATED = "evaluated_"


def write_task(task: Task, folder: Path) -> None:
    """Write the files from which `main` reads its task."""
    fields = {entry.name: getattr(task, entry.name) for entry in fields_of(task)}
    arrays = {name: fields.pop(name) for name in ("images", "truth")}
    arrays |= {f"{_EVALUATED}{role}": images for role, images in fields.pop("evaluated").items()}
    fields["file"] = str(task.file.absolute())
    (folder / "task.json").write_text(json.dumps(fields))
    np.savez(folder / "task.npz", **arrays)


def read_task(folder: Path) -> Task:
    """Read the task that `write_task` wrote."""
    fields = json.loads((folder / "task.json").read_text())
    with np.load(folder / "task.npz", allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    fields |= {
        "file": Path(fields["file"]),
        "class_names": tuple(fields["class_names"]),
        "labels": tuple(fields["labels"]),
        "size": tuple(fields["size"]) if fields["size"] else None,
        "normalizations": {
            name: (tuple(mean), tuple(std))
            for name, (mean, std) in fields["normalizations"].items()
        },
    }
    evaluated = {
        name.removeprefix(_EVALUATED): images
        for name, images in arrays.items()
        if name.startswith(_EVALUATED)
    }
    return Task(**fields, images=arrays["images"], truth=arrays["truth"], evaluated=evaluated)


def write_outcome(outcome: Outcome, folder: Path) -> None:
    """Write the files that `read_outcome` reads."""
    fields = asdict(outcome)
    content, probabilities = fields.pop("content"), fields.pop("probabilities")
    (folder / "model.onnx").write_bytes(content)
    np.savez(folder / "predictions.npz", **probabilities)
    (folder / "outcome.json").write_text(json.dumps(fields))


def read_outcome(folder: Path) -> Outcome:
    """Read the outcome that the other process wrote.

    Raises:
        UserError: that was raised in the other process.
    """
    fields = json.loads((folder / "outcome.json").read_text())
    if "error" in fields:
        raise UserError(fields["error"])
    spec = fields.pop("spec")
    for name in ("size", "mean", "std"):
        spec[name] = tuple(spec[name])
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        probabilities = {name: stored[name] for name in stored.files}
    fields |= {"names": tuple(fields["names"]), "probabilities": probabilities}
    content = (folder / "model.onnx").read_bytes()
    return Outcome(spec=ModelIOSpec(**spec), content=content, **fields)


def main(folder: Path, memory_bytes: int) -> int:
    """Evaluate the network of a task; return the exit status."""
    import onnx  # noqa: F401  # its memory must not count as the network's
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    task = read_task(folder)
    limit_memory(memory_bytes)
    try:
        write_outcome(evaluate_network(task), folder)
    except Exception as error:  # onnx and onnxruntime raise many classes on a hostile file
        if os.environ.get("FERCORE_DEBUG"):
            traceback.print_exc()
        if is_memory_error(error):
            return MEMORY_EXIT
        text = str(error)
        if not isinstance(error, UserError):
            reason = " ".join(text.split())[:200]
            text = f"{task.file.name} cannot be imported ({type(error).__name__}: {reason})"
        (folder / "outcome.json").write_text(json.dumps({"error": text}))
    return 0


if __name__ == "__main__":
    status = main(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.flush()
    os._exit(status)  # skips the destructors of a network, which may not return
