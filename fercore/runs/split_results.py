"""Look up the figures of a run by split."""

from fercore.errors import UserError
from fercore.runs.reader import Run
from fercore.runs.schema import SplitResult

# What FER2013 calls the splits, in lower case, by their names in `Results.splits`.
SPLIT_ALIASES = {
    "public": "validation",
    "publictest": "validation",
    "private": "test",
    "privatetest": "test",
}
# The names in `Results.splits`.
SPLITS = ("test", "test_unique", "test_all", "validation")


def parse_split(name: str) -> str:
    """Return the split of that name; FER2013's names PublicTest and PrivateTest are known as well.

    Raises:
        UserError: if there is none.
    """
    split = name.lower().replace("-", "_")
    split = SPLIT_ALIASES.get(split, split)
    if split not in SPLITS:
        raise UserError(f"received the split {name!r}, expected one of: {', '.join(SPLITS)}")
    return split


def result_of(run: Run, split: str) -> SplitResult | None:
    """Return the figures of a run on one split, if it has any.

    A run that drops no class has its figures on all classes under `"test"`.

    Args:
        run: any.
        split: as in `fercore.runs.schema.Results.splits`.
    """
    if split == "test_all" and not dropped_classes(run):
        split = "test"
    return run.results.splits.get(split) if run.results else None


def dropped_classes(run: Run) -> tuple[str, ...]:
    """Return the classes that a run leaves out of its training and its headline figures."""
    return run.config.drop_classes if run.config else ()
