"""Parse JSON of unknown origin, with limits on its numbers and its depth.

A number of 400 digits or of 1e999 is valid JSON, but pandas, Arrow and the browser have 64 bits.
Such numbers are refused here.
"""

import math
import re
from typing import Any

from pydantic_core import from_json

# The largest whole number that every JSON reader keeps exact (RFC 8259, section 6).
MAX_INTEGER = 2**53

# Matches every number that may be out of bounds. Most files have no match, and a search is much
# faster than a walk through the values.
_SUSPECT = re.compile(rb"(?<![.0-9])[0-9]{16}|[eE]\+?[0-9]{3}|NaN|Infinity")


def parse(content: bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: if the content is not JSON in UTF-8, is nested more than 200 levels deep, or
            holds a number that is not finite or a whole number beyond 2^53.
    """
    value = from_json(content, allow_inf_nan=False)
    if _SUSPECT.search(content):
        _check(value)
    return value


def require_bounded(content: bytes) -> None:
    """Raise if JSON that another parser will read has numbers out of bounds.

    Raises:
        ValueError: as `parse` does. Content without a suspect number is not parsed.
    """
    if _SUSPECT.search(content):
        parse(content)


def _check(value: Any) -> None:
    # The recursion is bounded: the parser limits the depth.
    if isinstance(value, dict):
        for entry in value.values():
            _check(entry)
    elif isinstance(value, list):
        for entry in value:
            _check(entry)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("it holds a number that is too large")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError("it holds a whole number that is too large")
