"""Format numbers and texts for people, equally on every page."""

import html
import re
import unicodedata
from collections.abc import Mapping, Sequence

from fercore.metrics import PairedDifference

# A thin no-break space keeps a number and its unit on one line.
THIN = "\u202f"
DASH = "\u2013"

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:<>&])")


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return `65.87 %` for `0.6587`; a dash for `None`."""
    return DASH if fraction is None else f"{fraction * 100:.{digits}f}{THIN}%"


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return `64.30–67.41 %`; a dash where an end is missing."""
    if low is None or high is None:
        return DASH
    return f"{low * 100:.{digits}f}{DASH}{high * 100:.{digits}f}{THIN}%"


def points(difference: float, digits: int = 2) -> str:
    """Return a difference of two fractions in percentage points: `−16.53 points`."""
    text = f"{abs(difference) * 100:.{digits}f}"
    sign = "" if float(text) == 0 else ("+" if difference > 0 else "\u2212")
    return f"{sign}{text} points"


def delta_interval(delta: PairedDifference) -> str:
    """Return the interval of a difference in percentage points: `−0.40 to +1.93`."""
    ends = (points(end).removesuffix(" points") for end in (delta.low, delta.high))
    return " to ".join(ends)


def size(number: int | None) -> str:
    """Return bytes in decimal units: `5.95 MB`."""
    if number is None:
        return DASH
    if number < 1e6:
        return f"{number / 1e3:.0f}{THIN}kB"
    if number < 1e9:
        return f"{number / 1e6:.2f}{THIN}MB"
    return f"{number / 1e9:.2f}{THIN}GB"


def duration(seconds: float | None) -> str:
    """Return a duration: `42 s`, `3 min 20 s`, `34 min`, `1 h 12 min`."""
    if seconds is None:
        return DASH
    rounded, minutes = round(seconds), round(seconds / 60)
    if rounded < 60:
        return f"{rounded}{THIN}s"
    if rounded < 600:
        rest = f" {rounded % 60}{THIN}s" if rounded % 60 else ""
        return f"{rounded // 60}{THIN}min{rest}"
    if minutes < 60:
        return f"{minutes}{THIN}min"
    rest = f" {minutes % 60}{THIN}min" if minutes % 60 else ""
    return f"{minutes // 60}{THIN}h{rest}"


def ago(seconds: float) -> str:
    """Return a time in the past: `just now`, `5 min ago`, `3 h ago`, `2 days ago`."""
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f}{THIN}min ago"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f}{THIN}h ago"
    return f"{seconds // 86400:.0f} days ago"


def file_name(*parts: str) -> str:
    """Return a file name without suffix, of at most 100 plain characters: `accuracy-le2019-s0`."""
    text = unicodedata.normalize("NFKD", "-".join(filter(None, parts)))
    plain = text.encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_.]+", "-", plain)[:100].strip("-.") or "figure"


def plain_label(label: str) -> str:
    """Return a run's label with plain hyphens, for figures and tables of a paper."""
    return label.replace(" · ", "-")


def names(labels: Sequence[str]) -> str:
    """Return labels for a file name: `a-vs-b`, or `a-and-4-more` where there are many."""
    if len(labels) <= 3:
        return "-vs-".join(labels)
    return f"{labels[0]}-and-{len(labels) - 1}-more"


def markdown(text: str) -> str:
    """Escape a text from a file, so that Markdown shows it literally on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def legend(entries: Mapping[str, str]) -> str:
    """Return labels with a swatch of their colour, as HTML that wraps to any width."""
    swatch = (
        '<span style="display:inline-flex;align-items:center;gap:.45em">'
        '<span style="width:.8em;height:.8em;border-radius:.2em;background:{color}"></span>'
        "{label}</span>"
    )
    items = "".join(
        swatch.format(color=color, label=html.escape(label)) for label, color in entries.items()
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:.3em 1.4em;font-size:.9rem">{items}</div>'
