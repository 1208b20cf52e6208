"""The writing side of a run directory.

Small files are replaced atomically: written beside, flushed to the disk, renamed. The per-epoch log
is only ever appended to. `results.json` comes last, so that where it stands the run is complete.
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
    """The writing side of one run directory.

    `create` and `claim` give one that holds the lock of the run. In a `with` statement it writes
    the heartbeat every few seconds, and gives the lock back at the end; statements may be nested.
    """

    def __init__(self, path: Path):
        self.path = path
        self._status = Status(state="running", heartbeat=time.time(), pid=os.getpid())
        self._changing = threading.Lock()
        self._writing = threading.Lock()
        self._run_lock: BaseFileLock | None = None
        self._before: bytes | None = None
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
            # Under a hidden name until it holds a config: a reader never meets half a run.
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
        """Take the lock of an existing run, to go on with it or to change what it consists of.

        Raises:
            UserError: if another process is at work on it; the message names the process.
        """
        writer = cls(path)
        try:
            writer._run_lock = locks.take(path)
        except locks.LockHeldError as holder:
            raise UserError(f"{path.name} is in use by {holder}; wait for its end") from None
        status = read_run(path).status
        if status is None:
            return writer
        decided = writer._run_lock is not None and lock_decides(status)
        if claims_activity(status) and not decided and gives_signs_of_life(path, status):
            writer.release()
            raise UserError(
                f"{path.name} is in use by process {status.pid} on "
                f"{status.host or 'an unknown machine'}; wait for its end"
            )
        writer._status = status
        return writer

    def _reserve_name(self, root: Path, name: str) -> Path:
        """Return a free path under the root, whose lock this writer then holds."""
        for count in itertools.count(1):
            path = root / (name if count == 1 else f"{name}-{count}")
            with suppress(locks.LockHeldError):
                self._run_lock = locks.take(path)
                if not path.exists():
                    return path
                self.release()
        raise AssertionError  # count() has no end

    def release(self) -> None:
        """Give the lock back."""
        if self._run_lock is not None:
            self._run_lock.release()
            self._run_lock = None

    def announce(self, epochs: int) -> None:
        """Write that the run is starting again; `withdraw` takes that back."""
        with suppress(OSError):
            self._before = (self.path / "status.json").read_bytes()
        self.set_status(state="starting", phase="starting", epochs=epochs, step=0, message="")

    def withdraw(self) -> None:
        """Restore the status of before `announce`: the run cannot go on now."""
        if self._before is None:
            return
        self._stop_heartbeat()
        with suppress(OSError), self.replacing("status.json") as file:
            file.write(self._before)

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
        """Remove the run directory: what was to be in it cannot be written."""
        self._stop_heartbeat()  # which would write into it meanwhile
        shutil.rmtree(self.path, ignore_errors=True)

    def write_record(self, record: BaseModel) -> None:
        """Replace the file that holds this kind of record."""
        file = next(name for name, kind in RUN_FILES.items() if kind is type(record))
        self.write_json(file, record.model_dump(mode="json"))

    def write_layers(self, layers: Sequence[LayerSummary]) -> None:
        """Replace the layer table."""
        self.write_json("layers.json", [layer.model_dump(mode="json") for layer in layers])

    def write_json(self, name: str, content: Any) -> None:
        """Replace a JSON file atomically. Numbers that are not finite are refused."""
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
        """Replace the log, as a resumption does to drop a torn line or an unfinished tail."""
        with self.replacing("log.jsonl") as file:
            file.writelines(row.model_dump_json().encode() + b"\n" for row in rows)

    def set_status(self, **changes: Any) -> None:
        """Change fields of the status and write it, with a new heartbeat."""
        with self._writing:
            # A training step changes the status too, and never waits for the disk.
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
        """Like `set_status`, where a full disk must not hide a graver error."""
        with suppress(OSError):
            self.set_status(**changes)

    def record_step(self, step: int, steps: int) -> None:
        """Note how far the epoch is; the next heartbeat writes it."""
        with self._changing:
            self._status = self._status.model_copy(update={"step": step, "steps": steps})

    def _start_heartbeat(self) -> None:
        done = threading.Event()

        def beat() -> None:
            while not done.wait(HEARTBEAT_SECONDS):
                # A full disk must not kill the thread: the next beat may find room again.
                self.set_status_best_effort()

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        self._beat = done, thread

    def _stop_heartbeat(self) -> None:
        if self._beat is not None:
            done, thread = self._beat
            done.set()
            thread.join()
            self._beat = None

    @contextmanager
    def replacing(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write in whole; it takes its name only once it is complete and on the disk."""
        with atomic_write(self.path / name) as file:
            yield file


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory, so that nobody goes on with it while the body runs.

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
    """Write a run that was not trained, all of it or nothing.

    Args:
        root: of the runs.
        config: of an imported or combined run.
        environment: in which it was judged.
        predictions: by split.
        results: of them.
        network: content of its `model.onnx`.
        layers: its table, where there is one.

    Returns:
        The new run directory.

    Raises:
        UserError: if the disk refuses.
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
            said = f"cannot write {run.path} ({error.strerror}); no run was made"
            raise UserError(said) from None
        raise
    return run.path


def _are_equal(one: Predictions, other: Predictions | None) -> bool:
    return (
        other is not None
        and np.array_equal(one.ids, other.ids)
        and np.array_equal(one.probabilities, other.probabilities)
    )
