"""Build run directories that are damaged or hostile, or are not run directories."""

import hashlib
import io
import json
import os
import re
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from fercore.runs.schema import Latency, OnnxExport
from tests.dashboard import make_runs

PLAN = make_runs.Plan("whole", "A whole run", epochs=3, done=3)
FILES = (
    *("config.json", "environment.json", "status.json", "results.json", "log.jsonl"),
    *("layers.json", "predictions.npz", "model.onnx", "notes.json", "latency.json"),
)
# Without these, the rest of a run can still be used.
PARTS = FILES[4:]


def whole_run(root: Path) -> Path:
    """Write a completed run with every file of the format."""
    path = make_runs.finished(root, PLAN)
    network = small_network()
    (path / "model.onnx").write_bytes(network)
    edit(path / "results.json", lambda fields: fields["onnx"].update(bytes=len(network)))
    (path / "notes.json").write_text('{"text": "a note", "tags": ["best"]}')
    latency = Latency(
        device="CPU",
        cores=2,
        onnxruntime="1.22",
        face_ms=1.0,
        face_p95_ms=2.0,
        faces_per_second=900.0,
        measured="2026-01-02T03:04:05+00:00",
    )
    (path / "latency.json").write_text(json.dumps([latency.model_dump()]))
    return path


def small_network(classes: int = 7) -> bytes:
    """Build a network of one matrix with the inputs and outputs of an exported network."""
    helper = onnx.helper
    weights = np.random.default_rng(0).normal(size=(48 * 48, classes)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["pixels", "shape"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "small",
        [helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, ["batch", 48, 48, 1])],
        [
            helper.make_tensor_value_info(
                "probabilities", onnx.TensorProto.FLOAT, ["batch", classes]
            )
        ],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(np.array([-1, 48 * 48]), "shape"),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return content


def record_network(path: Path, *, digest: bool) -> None:
    """Make `results.json` describe the stored `model.onnx`."""
    content = (path / "model.onnx").read_bytes()
    known = OnnxExport(
        bytes=len(content),
        opset=17,
        sha256=hashlib.sha256(content).hexdigest() if digest else None,
    )
    edit(path / "results.json", lambda fields: fields.update(onnx=known.model_dump()))


def edit(file: Path, change: Callable[[Any], object]) -> None:
    """Change the content of a JSON file."""
    fields = json.loads(file.read_bytes())
    change(fields)
    file.write_text(json.dumps(fields))


def _replace(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.unlink()
        make(file)

    return damage


def _content(make: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(make(file.read_bytes()))  # type: ignore[return-value]


def _numbers(number: bytes) -> Callable[[bytes], bytes]:
    """Return a function that replaces every number in a JSON text."""
    return lambda content: re.sub(rb"(?<=[:\[ ])-?[0-9][0-9.e+-]*(?=[,\s\]}])", number, content)


def _huge(file: Path) -> None:
    with file.open("wb") as opened:  # of holes, so that it takes no room
        opened.write(b'{"name": "')
        opened.truncate(2 << 30)


def _bind(file: Path) -> None:
    here = os.getcwd()
    os.chdir(file.parent)  # the address of a socket is at most 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(file.name)
    finally:
        os.chdir(here)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": _content(lambda content: b""),
    "half": _content(lambda content: content[: len(content) // 2]),
    "without the last byte": _content(lambda content: content.rstrip()[:-1]),
    "random": _content(lambda content: np.random.default_rng(1).bytes(len(content) or 1)),
    "zeros": _content(lambda content: bytes(len(content))),
    "a list": _content(lambda content: b"[1, 2, 3]\n"),
    "an object": _content(lambda content: b'{"a": {"b": [null]}}\n'),
    "null": _content(lambda content: b"null\n"),
    "a text": _content(lambda content: b'"text"\n'),
    "brackets": _content(lambda content: b"[" * 100_000),
    "braces": _content(lambda content: b'{"a":' * 100_000),
    "many members": _content(
        lambda content: b"{%s}" % b",".join(b'"%d":1' % i for i in range(9_000))
    ),
    "numbers of 400 digits": _content(_numbers(b"9" * 400)),
    "numbers of 5000 digits": _content(_numbers(b"9" * 5000)),
    "1e999": _content(_numbers(b"1e999")),
    "NaN": _content(_numbers(b"NaN")),
    "negative numbers": _content(_numbers(b"-1")),
    "2^53": _content(_numbers(str(2**53).encode())),
    "UTF-16": _content(lambda content: content.decode("latin-1").encode("utf-16")),
    "a surrogate": _content(lambda content: b'{"name": "\\ud800"}\n'),
    "not UTF-8": _content(lambda content: b'{"name": "\xff\xfe"}\n'),
    "absent": _replace(lambda file: None),
    "a directory": _replace(lambda file: file.mkdir()),
    "a FIFO": _replace(lambda file: os.mkfifo(file)),
    "a socket": _replace(_bind),
    "a device": _replace(lambda file: file.symlink_to("/dev/zero")),
    "a loop": _replace(lambda file: file.symlink_to(file.name)),
    "a dangling link": _replace(lambda file: file.symlink_to("nowhere")),
    "2 GB": _huge,
}

# Names of folders; those that are bytes are not UTF-8.
NAMES: tuple[str | bytes, ...] = (
    b"latin-\xe9-s0",
    b"\xff\xfe",
    "back\\slash",
    "two\nlines",
    "\u202egnp.run",
    "\x1b[31mred\x1b[0m",
    "<img src=x onerror=alert(1)>",
    "**bold** [link](x) :material∕delete: $a$",
    "[red] [bold]",
    "x" * 255,
    "名前-é-\U0001f600",
    " ",
    "a'b\"c&d=e#f%00",
)

ODD_TEXTS = (
    "<b>bold</b><img src=x onerror=alert(1)>",
    "**bold** `code` $x^2$ [a](b) :material/delete: :red[x]",
    "[/bold][red]",
    "\u202egnp",
    "a\nb\tc\x1b[31m",
    "x" * 10_000,
    "\U0001f600\u0300\u0301" * 20,
    "",
    " ",
)


def odd_records(path: Path) -> dict[str, Callable[[], None]]:
    """Return changes to a run's records that keep their types, by the name of the defect."""
    results, status = path / "results.json", path / "status.json"
    environment, config = path / "environment.json", path / "config.json"

    def rename_classes(texts: tuple[str, ...]) -> None:
        def change(fields: Any) -> None:
            names = [texts[i % len(texts)] + "\u200b" * (i // len(texts)) for i in range(7)]
            fields["class_names"] = names
            for split in fields["splits"].values():
                for entry, name in zip(split["classes"], names, strict=True):
                    entry["name"] = name

        edit(results, change)

    def each_split(change: Callable[[Any], object]) -> Callable[[], None]:
        return lambda: edit(results, lambda fields: [change(s) for s in fields["splits"].values()])

    def say(file: Path, **fields: Any) -> Callable[[], None]:
        return lambda: edit(file, lambda known: known.update(fields))

    found = {
        "odd class names": lambda: rename_classes(ODD_TEXTS[:7]),
        "one class name twice": lambda: rename_classes(("same",) * 7),
        "classes named otherwise": each_split(lambda s: s["classes"][0].update(name="other")),
        "huge counts": each_split(lambda s: s.update(confusion=[[10**12] * 7] * 7, n=10**12)),
        "negative counts": each_split(lambda s: s.update(confusion=[[-5] * 7] * 7)),
        "empty matrix": each_split(lambda s: s.update(confusion=[[0] * 7] * 7)),
        "no splits": say(results, splits={}),
        "no classes": say(results, splits={}, class_names=[]),
        "odd split titles": each_split(lambda s: s.update(title=ODD_TEXTS[1])),
        "a checkpoint of no epoch": lambda: edit(
            results, lambda fields: fields["selection"].update(epoch=2**53, split="nowhere")
        ),
        "a training of 10^300 seconds": say(results, train_seconds=1e300),
        "a training of many seconds": say(results, train_seconds=1e9, images_per_second=1e300),
        "many parameters": say(results, parameters=2**53, trainable_parameters=2**53),
        "negative heartbeat": say(status, heartbeat=-1e15),
        "heartbeat far ahead": say(status, heartbeat=1e300),
        "many epochs": say(config, epochs=2**53, batch_size=2**53),
        "odd titles": say(config, title=ODD_TEXTS[0], name=ODD_TEXTS[1], dataset=ODD_TEXTS[2]),
        "empty titles": say(config, title="", name="", dataset="", model=""),
        "long titles": say(config, title=ODD_TEXTS[5], model=ODD_TEXTS[3]),
        "odd environment": say(
            environment, command=ODD_TEXTS[4], device=ODD_TEXTS[0], commit=ODD_TEXTS[2]
        ),
        "counts of other classes": say(
            environment, dataset_counts={"a": {"x": 2**53}, "b": {"y": -1}, "": {}}
        ),
        "a running training of many epochs": lambda: [  # type: ignore[dict-item,return-value]
            results.unlink(),
            say(status, state="running", epochs=2**53, epoch=2**53, heartbeat=4e9)(),
        ],
    }
    years = ("99999-01-01", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "", "soon")
    for year in years:
        found[f"started {year!r}"] = say(environment, started=year)
        found[f"finished {year!r}"] = say(results, finished=year)
    return found


def npz(**arrays: np.ndarray) -> bytes:
    """Return the content of an `.npz` file."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def hostile_predictions() -> dict[str, Callable[[], bytes]]:
    """Return functions that build a `predictions.npz`, by the name of the defect."""
    n = 50
    sound = {
        "test_ids": np.array([f"test-{i:05d}" for i in range(n)]),
        "test_labels": np.arange(n, dtype=np.uint8) % 7,
        "test_probabilities": np.full((n, 7), 1 / 7, np.float16),
    }

    def changed(**arrays: Any) -> Callable[[], bytes]:
        return lambda: npz(**(sound | {f"test_{name}": value for name, value in arrays.items()}))

    def declaring(shape: str) -> Callable[[], bytes]:
        return lambda: _declaring(sound, shape)

    broken_ids = np.full(n, 0x110000, np.uint32).view("<U1")
    surrogates = np.full(n, 0xD800, np.uint32).view("<U1")
    structured = np.zeros((n, 7), [("a", "f4"), ("b", "f4")])
    whole = npz(**sound)
    return {
        "declares 100 GB": declaring("(25000000000,)"),
        "declares a negative shape": declaring("(-1, 7)"),
        "declares rows without width": declaring(f"({10**18}, 0)"),
        "unpacks to 300 MB": lambda: _zeros(300 << 20),
        "thousand members": lambda: _members(1000),
        "encrypted": lambda: _with_header(whole, flags=1),
        "another compression": lambda: _with_header(whole, method=99),
        "a checksum of other data": lambda: _with_header(whole, crc=1),
        "a directory elsewhere": lambda: whole[:-6] + struct.pack("<I", 2**31) + whole[-2:],
        "labels beyond the classes": changed(labels=np.full(n, 200, np.uint8)),
        "negative labels": changed(labels=np.full(n, -1, np.int64)),
        "labels of text": changed(labels=np.full(n, "a")),
        "labels that are not whole": changed(labels=np.full(n, 0.5)),
        "ids of numbers": changed(ids=np.arange(n)),
        "ids beyond Unicode": changed(ids=broken_ids),
        "ids of surrogates": changed(ids=surrogates),
        "ids all alike": changed(ids=np.full(n, "same")),
        "complex probabilities": changed(probabilities=np.ones((n, 7), complex)),
        "structured probabilities": changed(probabilities=structured),
        "probabilities that are not numbers": changed(probabilities=np.full((n, 7), np.nan)),
        "infinite probabilities": changed(probabilities=np.full((n, 7), -np.inf)),
        "probabilities of another shape": changed(probabilities=np.ones((n, 8), np.float16)),
        "no samples": lambda: npz(**{name: value[:0] for name, value in sound.items()}),
        "a scalar": changed(labels=np.uint8(1)),
        "dates": changed(labels=np.full(n, "2020-01-01", "datetime64[D]")),
    }


def _declaring(sound: dict[str, np.ndarray], shape: str) -> bytes:
    """Build arrays, one of which declares a false shape."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in sound.items():
            member = io.BytesIO()
            if name.endswith("probabilities"):
                header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
                padded = header.ljust(117) + "\n"
                member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)))
                member.write(padded.encode() + bytes(64))
            else:
                np.lib.format.write_array(member, array)
            archive.writestr(f"{name}.npy", member.getvalue())
    return content.getvalue()


def _with_header(content: bytes, **fields: int) -> bytes:
    """Return a ZIP archive with changed header fields of every member in its directory."""
    changed = bytearray(content)
    for found in re.finditer(b"PK\x01\x02", content):
        for name, offset, kind in (("flags", 8, "<H"), ("method", 10, "<H"), ("crc", 16, "<I")):
            if name in fields:
                struct.pack_into(kind, changed, found.start() + offset, fields[name])
    return bytes(changed)


def _zeros(size: int) -> bytes:
    """Build an array of zeros, which compresses by a factor of a thousand."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("ids", "labels", "probabilities"):
            with archive.open(f"test_{name}.npy", "w", force_zip64=True) as member:
                head = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
                np.lib.format.write_array_header_1_0(member, head)
                for _ in range(size >> 20 if name == "ids" else 0):
                    member.write(bytes(1 << 20))
    return content.getvalue()


def _members(count: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}.npy", b"")
    return content.getvalue()
