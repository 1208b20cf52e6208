"""Write run directories.

Small files are replaced atomically: written to a temporary file, flushed to the disk, renamed. The
per-epoch log is appended to. `results.json` is written last: where it exists, the run is complete.
"""

import itertools
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import BaseModel

from fercore.config.experiment import ExperimentConfig
from fercore.config.run import RunConfig
from fercore.errors import UserError
from fercore.io.files import atomic_write
from fercore.runs import locks
from fercore.runs.activity import claims_activity, gives_signs_of_life, lock_decides
from fercore.runs.predictions import Predictions
from fercore.runs.reader import read_run
from fercore.runs.schema import RUN_FILES, Environment, EpochLog, LayerSummary, Results, Status

if TYPE_CHECKING:
    from filelock import BaseFileLock

HEARTBEAT_SECONDS = 5.0


class RunWriter:
    """Writes one run directory.

    `create` and `claim` return a writer that holds the lock of the run. In a `with` statement it
    writes the heartbeat every few seconds, and releases the lock at the end; statements may be
    nested.
    """

    def __init__(self, path: Path):
        self.path = path
        self._status = Status(state="running", heartbeat=time.time(), pid=os.getpid())
        self._changing = threading.Lock()
        self._writing = threading.Lock()
        self._run_lock: BaseFileLock | None = None
        self._status_before: bytes | None = None
        self._beat: tuple[threading.Event, threading.Thread] | None = None
        self._depth = 0

    @classmethod
    def create(cls, root: Path, config: RunConfig) -> "RunWriter":
        """Make a new run directory, named after the experiment, its seed, fold and the time.

        Raises:
            UserError: if the folder cannot be made.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        fold = f"-f{config.protocol.fold}" if config.protocol.by_folds else ""
        name = f"{config.name}-s{config.seed}{fold}-{stamp}"
        hidden = None
        try:
            root.mkdir(parents=True, exist_ok=True)
            # Hidden until it holds a config, so that no reader finds an incomplete run.
            hidden = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=root))
            writer = cls(hidden)
            writer.write_json("config.json", config.model_dump(mode="json"))
            path = writer._reserve_name(root, name)
            epochs = config.epochs if isinstance(config, ExperimentConfig) else 0
            writer.set_status(state="starting", phase="starting", epochs=epochs)
            hidden.chmod(0o755)
            writer.path = hidden.rename(path)
        except OSError as error:
            if hidden is not None:
                writer.release()
                shutil.rmtree(hidden, ignore_errors=True)
            raise UserError(
                f"cannot make a run directory under {root} ({error.strerror}); "
                "mend that or name another folder with --runs-root"
            ) from None
        return writer

    @classmethod
    def claim(cls, path: Path) -> "RunWriter":
        """Take the lock of an existing run, to resume or change it.

        Raises:
            UserError: if another process uses it; the message names the process.
        """
        writer = cls(path)
        try:
            writer._run_lock = locks.take(path)
        except locks.LockHeldError as holder:
            raise UserError(f"{path.name} is in use by {holder}; wait for its end") from None
        status = read_run(path).status
        if status is None:
            return writer
        has_ended = writer._run_lock is not None and lock_decides(status)
        if claims_activity(status) and not has_ended and gives_signs_of_life(path, status):
            writer.release()
            raise UserError(
                f"{path.name} is in use by process {status.pid} on "
                f"{status.host or 'an unknown machine'}; wait for its end"
            )
        writer._status = status
        return writer

    def _reserve_name(self, root: Path, name: str) -> Path:
        """Return a free path under the root, and take its lock."""
        for count in itertools.count(1):
            path = root / (name if count == 1 else f"{name}-{count}")
            with suppress(locks.LockHeldError):
                self._run_lock = locks.take(path)
                if not path.exists():
                    return path
                self.release()
        raise AssertionError  # count() has no end

    def release(self) -> None:
        """Release the lock."""
        if self._run_lock is not None:
            self._run_lock.release()
            self._run_lock = None

    def announce(self, epochs: int) -> None:
        """Write that the run is starting again; `withdraw` undoes it."""
        with suppress(OSError):
            self._status_before = (self.path / "status.json").read_bytes()
        self.set_status(state="starting", phase="starting", epochs=epochs, step=0, message="")

    def withdraw(self) -> None:
        """Restore the status from before `announce`: the run cannot be resumed now."""
        if self._status_before is None:
            return
        self._stop_heartbeat()
        with suppress(OSError), self.replacing("status.json") as file:
            file.write(self._status_before)

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            self._start_heartbeat()
        return self

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._stop_heartbeat()
            self.release()

    @property
    def checkpoints(self) -> Path:
        """The folder of Keras checkpoints, which git ignores."""
        folder = self.path / "checkpoints"
        folder.mkdir(exist_ok=True)
        return folder

    def discard(self) -> None:
        """Remove the run directory."""
        self._stop_heartbeat()  # which would write into the folder meanwhile
        shutil.rmtree(self.path, ignore_errors=True)

    def write_record(self, record: BaseModel) -> None:
        """Replace the file that holds this kind of record."""
        file = next(name for name, kind in RUN_FILES.items() if kind is type(record))
        self.write_json(file, record.model_dump(mode="json"))

    def write_layers(self, layers: Sequence[LayerSummary]) -> None:
        """Replace the layer table."""
        self.write_json("layers.json", [layer.model_dump(mode="json") for layer in layers])

    def write_json(self, name: str, content: Any) -> None:
        """Replace a JSON file atomically.

        Raises:
            ValueError: if a number is not finite.
        """
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        with self.replacing(name) as file:
            file.write(text.encode())

    def write_predictions(self, predictions: Mapping[str, Predictions]) -> None:
        """Replace `predictions.npz`; probabilities are stored in half precision.

        Where both splits hold the same samples, they are stored once, as `"test"`.
        """
        arrays: dict[str, Any] = {}
        for split, part in predictions.items():
            if split == "validation" and _are_equal(part, predictions.get("test")):
                continue
            arrays[f"{split}_ids"] = part.ids
            arrays[f"{split}_labels"] = part.labels
            arrays[f"{split}_probabilities"] = part.probabilities.astype(np.float16)
            if part.groups is not None:
                arrays[f"{split}_groups"] = part.groups
                arrays[f"{split}_group_kind"] = np.array(part.group_kind)
            if part.unique is not None:
                arrays[f"{split}_unique"] = part.unique
        with self.replacing("predictions.npz") as file:
            np.savez_compressed(file, **arrays)

    def append_log(self, row: EpochLog) -> None:
        """Append one epoch to the log, flushed to the disk."""
        with (self.path / "log.jsonl").open("ab") as file:
            file.write(row.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def rewrite_log(self, rows: Sequence[EpochLog]) -> None:
        """Replace the log, to drop an incomplete line or epochs after the checkpoint."""
        with self.replacing("log.jsonl") as file:
            file.writelines(row.model_dump_json().encode() + b"\n" for row in rows)

    def set_status(self, **changes: Any) -> None:
        """Change fields of the status and write it, with a new heartbeat."""
        with self._writing:
            # `record_step` changes the status too, and must never wait for the disk.
            with self._changing:
                self._status = self._status.model_copy(
                    update={
                        "pid": os.getpid(),
                        "host": locks.HOST,
                        "locked": self._run_lock is not None,
                        **changes,
                        "heartbeat": time.time(),
                    }
                )
                status = self._status
            self.write_json("status.json", status.model_dump(mode="json"))

    def set_status_best_effort(self, **changes: Any) -> None:
        """Like `set_status`, but ignore a full disk, which must not hide an earlier error."""
        with suppress(OSError):
            self.set_status(**changes)

    def record_step(self, step: int, steps: int) -> None:
        """Record the steps done in this epoch; the next heartbeat writes them."""
        with self._changing:
            self._status = self._status.model_copy(update={"step": step, "steps": steps})

    def _start_heartbeat(self) -> None:
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_SECONDS):
                # A full disk must not end the thread: there may be space at the next beat.
                self.set_status_best_effort()

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        self._beat = stop, thread

    def _stop_heartbeat(self) -> None:
        if self._beat is not None:
            stop, thread = self._beat
            stop.set()
            thread.join()
            self._beat = None

    @contextmanager
    def replacing(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file to write; it gets its name once it is complete and flushed to the disk."""
        with atomic_write(self.path / name) as file:
            yield file


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory, so that no other process resumes it meanwhile.

    Raises:
        UserError: as `RunWriter.claim`.
    """
    writer = RunWriter.claim(path)
    try:
        yield
    finally:
        writer.release()


def write_finished_run(
    root: Path,
    config: RunConfig,
    environment: Environment,
    predictions: Mapping[str, Predictions],
    results: Results,
    network: bytes | None = None,
    layers: Sequence[LayerSummary] = (),
) -> Path:
    """Write a run that was not trained; on failure nothing is left.

    Args:
        root: of the runs.
        config: of an imported or combined run.
        environment: in which it was evaluated.
        predictions: by split.
        results: figures of these predictions.
        network: content of its `model.onnx`.
        layers: its layer table, where there is one.

    Returns:
        The new run directory.

    Raises:
        UserError: if the files cannot be written.
    """
    with RunWriter.create(root, config) as run:
        return _write_all(run, environment, predictions, results, network, layers)


def _write_all(
    run: RunWriter,
    environment: Environment,
    predictions: Mapping[str, Predictions],
    results: Results,
    network: bytes | None,
    layers: Sequence[LayerSummary],
) -> Path:
    try:
        run.write_record(environment)
        run.write_predictions(predictions)
        if network is not None:
            with run.replacing("model.onnx") as file:
                file.write(network)
        if layers:
            run.write_layers(layers)
        run.write_record(results)
        run.set_status(state="finished", phase="")
    except BaseException as error:
        run.discard()
        if isinstance(error, OSError):
            raise UserError(
                f"cannot write {run.path} ({error.strerror}); no run was made"
            ) from None
        raise
    return run.path


def _are_equal(one: Predictions, other: Predictions | None) -> bool:
    return (
        other is not None
        and np.array_equal(one.ids, other.ids)
        and np.array_equal(one.probabilities, other.probabilities)
    )
