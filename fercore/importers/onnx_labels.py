"""Read class names from the metadata of an ONNX file, and from `--labels`."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fercore.errors import UserError

# This package's key first; the others are those of Ultralytics, Hugging Face, scikit-learn etc.
_KEYS = (
    *("class_names", "names", "classes", "labels", "id2label", "label2id", "class_labels"),
    *("categories", "label_map", "class_to_idx", "idx_to_class"),
)
_MAX_LENGTH = 100_000


def parse_names(text: str) -> tuple[str, ...]:
    """Parse names in JSON, a Python literal, or words separated by commas or line ends.

    A mapping may be from numbers to names or from names to numbers. Empty if the text has no names.
    """
    text = text.strip()
    if not text or len(text) > _MAX_LENGTH:
        return ()
    if text[0] in "[{(":
        for parse in (json.loads, ast.literal_eval):
            try:
                return _names_of(parse(text))
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
        return ()
    separator = next((mark for mark in ("\n", ";", ",") if mark in text), ",")
    return tuple(name.strip() for name in text.split(separator) if name.strip())


def parse_labels(text: str) -> tuple[str, ...]:
    """Parse the names in `--labels`.

    Raises:
        UserError: if there are none.
    """
    names = parse_names(text)
    if not names:
        raise UserError(
            f"received --labels {text[:60]!r}, expected names separated by commas, or a JSON list "
            'such as ["angry", "disgust"]'
        )
    return names


def names_in_metadata(model: Any) -> tuple[str, ...]:
    """Return the class names in an ONNX model's metadata or classifier nodes; empty if none."""
    properties = {entry.key.lower(): entry.value for entry in model.metadata_props}
    for key in _KEYS:
        names = parse_names(properties.get(key, ""))
        if len(names) > 1:
            return names
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "classlabels_strings" and len(attribute.strings) > 1:
                return tuple(name.decode("utf-8", "replace") for name in attribute.strings)
    return ()


def _names_of(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        pairs = list(value.items())
        if pairs and all(isinstance(number, int) for _, number in pairs):
            pairs = [(number, name) for name, number in pairs]
        return tuple(str(name).strip() for _, name in sorted(pairs, key=lambda p: int(p[0])))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(str(name).strip() for name in value)
    raise ValueError("no names")
