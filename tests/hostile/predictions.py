"""Build tables of predictions of other programs, valid ones and misleading ones.

Each function takes a split and its class names and returns the bytes of a file.
"""

import gzip
import io
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fercore.data.splits import Split


def scores(split: Split, classes: int, seed: int = 0) -> np.ndarray:
    """Return probabilities, `(n, classes)`, with an accuracy of about three in four."""
    rng = np.random.default_rng(seed)
    values = rng.dirichlet(np.ones(classes), len(split))
    said = np.where(
        rng.random(len(split)) < 0.75, split.labels, rng.integers(0, classes, len(split))
    )
    values[np.arange(len(split)), said] += 0.9
    return values / values.sum(axis=1, keepdims=True)


def frame(
    split: Split, names: Sequence[str], values: np.ndarray | None = None, prefix: str = ""
) -> pd.DataFrame:
    """Build a table with ids and a column of scores per class."""
    values = scores(split, len(names)) if values is None else values
    table = pd.DataFrame(values, columns=[f"{prefix}{name}" for name in names])
    table.insert(0, "id", split.ids)
    return table


def csv(table: pd.DataFrame, encoding: str = "utf-8", **options: object) -> bytes:
    return table.to_csv(index=False, **options).encode(encoding)


def one_hot(split: Split, names: Sequence[str], prefix: str = "") -> pd.DataFrame:
    """Build a table of one-hot true labels, one column per class."""
    values = np.eye(len(names), dtype=int)[split.labels]
    return pd.DataFrame(values, columns=[f"{prefix}{name}" for name in names])


def truth_after_scores(split: Split, names: Sequence[str]) -> bytes:
    """Write scores as `p_*`, then one-hot true labels in columns named after the classes."""
    return csv(pd.concat([frame(split, names, prefix="p_"), one_hot(split, names)], axis=1))


def rounded(split: Split, names: Sequence[str], decimals: int = 2) -> bytes:
    """Write probabilities rounded to two decimals: many rows sum to 0.98 or 1.02."""
    return csv(frame(split, names, np.round(scores(split, len(names)), decimals)))


def percent_signs(split: Split, names: Sequence[str]) -> bytes:
    table = frame(split, names)
    for name in names:
        table[name] = [f"{100 * value:.1f}%" for value in table[name]]
    return csv(table)


def logits(split: Split, names: Sequence[str]) -> bytes:
    return csv(frame(split, names, np.log(scores(split, len(names))) + 2))


def sigmoid(split: Split, names: Sequence[str]) -> bytes:
    """Write independent scores, which do not sum to 1."""
    values = scores(split, len(names))
    return csv(frame(split, names, values**0.3))


def votes(split: Split, names: Sequence[str]) -> bytes:
    """Write ten annotators' votes in FER+'s order of classes, two of which are not emotions."""
    rng = np.random.default_rng(1)
    values = scores(split, len(names))
    counts = np.stack([rng.multinomial(9, row) for row in values])
    table = pd.DataFrame({"Image name": [f"{name}.png" for name in split.ids]})
    own = {"happy": "happiness", "sad": "sadness", "angry": "anger"}
    for place, name in enumerate(names):
        table[own.get(name, name)] = counts[:, place]
    table["contempt"], table["unknown"], table["NF"] = 1, 0, 0
    return csv(table)


def decimal_commas(split: Split, names: Sequence[str]) -> bytes:
    return csv(frame(split, names), sep=";", decimal=",")


def excel(split: Split, names: Sequence[str]) -> bytes:
    """Write Excel's "Unicode text": UTF-16 with tabs."""
    return csv(frame(split, names), "utf-16", sep="\t")


def zipped(split: Split, names: Sequence[str]) -> bytes:
    return gzip.compress(csv(frame(split, names)))


def gzip_bomb(size: int = 200 << 20) -> bytes:
    """Build a few hundred kilobytes that unpack to `size` bytes."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as file:
        file.write(b"id,angry\n")
        for _ in range(size >> 20):
            file.write(b"0" * (1 << 20))
    return stream.getvalue()


def with_folders(split: Split, names: Sequence[str], separator: str = "/") -> bytes:
    """Write ids as paths of images in a folder per class."""
    table = frame(split, names)
    table["id"] = [
        separator.join(("test", names[label], f"{name}.jpg"))
        for name, label in zip(split.ids, split.labels, strict=True)
    ]
    return csv(table.rename(columns={"id": "filename"}))


def hard(split: Split, names: Sequence[str], column: str = "predicted") -> bytes:
    """Write the predicted class and the true class, without scores."""
    said = scores(split, len(names)).argmax(axis=1)
    return csv(
        pd.DataFrame(
            {
                "file": [f"{name}.png" for name in split.ids],
                "label": [names[label] for label in split.labels],
                column: [names[label] for label in said],
            }
        )
    )


def numbered(values: np.ndarray, prefix: str = "") -> pd.DataFrame:
    """Build a table with a column per class, named by its number."""
    return pd.DataFrame(values, columns=[f"{prefix}{place}" for place in range(values.shape[1])])
