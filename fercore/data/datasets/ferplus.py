"""FER+ (Barsoum et al., 2016): FER2013's images, labelled again by ten people each.

Taken from `fer2013new.csv`, which holds votes and no pixels: row `n` belongs to row `n` of
`fer2013.csv`, and the images are those of the installed FER2013. The label is the majority as in
the authors' code: single votes are ignored, and of the others more than half must be for one
emotion. An image is left out where there is no majority, or the majority is for "unknown" or "not a
face" (NF).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fercore.data import store
from fercore.data.datasets import _unsplit, fer2013
from fercore.data.quality import audit
from fercore.data.readers.archives import TABLES, Member, readable, sha256, walk
from fercore.data.readers.csv import VOTES, Table, filled_rows, is_votes, open_table
from fercore.data.readers.skipped_files import IntakeLog
from fercore.data.reports import AddReport, DatasetStatus, OnProgress
from fercore.data.splits import ROLES, Split, Splits
from fercore.errors import UserError
from fercore.io.file_names import storable_name

NAME = "ferplus"
CLASS_NAMES = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")
TITLES = fer2013.TITLES
SIZE = fer2013.SIZE
_NO_MAJORITY, _UNKNOWN, _NO_FACE = "no majority", "unknown", "not a face"
_NO_VOTES = "without votes"
# About two of three images keep their label; where numbers mean other images, one of five does.
_LEAST_SAME = 0.4

# What `fer2013.csv` calls the part, and the number of the row.
_Row = tuple[str, int]
_Votes = dict[_Row, str]


def load(root: Path) -> Splits:
    """Load what `add` installed: the splits of FER2013, without the images that were left out.

    Raises:
        UserError: if it is not installed, or damaged.
    """
    return _unsplit.load(root, NAME)


def status(root: Path) -> DatasetStatus:
    """What is installed."""
    return _unsplit.status(root, NAME)


def add(
    paths: Sequence[Path],
    root: Path,
    on_progress: OnProgress | None = None,
    skip_bad: bool = False,
) -> AddReport:
    """Install FER+ from its table of votes, with the images of the installed FER2013.

    Raises:
        UserError: if the table is missing or damaged, FER2013 is not installed, or its images
            cannot be matched with the rows of the table.
    """
    source = fer2013.load(root)
    digests = {path: sha256(path) for path in paths}
    installed = store.undamaged(root, NAME)
    if (
        installed
        and installed.derived_from
        and installed.derived_from.fingerprint == source.fingerprint
        and {one.sha256 for one in installed.sources} == set(digests.values())
    ):
        return store.report(installed, TITLES, False, ("already installed, unchanged",))
    log = IntakeLog(skip_bad, on_progress)
    votes: _Votes = {}
    for path in paths:
        for member in walk(path, log.passed_over):
            if not (member.has_suffix(TABLES) and _read_votes(member, votes, log)):
                log.pass_over(member)
    if not log.read + log.bad:
        given = ", ".join(storable_name(path.name) for path in paths)
        raise UserError(
            f"{given}: no votes of FER+ found; expected fer2013new.csv, with the columns Usage, "
            f"{', '.join(VOTES)}"
        )
    notes = log.notes()
    left_out: Counter[str] = Counter()
    parts = {role: _relabelled(source[role], votes, left_out) for role in ROLES}
    _require_match(source, parts, left_out)
    manifest = store.write(
        root,
        NAME,
        CLASS_NAMES,
        parts,
        tuple(
            store.Source(name=storable_name(path.name), sha256=digest, gave=ROLES, holds=ROLES)
            for path, digest in digests.items()
        ),
        held_out=source.held_out,
        audit=audit(parts),
        derived_from=store.Derivation(
            dataset=fer2013.NAME, fingerprint=source.fingerprint, titles=dict(TITLES)
        ),
    )
    why = ", ".join(f"{count:,} {reason}" for reason, count in left_out.most_common())
    total = f"{left_out.total():,} images were left out: {why}"
    last = total if left_out else "no image was left out"
    return store.report(manifest, TITLES, True, (*notes, last))


def majority(votes: Sequence[int]) -> str:
    """The emotion that most people chose, or why there is none.

    Args:
        votes: numbers of votes, in the order of `VOTES`.
    """
    counted = [count if count > 1 else 0 for count in votes]
    highest = max(counted)
    if highest <= sum(counted) / 2:
        return _NO_MAJORITY
    return (*CLASS_NAMES, _UNKNOWN, _NO_FACE)[counted.index(highest)]


def _read_votes(member: Member, votes: _Votes, log: IntakeLog) -> bool:
    """Read the label of each row; whether the table holds votes."""
    with readable(member.where), member.open() as stream:
        table = open_table(stream, member.where)
        if table is None or not is_votes(table) or "usage" not in table.header:
            return False
        for number, cells in enumerate(filled_rows(table)):
            with log.one_image():
                name, label = _row(table, number, cells)
                votes[name] = label
    return True


def _row(table: Table, number: int, cells: list[str]) -> tuple[_Row, str]:
    try:
        usage = cells[table.header.index("usage")].strip()
        counts = [int(float(cells[table.header.index(name)])) for name in VOTES]
    except (ValueError, IndexError, OverflowError):
        counts = [-1]
    if min(counts) < 0 or usage.lower() not in {title.lower() for title in TITLES.values()}:
        raise UserError(
            f"{table.where}, data row {number} (from 0) cannot be read: expected a usage "
            f"({', '.join(TITLES.values())}) and {len(VOTES)} numbers of votes"
        )
    title = next(title for title in TITLES.values() if title.lower() == usage.lower())
    return (title, number), majority(counts)


def _row_of(name: str) -> _Row:
    """The row of `fer2013.csv` that an image is named after, such as `PublicTest_28710`."""
    title, _, number = name.rpartition("_")
    return title, int(number) if number.isascii() and number.isdecimal() else -1


def _relabelled(part: Split, votes: _Votes, left_out: Counter[str]) -> Split:
    found = [votes.get(_row_of(name), _NO_VOTES) for name in part.ids.tolist()]
    keep = np.array([label in CLASS_NAMES for label in found], bool)
    left_out.update(label for label in found if label not in CLASS_NAMES)
    labels = [CLASS_NAMES.index(label) for label in found if label in CLASS_NAMES]
    return Split(part.images[keep], np.array(labels, np.uint8), part.ids[keep])


def _require_match(source: Splits, parts: dict[str, Split], left_out: Counter[str]) -> None:
    total = sum(map(len, source.parts.values()))
    matched = total - left_out[_NO_VOTES]
    kept = sum(map(len, parts.values()))
    same = sum(_same_labels(source[role], part) for role, part in parts.items())
    if matched < total / 2 or not all(map(len, parts.values())) or same < _LEAST_SAME * kept:
        raise UserError(
            f"the votes of FER+ belong to the rows of fer2013.csv; {matched:,} of {total:,} "
            f"installed images are named after such rows, and {same:,} of {kept:,} keep their "
            "label; add FER2013 from fer2013.csv first: fercore data add fer2013 fer2013.csv"
        )


def _same_labels(source: Split, part: Split) -> int:
    """How many images have the same emotion in FER2013 and in FER+."""
    before = {
        name: fer2013.CLASS_NAMES[label]
        for name, label in zip(source.ids.tolist(), source.labels.tolist(), strict=True)
    }
    return sum(
        before[name] == CLASS_NAMES[label]
        for name, label in zip(part.ids.tolist(), part.labels.tolist(), strict=True)
    )
