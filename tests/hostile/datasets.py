"""Build datasets in the forms that users have: tables, folders, archives, lists of labels."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = ("Training", "PublicTest", "PrivateTest")
SIDE = 48


def png(seed: int) -> bytes:
    """Build a grey image of noise, different for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def rows(per_class: int = 2) -> list[tuple[int, str, np.ndarray]]:
    """Return label, usage and pixels of each image of a small FER2013."""
    rng = np.random.default_rng(7)
    return [
        (label, usage, rng.integers(0, 256, SIDE * SIDE, dtype=np.uint8))
        for usage in USAGES
        for label in range(len(CLASSES))
        for _ in range(per_class)
    ]


def table(
    label: Callable[[int], str] = str,
    pixels: Callable[[np.ndarray], str] = lambda levels: " ".join(map(str, levels.tolist())),
    delimiter: str = ",",
    header: str = "emotion,pixels,Usage",
) -> str:
    """Return the text of `fer2013.csv` in one of the forms that programs write."""
    lines = [header.replace(",", delimiter)]
    lines += [delimiter.join((label(k), pixels(levels), usage)) for k, usage, levels in rows()]
    return "\n".join(lines) + "\n"


def table_of_pixel_columns() -> str:
    """Return the text of `fer2013.csv` with a column for each pixel."""
    header = ",".join(["emotion", *(f"pixel{n}" for n in range(SIDE * SIDE)), "Usage"])
    lines = [",".join((str(k), *map(str, px.tolist()), usage)) for k, usage, px in rows()]
    return "\n".join([header, *lines]) + "\n"


def votes(cast: Mapping[int, list[int]] | None = None) -> str:
    """Return `fer2013new.csv` for `rows()`: ten votes for each label, or the votes in `cast`."""
    names = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    place = {"neutral": 0, "happy": 1, "surprise": 2, "sad": 3, "angry": 4, "disgust": 5, "fear": 6}
    lines = [f"Usage,Image name,{names}"]
    for number, (label, usage, _) in enumerate(rows()):
        counts = [0] * 10
        counts[place[CLASSES[label]]] = 10
        counts = (cast or {}).get(number, counts)
        name = "" if counts[9] > 5 else f"fer{number:07d}.png"
        lines.append(",".join([usage, name, *map(str, counts)]))
    return "\n".join(lines) + "\n"


def layout(*folders: str, per_folder: int = 4) -> dict[str, bytes]:
    """Return images by path, `per_folder` in each of these folders."""
    return {
        f"{folder}/{n}.png": png(1000 * place + n)
        for place, folder in enumerate(folders)
        for n in range(per_folder)
    }


def raf_kaggle(per_class: int = 4) -> dict[str, bytes]:
    """Return RAF-DB in Kaggle's form: numbered folders in train and test, and lists of labels."""
    files, number = {}, 0
    for role in ("train", "test"):
        for label in range(1, 8):
            for _ in range(per_class):
                number += 1
                name = f"{role}_{number:05d}_aligned.jpg"
                files[f"DATASET/{role}/{label}/{name}"] = jpg(number)
        files[f"{role}_labels.csv"] = b"image,label\n"
    return files


def raf_original(per_class: int = 4) -> dict[str, bytes]:
    """Return RAF-DB in its original form: all images in one folder, and a list of their labels."""
    files, lines, number = {}, [], 0
    for role in ("train", "test"):
        for label in range(1, 8):
            for _ in range(per_class):
                number += 1
                name = f"{role}_{number:05d}"
                files[f"basic/Image/original/{name}.jpg"] = jpg(5000 + number)
                files[f"basic/Image/aligned/{name}_aligned.jpg"] = jpg(number)
                lines.append(f"{name}.jpg {label}\n")
    return files | {"basic/EmoLabel/list_patition_label.txt": "".join(lines).encode()}


def jpg(seed: int) -> bytes:
    """Build a small colour photo."""
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files by path below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a ZIP."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a TAR, compressed according to its suffix."""
    mode = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zip_of_many(path: Path, count: int) -> Path:
    """Write a ZIP of many empty files."""
    return write_zip(path, {f"a/{n}": b"" for n in range(count)})


def zip_that_says_more(path: Path, size: int) -> Path:
    """Write a ZIP that declares `size` bytes for one of its files."""
    write_zip(path, {"a/1.png": png(1), "b/2.png": png(2)})
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\1\2")
    content[place + 24 : place + 28] = size.to_bytes(4, "little")
    path.write_bytes(content)
    return path


def tar_with_a_long_header(path: Path, size: int) -> Path:
    """Write a compressed TAR with an extended header of `size` bytes of zeros."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
    import gzip

    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size >> 20):
            stream.write(bytes(1 << 20))
        stream.write(bytes(10240))
    return path


def bad_names() -> list[str]:
    """Return file names that are not UTF-8, not printable, or have terminal codes or markup."""
    return [
        os.fsdecode(b"caf\xe9.png"),
        "high \u9ad8\u8208.png",
        "smile \U0001f600.png",
        "[red]markup.png",
        ":smile:.png",
        "escape \x1b[31m.png",
        "line\nbreak.png",
        "turned \u202egnp.png",
        'comma, quote".png',
        "=formula.png",
    ]
