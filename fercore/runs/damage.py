"""Find the damaged files of a run directory whose records can be read.

`find` looks at sizes and at the ends of files, so that a list of a thousand runs stays fast;
`check_network` reads the whole `model.onnx`, for `fercore runs check`.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fercore.io import bounded_json
from fercore.io.bounded_npz import require_zip_end
from fercore.io.file_names import storable_name
from fercore.io.files import open_regular, read_regular
from fercore.runs.schema import EpochLog, LayerSummary, OnnxExport, Results

_RecordT = TypeVar("_RecordT", bound=BaseModel)

# Far beyond any real run. Each wrong value of a record costs 20 microseconds and 2 kB.
MAX_RECORD_BYTES = {"results.json": 1 << 20}
MAX_OTHER_RECORD_BYTES = 1 << 18
MAX_LIST_BYTES = 4 << 20
MAX_LOG_BYTES = 64 << 20
MAX_NETWORK_BYTES = (1 << 31) - 1  # no larger message exists in Protocol Buffers
MAX_LISTED = 100  # problems of one file; more are counted

_MAX_TEXT = 300  # characters of one problem
_LINE_BYTES = 4096  # more than a line of the log
# The first byte of a field of `ModelProto`, see onnx.proto: its number and its wire type.
_NETWORK_STARTS = {bytes([tag]) for tag in (0x08, 0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72)}


def find(path: Path, results: Results | None, *, trained: bool) -> dict[str, str]:
    """Find the damaged files among `log.jsonl`, `layers.json`, `predictions.npz`, `model.onnx`.

    Args:
        path: run directory.
        results: of the run; `None` if it is not finished. Before it is, a file may be absent, and
            the last line of the log may be half of one.
        trained: whether the run was trained here, so that it has a log and a layer table.

    Returns:
        The problem of each damaged file, on one line, by file name.
    """
    finished = results is not None
    checks: dict[str, tuple[Callable[[Path], None], bool]] = {
        "log.jsonl": (_require_log if finished else _require_regular, finished and trained),
        "layers.json": (_require_layers, finished and trained),
        "predictions.npz": (_require_zip, finished),
    }
    if results is not None and (onnx := results.onnx) is not None:
        # Absent is not damaged: git does not carry the networks.
        checks["model.onnx"] = (lambda file: _require_size(file, onnx), False)
    problems = {}
    for name, (check, required) in checks.items():
        try:
            check(path / name)
        except FileNotFoundError:
            if required:
                problems[name] = f"{name} is missing"
        except OSError as error:
            problems[name] = f"{name} cannot be read ({error.strerror})"
        except ValidationError as error:
            problems[name] = f"{name} is damaged: {describe(error)}"
        except ValueError as error:
            problems[name] = f"{name} is damaged: {error}"
    return problems


def check_network(file: Path, onnx: OnnxExport) -> str:
    """Compare the content of `model.onnx` with `results.json`.

    Runs of earlier versions store no digest; then size and structure are compared.

    Returns:
        The difference, on one line; empty if they agree.
    """
    import onnx as onnx_format

    try:
        _require_size(file, onnx)
        content = read_regular(file, MAX_NETWORK_BYTES)
    except OSError as error:
        return f"{file.name} cannot be read ({error.strerror})"
    except ValueError as error:
        return f"{file.name} is damaged: {error}"
    if onnx.sha256 is not None:
        digest = hashlib.sha256(content).hexdigest()
        if digest != onnx.sha256:
            return (
                f"{file.name} is damaged: its SHA-256 is {digest}, results.json has {onnx.sha256}"
            )
        return ""
    try:
        onnx_format.checker.check_model(onnx_format.load_from_string(content))
    except Exception as error:  # protobuf and onnx raise classes without a common base
        reason = " ".join(str(error).split())[:160]
        return f"{file.name} is damaged: it is not a valid ONNX network ({reason})"
    return ""


def read_record(file: Path) -> bytes:
    """Read a file that holds one record as JSON, and refuse numbers out of bounds.

    Raises:
        OSError: if it cannot be read, or is larger than any real one.
        ValueError: if it holds a number out of bounds.
    """
    content = read_regular(file, MAX_RECORD_BYTES.get(file.name, MAX_OTHER_RECORD_BYTES))
    bounded_json.require_bounded(content)
    return content


def read_list(file: Path, kind: type[_RecordT]) -> list[_RecordT]:
    """Read a file that holds a list of records as JSON.

    Raises:
        OSError: if it cannot be read, or is larger than any real one.
        ValueError: if it is not such a list, or holds a number out of bounds.
    """
    entries = bounded_json.parse(read_regular(file, MAX_LIST_BYTES))
    if not isinstance(entries, list):
        raise ValueError("expected a list")
    return [kind.model_validate(entry) for entry in entries]


def describe(error: ValidationError) -> str:
    """Return the first problem of a record, on one line."""
    if (count := error.error_count()) > MAX_LISTED:  # to list them would take seconds
        return f"{count:,} of its values are not of this format"
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, problem["loc"]))
    text = f"{where}: {problem['msg']}" if where else problem["msg"]
    return storable_name(text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}...")


def _require_regular(file: Path) -> None:
    open_regular(file).close()


def _require_log(file: Path) -> None:
    """Check the first and the last line only: a list of many runs has to be fast."""
    with open_regular(file) as opened:
        start, size = opened.read(_LINE_BYTES), opened.seek(0, os.SEEK_END)
        if not size:
            raise ValueError("it is empty")
        if size > MAX_LOG_BYTES:
            raise ValueError(f"it holds more than {MAX_LOG_BYTES:,} bytes")
        opened.seek(max(0, size - _LINE_BYTES))
        end = opened.read()
    if not end.endswith(b"\n"):
        raise ValueError("its last line is not whole")
    for line in (start.splitlines()[0], end.splitlines()[-1]):
        bounded_json.require_bounded(line)
        EpochLog.model_validate_json(line)


def _require_layers(file: Path) -> None:
    if not read_list(file, LayerSummary):
        raise ValueError("it holds no layer")


def _require_zip(file: Path) -> None:
    with open_regular(file) as opened:
        require_zip_end(opened)


def _require_size(file: Path, onnx: OnnxExport) -> None:
    with open_regular(file) as opened:
        start, size = opened.read(1), opened.seek(0, os.SEEK_END)
    if size != onnx.bytes:
        raise ValueError(f"it holds {size:,} bytes, results.json has {onnx.bytes:,}")
    if start not in _NETWORK_STARTS:
        raise ValueError("it is not an ONNX network")
