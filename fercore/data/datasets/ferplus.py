"""FER+ (Barsoum et al., 2016): FER2013's images, each relabelled by ten annotators.

Read from `fer2013new.csv`, which has votes and no pixels: row `n` belongs to row `n` of
`fer2013.csv`, and the images are those of the installed FER2013. The label is the majority vote, as
in the authors' code: single votes are ignored, and more than half of the remaining votes must be
for one emotion. An image is left out if there is no majority, or if the majority is for "unknown"
or "not a face" (NF).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fercore.data import store
from fercore.data.datasets import _unsplit, fer2013
from fercore.data.quality import audit
from fercore.data.readers.archives import TABLES, Member, archive_errors, sha256_of_path
from fercore.data.readers.csv import VOTES, Table, has_votes, iter_filled_rows, open_table
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
# About two of three images keep their label; if the row numbers do not match, one of five does.
_MIN_SAME_LABELS = 0.4

# Usage in `fer2013.csv`, and the number of the row.
_RowKey = tuple[str, int]
_LabelByRow = dict[_RowKey, str]


def load(root: Path) -> Splits:
    """Load the installed dataset: the splits of FER2013, without the images that were left out.

    Raises:
        UserError: if it is not installed, or damaged.
    """
    return _unsplit.load(root, NAME)


def status(root: Path) -> DatasetStatus:
    """Return the status of the dataset."""
    return _unsplit.status(root, NAME)


def add(
    paths: Sequence[Path],
    root: Path,
    on_progress: OnProgress | None = None,
    skip_bad: bool = False,
) -> AddReport:
    """Install FER+ from its table of votes and the images of the installed FER2013.

    Raises:
        UserError: if the table is missing or damaged, FER2013 is not installed, or its images
            cannot be matched with the rows of the table.
    """
    source = fer2013.load(root)
    digests = {path: sha256_of_path(path) for path in paths}
    installed = store.read_intact_manifest(root, NAME)
    if (
        installed
        and installed.derived_from
        and installed.derived_from.fingerprint == source.fingerprint
        and {file.sha256 for file in installed.sources} == set(digests.values())
    ):
        return store.build_report(installed, TITLES, False, ("already installed, unchanged",))
    log = IntakeLog(skip_bad, on_progress)
    label_by_row: _LabelByRow = {}
    for member in log.walk(paths, TABLES):
        if not _read_votes(member, label_by_row, log):
            log.pass_over(member)
    if not log.read + log.bad:
        files = ", ".join(storable_name(path.name) for path in paths)
        raise UserError(
            f"{files}: no votes of FER+ found; expected fer2013new.csv, with the columns Usage, "
            f"{', '.join(VOTES)}"
        )
    notes = log.notes()
    left_out: Counter[str] = Counter()
    parts = {role: _relabel(source[role], label_by_row, left_out) for role in ROLES}
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
        validation_from_train=source.validation_from_train,
        audit=audit(parts),
        derived_from=store.Derivation(
            dataset=fer2013.NAME, fingerprint=source.fingerprint, titles=dict(TITLES)
        ),
    )
    if left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.most_common())
        note = f"{left_out.total():,} images were left out: {reasons}"
    else:
        note = "no image was left out"
    return store.build_report(manifest, TITLES, True, (*notes, note))


def majority_label(votes: Sequence[int]) -> str:
    """Return the emotion with the majority of the votes, or the reason why there is none.

    Args:
        votes: numbers of votes, in the order of `VOTES`.
    """
    counted = [count if count > 1 else 0 for count in votes]
    highest = max(counted)
    if highest <= sum(counted) / 2:
        return _NO_MAJORITY
    return (*CLASS_NAMES, _UNKNOWN, _NO_FACE)[counted.index(highest)]


def _read_votes(member: Member, label_by_row: _LabelByRow, log: IntakeLog) -> bool:
    """Read the label of each row; return whether the table has votes."""
    with archive_errors(member.where), member.open() as stream:
        table = open_table(stream, member.where)
        if table is None or not has_votes(table) or "usage" not in table.header:
            return False
        for number, cells in enumerate(iter_filled_rows(table)):
            with log.count_image():
                key, label = _parse_row(table, number, cells)
                label_by_row[key] = label
    return True


def _parse_row(table: Table, number: int, cells: list[str]) -> tuple[_RowKey, str]:
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
    return (title, number), majority_label(counts)


def _row_key(sample_id: str) -> _RowKey:
    """Return the row of `fer2013.csv` in the id of an image, such as `PublicTest_28710`."""
    title, _, number = sample_id.rpartition("_")
    return title, int(number) if number.isascii() and number.isdecimal() else -1


def _relabel(part: Split, label_by_row: _LabelByRow, left_out: Counter[str]) -> Split:
    """Return the images that have a majority label; count the others in `left_out`."""
    names = [label_by_row.get(_row_key(name), _NO_VOTES) for name in part.ids.tolist()]
    keep = np.array([name in CLASS_NAMES for name in names], bool)
    left_out.update(name for name in names if name not in CLASS_NAMES)
    labels = [CLASS_NAMES.index(name) for name in names if name in CLASS_NAMES]
    return Split(part.images[keep], np.array(labels, np.uint8), part.ids[keep])


def _require_match(source: Splits, parts: dict[str, Split], left_out: Counter[str]) -> None:
    """Raise if the row numbers in the ids of FER2013 do not match the table of votes."""
    total = sum(map(len, source.parts.values()))
    matched = total - left_out[_NO_VOTES]
    kept = sum(map(len, parts.values()))
    same = sum(_count_same_labels(source[role], part) for role, part in parts.items())
    if matched < total / 2 or not all(map(len, parts.values())) or same < _MIN_SAME_LABELS * kept:
        raise UserError(
            f"the votes of FER+ belong to the rows of fer2013.csv; {matched:,} of {total:,} "
            f"installed images are named after such rows, and {same:,} of {kept:,} keep their "
            "label; add FER2013 from fer2013.csv first: fercore data add fer2013 fer2013.csv"
        )


def _count_same_labels(source: Split, part: Split) -> int:
    """Count the images that have the same emotion in FER2013 and in FER+."""
    source_labels = {
        name: fer2013.CLASS_NAMES[label]
        for name, label in zip(source.ids.tolist(), source.labels.tolist(), strict=True)
    }
    return sum(
        source_labels[name] == CLASS_NAMES[label]
        for name, label in zip(part.ids.tolist(), part.labels.tolist(), strict=True)
    )
